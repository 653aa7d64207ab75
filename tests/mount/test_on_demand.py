"""`artfs.path` and `artfs.mount`: mounts that scripts make, share and leave behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import artfs
from artfs.errors import InvalidArgument, MountError, PathNotFound, VersionNotFound
from artfs.mounts import client, shared
from artfs.mounts.messages import StageOrder
from artfs.mounts.shared import shared_mount
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.system.mountinfo import mounted_at
from tests.support.forked import works_in_child
from tests.support.mounts import ended_at_the_end, runtime
from tests.support.stores import Content, Link, commit

__all__ = ["runtime"]

CONTENT: Content = {
    "train/1.txt": b"one",
    "labels.csv": b"x\n1\n",
    "first": Link("train/1.txt"),
    "all": Link("train"),
}
ASK = "import artfs; place = artfs.path('demo/flowers:latest/labels.csv'); print(place)"


@pytest.fixture
def repository(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Repository]:
    """The default store, and no mount of it."""
    monkeypatch.setenv("ARTFS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ARTFS_RUN_ID", raising=False)
    made = open_store(str(tmp_path / "store"), create=True)
    commit(made, "demo/flowers", CONTENT)
    with ended_at_the_end(runtime):
        yield made


def ours(runtime: Path) -> list[Path]:
    """The mounts that this test has made."""
    found = [each.mountpoint for each in client.mounts()]
    return [each for each in found if each.is_relative_to(runtime)]


def asking(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """A process that asks for a path, and prints it."""
    command = [sys.executable, "-c", ASK]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(environment))


def test_a_path_is_in_a_mount_that_all_processes_share(
    repository: Repository, runtime: Path
) -> None:
    # Those who ask at once wait for the one that mounts.
    at_once = [asking(os.environ), asking(os.environ)]
    place = artfs.path("demo/flowers:latest/labels.csv")
    assert place.read_text() == "x\n1\n"
    assert place.parts[-4:] == ("demo", "flowers", "v0", "labels.csv")
    # Another session has another runtime directory.
    (runtime / "other").mkdir(mode=0o700)
    other = asking(os.environ | {"XDG_RUNTIME_DIR": str(runtime / "other")})
    assert {each.communicate()[0].strip() for each in (*at_once, other)} == {str(place)}
    assert artfs.path("artfs://demo/flowers/latest/first").read_text() == "one"
    assert artfs.path("demo/flowers:latest/all/1.txt").read_text() == "one"
    assert works_in_child(lambda: artfs.path("demo/flowers").joinpath("first").exists())
    assert len(ours(runtime)) == 1
    # What the mount has just listed it knows for a second.
    assert [each.name for each in place.parents[1].iterdir()] == ["latest", "v0"]
    commit(repository, "demo/flowers", {"labels.csv": b"new"})
    assert artfs.path("demo/flowers:latest/labels.csv").read_text() == "new"
    assert place.read_text() == "x\n1\n"


def test_it_ends_when_nobody_uses_it_and_not_before(repository: Repository, runtime: Path) -> None:
    place = shared_mount(repository.address, idle_s=0.02)
    # It has been idle many times before these processes have ended.
    subprocess.run([sys.executable, "-c", "import artfs"], check=True)
    with (place / "demo/flowers/v0/labels.csv").open() as file:
        shared.let_go()
        subprocess.run([sys.executable, "-c", "import artfs"], check=True)
        assert file.read() == "x\n1\n"
        assert mounted_at(place) is not None
    wait_until_gone(place)


def wait_until_gone(place: Path) -> None:
    """Wait for a mount to end: the test's own timeout is the limit."""
    with Path("/proc/self/mounts").open() as mounts:
        poller = select.poll()
        # The kernel says by this that something was mounted or unmounted.
        poller.register(mounts, select.POLLPRI)
        while mounted_at(place) is not None:
            poller.poll(1000)


def test_what_was_killed_is_mounted_anew_and_what_is_unmounted_ends(
    repository: Repository, runtime: Path
) -> None:
    place = artfs.path("demo/flowers/v0/labels.csv")
    [mountpoint] = ours(runtime)
    # As if the machine had run out of memory.
    pid = client.status(mountpoint).pid
    assert pid is not None
    os.kill(pid, 9)
    assert artfs.path("demo/flowers/v0/labels.csv").read_text() == "x\n1\n"
    # What `artfs umount` does: who was given a path does not make it busy.
    client.stop(mountpoint)
    assert not place.exists()


def test_without_fuse_it_is_downloaded_and_that_is_said(
    repository: Repository,
    runtime: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    place = artfs.path("demo/flowers:latest/train")
    assert [each.name for each in place.iterdir()] == ["1.txt"]
    assert "cannot be mounted: fusermount3" in caplog.text
    assert not (place.parent / "labels.csv").exists()
    assert artfs.path("demo/flowers:latest/labels.csv").read_bytes() == b"x\n1\n"
    assert artfs.path("demo/flowers:latest/all/1.txt").read_text() == "one"
    assert (artfs.path("demo/flowers") / "first").read_text() == "one"
    assert ours(runtime) == []


def test_what_is_not_there_is_said_before_anything_is_mounted(
    repository: Repository, runtime: Path
) -> None:
    with pytest.raises(VersionNotFound):
        artfs.path("demo/flowers:v7")
    with pytest.raises(PathNotFound):
        artfs.path("demo/flowers/latest/none")
    with pytest.raises(InvalidArgument, match="names no artifact"):
        artfs.path("demo")
    assert ours(runtime) == []


def test_a_mount_ends_with_its_block_and_hides_no_error(
    repository: Repository, runtime: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mnt").mkdir()
    mount = artfs.mount(mountpoint=tmp_path / "mnt", options="aliases=symlink")
    opened = []

    def fail() -> None:
        with mount as place:
            assert (place / "demo/flowers/latest").readlink() == Path("v0")
            opened.append((place / "demo/flowers/v0/labels.csv").open())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "this very process" in caplog.text
    with pytest.raises(MountError, match="this very process"):
        mount.unmount()
    assert opened[0].read() == "x\n1\n"
    opened[0].close()
    mount.unmount()
    mount.unmount()
    assert (tmp_path / "mnt").is_dir()


def test_a_mount_that_is_not_made_leaves_no_directory(
    repository: Repository, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidArgument, match="no such option"):
        artfs.mount(options="fast")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MountError, match="fusermount3"):
        artfs.mount("demo/flowers:v0")
    assert list((runtime / "run" / "artfs").glob("mnt-*")) == []


def test_an_idle_staging_mount_is_refused(repository: Repository, tmp_path: Path) -> None:
    request = client.MountRequest(
        store=repository.address,
        target="demo/flowers",
        mountpoint=tmp_path,
        options=client.MountOptions(idle_s=5),
        stage=StageOrder(),
    )
    with pytest.raises(InvalidArgument, match="does not end by itself"):
        client.start(request)
