"""Mounts of other sessions and mount namespaces, and what other users may pretend of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from artfs.mounts import client
from artfs.mounts import staging_client as stageclient
from artfs.mounts.client import MountState
from artfs.mounts.daemons import daemons
from artfs.repository.facade import Repository
from artfs.system.mountinfo import mounted_at
from tests.mount.test_lifecycle import assert_gone, is_alive
from tests.support.faults import wait_until
from tests.support.mounts import Mounter, must_fail
from tests.support.namespaces import LET_GO, UNSHARE, holding, seen_by
from tests.support.privileges import as_user, needs_root
from tests.support.staging import Stager
from tests.support.stores import commit

NOT_CONNECTED = "Transport endpoint is not connected"


@pytest.fixture
def content(repository: Repository) -> None:
    commit(repository, "demo/digits", {"x": b"content"})


def artfs(*arguments: object, prefix: list[str] | None = None, **environment: str | None) -> str:
    """What the command line prints, in an environment with these changes; None: without it."""
    merged = {**os.environ, **environment}
    done = subprocess.run(
        [*(prefix or []), sys.executable, "-P", "-m", "artfs", *map(str, arguments)],
        env={name: value for name, value in merged.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- held by another mount namespace -----------------------------------------------------------


@pytest.mark.usefixtures("content")
def test_a_mount_that_another_namespace_holds_ends_and_the_holder_is_named(
    repository: Repository, mounted: Mounter, runtime: Path
) -> None:
    status = mounted.start(repository)
    with holding(status.mountpoint) as pid:
        assert seen_by(pid, status.mountpoint) == "demo\n"
        held = client.stop(status.mountpoint)
        assert [each.pid for each in held] == [pid]
        assert NOT_CONNECTED in seen_by(pid, status.mountpoint)
        assert_gone(status.mountpoint, status.pid, runtime)


def test_a_staging_mount_that_another_namespace_holds_becomes_a_version(staged: Stager) -> None:
    place = staged()
    (place / "file").write_bytes(b"x")
    with holding(place) as pid:
        ending = stageclient.conclude(place)
        assert ending.outcome.version == "p/data:v0"
        assert len(ending.held_by) == 1
        assert f"(pid {pid})" in ending.held_by[0]
    assert staged.version() == {"file": b"x"}


def test_what_another_namespace_has_open_for_writing_keeps_the_mount(staged: Stager) -> None:
    place = staged()
    with holding(place, cwd=place, command="exec sleep 600 > half") as pid:
        wait_until((place / "half").exists)
        refused = must_fail(lambda: stageclient.conclude(place))
        assert "busy" in refused.reason
        assert f"(pid {pid})" in refused.reason
        assert client.status(place).state is MountState.MOUNTED
        ending = stageclient.conclude(place, force=True)
        assert ending.error is not None
        assert "open for writing: half" in str(ending.error)
        assert f"artfs staging commit {ending.outcome.id}" in str(ending.error)
        assert ending.error.exit_code == 4
    assert mounted_at(place) is None


def test_what_was_unmounted_and_is_held_elsewhere_is_found_and_ended(staged: Stager) -> None:
    place = staged()
    (place / "file").write_bytes(b"x")
    with holding(place) as pid:
        subprocess.run(["fusermount3", "-u", place], check=True)
        status = client.status(place)
        assert status.state is MountState.DETACHED
        assert any(f"(pid {pid})" in each for each in status.held_by)
        assert [each.state for each in client.mounts() if each.mountpoint == place] == [
            MountState.DETACHED
        ]
        assert stageclient.finish(place).version == "p/data:v0"
    assert status.pid is not None
    assert not is_alive(status.pid)


@needs_root
def test_a_mount_is_ended_from_a_namespace_that_does_not_have_it(staged: Stager) -> None:
    # In a namespace that a user makes, what was mounted before is locked, and stays.
    place = staged()
    (place / "file").write_bytes(b"x")
    with holding(place):
        inside = [*UNSHARE, "env", "KEPT=/nowhere", "sh", "-c", f'{LET_GO}\nexec "$@"', "sh"]
        assert json.loads(artfs("status", place, "--json", prefix=inside))["state"] == "detached"
        assert artfs("commit", place, prefix=inside) == "p/data:v0\n"
        (place / "file").write_bytes(b"y")
        assert artfs("umount", place, prefix=inside) == "p/data:v1\n"
    assert mounted_at(place) is None


# --- another session ---------------------------------------------------------------------------


@pytest.mark.parametrize("runtime_dir", [None, "elsewhere"])
def test_a_user_s_mounts_are_found_and_answered_from_every_session(
    staged: Stager,
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    runtime_dir: str | None,
) -> None:
    monkeypatch.setenv("ARTFS_STORE", repository.info.location)
    path = None if runtime_dir is None else str(tmp_path / runtime_dir)
    if path is not None:
        Path(path).mkdir(mode=0o700)
    place = staged()
    (place / "file").write_bytes(b"x")
    told = json.loads(artfs("status", place, "--json", XDG_RUNTIME_DIR=path))
    assert (told["state"], told["kind"]) == ("mounted", "stage")
    listed = json.loads(artfs("status", "--json", XDG_RUNTIME_DIR=path))["mounts"]
    assert str(place) in {each["mountpoint"] for each in listed}
    assert artfs("commit", place, XDG_RUNTIME_DIR=path) == "p/data:v0\n"
    (place / "file").write_bytes(b"y")
    assert artfs("umount", place, XDG_RUNTIME_DIR=path) == "p/data:v1\n"
    other = staged()
    (other / "file").write_bytes(b"z")
    artfs("abort", "--yes", other, XDG_RUNTIME_DIR=path)
    assert (mounted_at(other), staged.version_count()) == (None, 2)


@contextmanager
def pretending(uid: int, record: dict[str, str]) -> Iterator[int]:
    """A process of another user that has the mark of a mount's process."""
    code = (
        "import fcntl, os, sys; fd = os.memfd_create('artfs-mount'); "
        "os.write(fd, sys.argv[1].encode()); fcntl.fcntl(fd, fcntl.F_DUPFD, 910); "
        "print('ready', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        as_user(["/usr/bin/python3", "-c", code, json.dumps(record)], uid=uid),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.stdin.close()


@needs_root
@pytest.mark.usefixtures("content")
def test_a_mark_of_another_user_does_not_take_the_place_of_a_mount_s_process(
    repository: Repository, mounted: Mounter, runtime: Path
) -> None:
    status = mounted.start(repository)
    found = mounted_at(status.mountpoint)
    assert found is not None
    record = {
        "mountpoint": str(status.mountpoint),
        "socket": "/tmp/nowhere.sock",
        "device": found.device,
    }
    with pretending(12345, record) as pid:
        # Root sees it, and who it belongs to.
        assert (12345, pid) in {(each.uid, each.pid) for each in daemons()}
        told = client.status(status.mountpoint)
        assert (told.pid, told.owner, told.state) == (status.pid, 0, MountState.MOUNTED)
        client.stop(status.mountpoint)
        assert_gone(status.mountpoint, status.pid, runtime)
        assert is_alive(pid)
