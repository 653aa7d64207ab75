"""What the client says before anything is mounted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.errors import MountError
from artfs.mounts import client
from artfs.mounts.client import MountRequest
from artfs.mounts.messages import MountState, MountStatus, Reply, decode_line, encode_line
from artfs.system import mountinfo


def request(mountpoint: Path) -> MountRequest:
    return MountRequest(store="/nowhere", target=None, mountpoint=mountpoint)


def test_the_client_imports_nothing_heavy() -> None:
    code = (
        "import sys, artfs.mounts.client; "
        "print(*{'trio', 'pyfuse3', 'sqlalchemy', 'requests', 'botocore'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no such directory"),
        (lambda path: path.write_text("x"), "not a directory"),
        (lambda path: (path / "x").mkdir(parents=True), "not empty"),
    ],
)
def test_a_bad_mountpoint_is_refused(tmp_path: Path, make: object, said: str) -> None:
    mountpoint = tmp_path / "mnt"
    assert callable(make)
    make(mountpoint)
    with pytest.raises(MountError, match=said):
        client.start(request(mountpoint))


def test_what_somebody_else_mounted_is_left_alone() -> None:
    for act in (lambda: client.start(request(Path("/proc"))), lambda: client.stop(Path("/proc"))):
        with pytest.raises(MountError, match="proc"):
            act()
    with pytest.raises(MountError, match="not a mount of artfs"):
        client.status(Path("/proc"))


def test_where_nothing_is_mounted_nothing_can_be_ended(tmp_path: Path) -> None:
    with pytest.raises(MountError, match="nothing is mounted here"):
        client.stop(tmp_path)
    with pytest.raises(MountError, match="nothing is mounted here"):
        client.status(tmp_path)


def test_a_missing_fuse_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "mnt").mkdir()
    with pytest.raises(MountError, match="install the package fuse3"):
        client.start(request(tmp_path / "mnt"))


def test_a_mountpoint_is_known_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "real" / "mnt").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "last").symlink_to("real/mnt")
    real = tmp_path / "real" / "mnt"
    for spelling in ("link/mnt", "real/../real/mnt", "last", "real/mnt/"):
        assert mountinfo.locate_mountpoint(tmp_path / spelling) == real


def test_the_kernel_s_escapes_in_paths_are_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"29 1 0:25 / /mnt/a\\040b\\011c ro shared:1 - fuse.artfs artfs ro,user_id=12,group_id=0\n"
    )
    monkeypatch.setattr(mountinfo, "_MOUNTINFO", table)
    (found,) = mountinfo.mounted_file_systems()
    assert found.mountpoint == Path("/mnt/a b\tc")
    assert (found.mount_id, found.device, found.owner, found.is_artfs) == (29, "0:25", 12, True)


def test_any_name_that_somebody_mounts_at_spoils_no_other_line() -> None:
    name = bytes(set(range(1, 256)) - {0x09, 0x0A, 0x20, 0x5C})
    text = b"29 1 0:25 / /mnt/%b rw - tmpfs %b rw\n30 1 0:26 / /mnt/x rw - fuse.artfs artfs rw\n"
    first, second = mountinfo.parse_mountinfo(text % (name, name))
    assert os.fsencode(first.mountpoint) == b"/mnt/" + name
    assert (second.mountpoint, second.is_artfs) == (Path("/mnt/x"), True)


def test_a_line_that_is_none_is_left_out() -> None:
    found = mountinfo.parse_mountinfo(b"31 1 0:27\n\n30 1 0:26 / /mnt/x rw - tmpfs none rw\n")
    assert [each.mount_id for each in found] == [30]


def test_messages_survive_their_journey() -> None:
    status = MountStatus(mountpoint=Path("/mnt/x y"), state=MountState.MOUNTED, pid=3)
    assert decode_line(encode_line(Reply(status=status)), Reply).status == status
