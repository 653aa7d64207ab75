"""kill -9 of a staging mount's process at any moment, and disks that are full."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyfuse3
import pytest

from artfs.daemon.staging_mount import run_stage
from artfs.errors import (
    AliasNotFound,
    ArtfsError,
    MountError,
    OutOfSpace,
    StagingBusy,
    StoreNotFound,
)
from artfs.mounts import client
from artfs.mounts import staging_client as stageclient
from artfs.mounts.contact import ended
from artfs.mounts.messages import MountRequest, StageOrder
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.staging.area import Area
from artfs.staging.commit import commit_area
from artfs.staging.listing import staged_trees, staging_areas
from artfs.upkeep.gc import collect
from tests.support.disks import small_file_system
from tests.support.faults import wait_until
from tests.support.mounts import own_runtime
from tests.support.staging import Stager
from tests.support.stores import new_store

KILLS = int(os.environ.get("ARTFS_TEST_KILLS", "6"))
SMALL_DISK_BYTES = 24 * 1024 * 1024


class Writer(threading.Thread):
    """Writes files until it cannot, and knows which ones were closed."""

    def __init__(self, root: Path, seed: int) -> None:
        super().__init__()
        # Never the directory below, though it does nothing until the mount is gone.
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY)
        self._random = random.Random(seed)
        self.closed: dict[str, bytes] = {}

    def run(self) -> None:
        number = 0
        try:
            while True:
                number += 1
                name = f"file{number % 40}"
                data = self._random.randbytes(self._random.choice([10, 5_000, 2_000_000]))
                self.closed.pop(name, None)
                fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=self._root)
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                self.closed[name] = data
        except OSError:
            return
        finally:
            os.close(self._root)


@pytest.mark.parametrize("seed", range(KILLS))
def test_w2_a_kill_while_files_are_written_loses_none_that_was_closed(
    staged: Stager, seed: int
) -> None:
    staged.put({f"file{number}": os.urandom(3_000_000) for number in range(3)})
    mountpoint = staged(base="latest")
    writer = Writer(mountpoint, seed)
    writer.start()
    time.sleep(random.Random(seed).uniform(0.05, 0.8))
    area_id = staged.kill(mountpoint)
    writer.join()
    with Area.open(staged.repository, area_id) as area:
        # What was being written, and what was closed a moment ago.
        area.contents.accept_unfinished()
        commit_area(area)
    found = staged.version()
    assert {name: found[name] for name in writer.closed} == writer.closed
    assert staged.version_count() == 2


@pytest.mark.parametrize("seed", range(KILLS))
def test_w3_a_kill_during_a_commit_leaves_no_version_or_one(staged: Stager, seed: int) -> None:
    mountpoint = staged()
    content = {f"file{number}": os.urandom(400_000) for number in range(30)}
    content["large"] = os.urandom(20_000_000)
    for name, data in content.items():
        (mountpoint / name).write_bytes(data)

    def commit() -> None:
        try:
            stageclient.commit(mountpoint)
        except (ArtfsError, OSError, ValueError):
            return

    committer = threading.Thread(target=commit)
    committer.start()
    time.sleep(random.Random(seed).uniform(0.0, 0.5))
    area_id = staged.kill(mountpoint)
    committer.join()
    assert staged.version_count() in {0, 1}
    with Area.open(staged.repository, area_id) as area:
        commit_area(area)
        commit_area(area)
    assert staged.version_count() == 1
    assert staged.version() == content


def killed_while_writing(staged: Stager) -> tuple[Path, str]:
    """A mount that was killed with half a file open, and the id of its area."""
    staged.put({"old": b"o" * 5000, "looked at": b"l" * 5000})
    mountpoint = staged(base="latest")
    (mountpoint / "done").write_bytes(b"d" * 5000)
    opened = [(mountpoint / "half").open("wb", buffering=0)]
    opened += [(mountpoint / name).open("r+b", buffering=0) for name in ("old", "looked at")]
    for file in opened[:2]:
        file.write(b"x" * 100)
    (mountpoint / "gone").touch()
    opened.append((mountpoint / "gone").open("wb", buffering=0))
    (mountpoint / "gone").unlink()
    # The close of what is done comes a moment after close(2).
    wait_until(lambda: noted_writers(mountpoint) == len(opened))
    area_id = staged.kill(mountpoint)
    for file in opened:
        with suppress(OSError):
            file.close()
    return mountpoint, area_id


def noted_writers(mountpoint: Path) -> int:
    """How many files are noted as open for writing."""
    note = (stageclient.staging_status(mountpoint).path / "writers").read_bytes()
    return sum(note[at : at + 8] != bytes(8) for at in range(0, len(note), 8))


def test_w5_a_file_that_is_open_at_a_kill_is_in_no_version_unless_it_is_asked_for(
    staged: Stager,
) -> None:
    _, area_id = killed_while_writing(staged)
    for _ in range(2):
        with (
            Area.open(staged.repository, area_id) as area,
            pytest.raises(StagingBusy, match="mount ended: half, old"),
        ):
            commit_area(area)
    assert staged.version_count() == 1
    with Area.open(staged.repository, area_id) as area:
        area.contents.accept_unfinished()
    with Area.open(staged.repository, area_id) as area:
        commit_area(area)
    assert staged.version() == {
        "done": b"d" * 5000,
        "half": b"x" * 100,
        "looked at": b"l" * 5000,
        "old": b"x" * 100 + b"o" * 4900,
    }


def test_w5_what_was_open_at_a_kill_is_finished_by_writing_or_removing_it(staged: Stager) -> None:
    mountpoint, area_id = killed_while_writing(staged)
    staged.start(mountpoint, resume=area_id)
    assert stageclient.staging_status(mountpoint).unfinished == ("half", "old")
    with pytest.raises(StagingBusy, match="half, old"):
        stageclient.commit(mountpoint)
    (mountpoint / "half").rename(mountpoint / "moved")
    with pytest.raises(StagingBusy, match="moved, old"):
        stageclient.commit(mountpoint)
    (mountpoint / "moved").write_bytes(b"whole")
    (mountpoint / "old").unlink()
    stageclient.commit(mountpoint, wait_writers_s=10)
    found = {"done": b"d" * 5000, "looked at": b"l" * 5000, "moved": b"whole"}
    assert staged.version() == found
    staged.finish(mountpoint)


def test_w5_a_resumed_mount_commits_what_was_open_at_a_kill_when_told_to(staged: Stager) -> None:
    mountpoint, area_id = killed_while_writing(staged)
    staged.start(mountpoint, resume=area_id)
    stageclient.commit(mountpoint, take_unfinished=True)
    assert staged.version()["half"] == b"x" * 100
    staged.finish(mountpoint)


def test_w5_a_mount_that_is_terminated_while_files_are_open_keeps_them(staged: Stager) -> None:
    mountpoint = staged()
    with (mountpoint / "half").open("wb", buffering=0) as file:
        file.write(b"x")
        status = client.status(mountpoint)
        assert status.pid is not None
        pidfd = os.pidfd_open(status.pid)
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        assert ended(pidfd, 30)
        os.close(pidfd)
        with suppress(OSError):
            file.close()
    (record,) = staging_areas(staged.repository.info)
    with (
        Area.open(staged.repository, record.meta.id) as area,
        pytest.raises(StagingBusy, match="half"),
    ):
        commit_area(area)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB."""
    with small_file_system(tmp_path / "disk", size_mib=SMALL_DISK_BYTES >> 20) as disk:
        yield disk


def test_a_full_disk_is_told_to_the_writer_and_all_else_stays(
    small_disk: Path, tmp_path: Path
) -> None:
    with own_runtime(), new_store(small_disk / "store") as repository:
        staged = Stager(tmp_path, repository)
        try:
            mountpoint = staged()
            (mountpoint / "before").write_bytes(b"before")
            with pytest.raises(OSError, match="No space") as caught:
                (mountpoint / "huge").write_bytes(bytes(2 * SMALL_DISK_BYTES))
            assert caught.value.errno == errno.ENOSPC
            assert (mountpoint / "before").read_bytes() == b"before"
            assert os.statvfs(mountpoint).f_bavail == 0
            (mountpoint / "huge").unlink()
            # It may be hashed at that moment, and is let go after the next block.
            wait_until(lambda: os.statvfs(mountpoint).f_bavail > 0)
            (mountpoint / "after").write_bytes(b"after")
            staged.finish(mountpoint)
            assert staged.version() == {"before": b"before", "after": b"after"}
        finally:
            staged.end_all()


def test_a_store_that_is_full_at_commit_keeps_the_area(small_disk: Path, tmp_path: Path) -> None:
    with own_runtime(), new_store(small_disk / "store") as repository:
        staged = Stager(tmp_path, repository)
        try:
            mountpoint = staged()
            # Files that are packed need as much again.
            for number in range(30):
                (mountpoint / str(number)).write_bytes(os.urandom(500_000))
            with pytest.raises(OutOfSpace):
                stageclient.finish(mountpoint)
            (record,) = staging_areas(repository.info)
            staged.start(mountpoint, resume=record.meta.id)
            for number in range(10, 30):
                (mountpoint / str(number)).unlink()
            stageclient.finish(mountpoint)
            assert len(staged.version()) == 10
        finally:
            staged.end_all()


def test_a_store_that_is_gone_at_commit_keeps_the_area(staged: Stager, tmp_path: Path) -> None:
    mountpoint = staged()
    (mountpoint / "file").write_bytes(b"x" * 2_000_000)
    packs = tmp_path / "store" / "packs"
    blobs = tmp_path / "store" / "blobs"
    blobs.rename(tmp_path / "blobs")
    packs.rename(tmp_path / "packs")
    with pytest.raises(ArtfsError):
        stageclient.commit(mountpoint)
    assert (mountpoint / "file").read_bytes() == b"x" * 2_000_000
    (tmp_path / "blobs").rename(blobs)
    (tmp_path / "packs").rename(packs)
    stageclient.commit(mountpoint)
    assert staged.version() == {"file": b"x" * 2_000_000}


def test_a_base_version_that_is_deleted_meanwhile_survives_gc_and_is_committed_upon(
    staged: Stager,
) -> None:
    staged.put({"base": b"base", "other": b"other"})
    mountpoint = staged(base="latest")
    (mountpoint / "base").write_bytes(b"changed")
    repository = staged.repository
    deleted = repository.resolve("p/data:v0").id
    repository.catalog.delete_version(deleted, delete_aliases=True)
    report = collect(repository, grace_s=0, staged_trees=lambda: staged_trees(repository.info))
    assert report.removed.count == 0
    assert (mountpoint / "other").read_bytes() == b"other"
    staged.finish(mountpoint)
    assert staged.version("v1") == {"base": b"changed", "other": b"other"}


def test_two_processes_never_own_one_area(staged: Stager, repository: Repository) -> None:
    mountpoint = staged()
    area_id = stageclient.staging_status(mountpoint).id
    with pytest.raises(StagingBusy, match="process"):
        Area.open(repository, area_id)
    staged.kill(mountpoint)
    Area.open(repository, area_id).close()


def test_two_commits_at_once_make_one_version(staged: Stager) -> None:
    mountpoint = staged()
    (mountpoint / "file").write_bytes(b"x" * 3_000_000)
    results: list[bool] = []

    def commit() -> None:
        results.append(stageclient.commit(mountpoint).version is not None)

    threads = [threading.Thread(target=commit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True, True, True]
    assert staged.version_count() == 1


def test_commits_side_by_side_are_each_told_what_came_of_them(staged: Stager) -> None:
    staged.put({"file": b"old"})
    mountpoint = staged(base="latest")
    (mountpoint / "file").write_bytes(b"x" * 3_000_000)
    results: dict[str, object] = {}

    def commit(expect: str) -> None:
        try:
            results[expect] = stageclient.commit(mountpoint, expect=expect).version
        except ArtfsError as error:
            results[expect] = type(error)

    threads = [threading.Thread(target=commit, args=[name]) for name in ("none", "nothing", "any")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results["nothing"] is AliasNotFound
    assert results["any"] == "p/data:v1"
    assert staged.version_count() == 2


def test_w3_a_commit_whose_process_is_killed_says_that_all_is_kept(staged: Stager) -> None:
    mountpoint = staged()
    with (mountpoint / "open").open("wb"):
        (mountpoint / "file").write_bytes(b"kept")
        told: list[str] = []

        def commit() -> None:
            with pytest.raises(MountError) as caught:
                stageclient.commit(mountpoint, wait_writers_s=600)
            told.append(str(caught.value))

        committer = threading.Thread(target=commit)
        committer.start()
        wait_until(lambda: stageclient.staging_status(mountpoint).commit is not None)
        status = client.status(mountpoint)
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)
        committer.join()
        assert "everything is kept" in told[0]
        with pytest.raises(MountError, match="process was killed: everything is kept"):
            stageclient.commit(mountpoint)


def test_w4_a_commit_that_waits_for_writers_does_not_hold_up_the_end(staged: Stager) -> None:
    mountpoint = staged()
    (mountpoint / "file").write_bytes(b"kept")
    with (mountpoint / "open").open("wb"):
        committer = threading.Thread(target=try_to_commit, args=[mountpoint, 600.0])
        committer.start()
        wait_until(lambda: stageclient.staging_status(mountpoint).commit is not None)
        assert terminated(mountpoint, 30)
        committer.join()
    (record,) = staging_areas(staged.repository.info)
    assert record.state == "failed"


def test_w2_what_is_changed_while_a_busy_mount_ends_is_refused_or_kept(staged: Stager) -> None:
    mountpoint = staged()
    for number in range(2000):
        (mountpoint / f"file{number}").write_bytes(b"x")
    made: list[str] = []

    def make() -> None:
        inside = os.open(mountpoint, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for number in range(1_000_000):
                os.mkdir(f"directory{number}", dir_fd=inside)
                made.append(f"directory{number}")
        except OSError:
            return
        finally:
            os.close(inside)

    maker = threading.Thread(target=make)
    maker.start()
    wait_until(lambda: bool(made))
    assert terminated(mountpoint, 60)
    maker.join()
    assert set(made) <= staged.version().keys()


def test_a_mount_that_fails_leaves_no_area_and_a_resumed_one_keeps_it(
    staged: Stager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("no")

    store, mountpoint = staged.repository.info.location, tmp_path / "mountpoint"
    mountpoint.mkdir()
    area_id = staged.kill(staged())
    with monkeypatch.context() as patch:
        patch.setattr(pyfuse3, "init", fail)
        patch.setattr(pyfuse3, "close", lambda **_options: None)
        for target, order in (("p/data", StageOrder()), (None, StageOrder(resume=area_id))):
            with pytest.raises(MountError, match="mounting failed"):
                run_stage(
                    MountRequest(store=store, target=target, mountpoint=mountpoint, stage=order)
                )
    assert [record.meta.id for record in staging_areas(staged.repository.info)] == [area_id]


def try_to_commit(mountpoint: Path, wait_writers_s: float) -> None:
    with suppress(ArtfsError):
        stageclient.commit(mountpoint, wait_writers_s=wait_writers_s)


def terminated(mountpoint: Path, timeout_s: float) -> bool:
    """Whether the mount's process ends in time, told to by a signal."""
    status = client.status(mountpoint)
    assert status.pid is not None
    pidfd = os.pidfd_open(status.pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        return ended(pidfd, timeout_s)
    finally:
        os.close(pidfd)


def test_what_a_crash_left_half_made_or_half_dropped_is_removed(
    staged: Stager, tmp_path: Path
) -> None:
    mountpoint = staged()
    path = stageclient.staging_status(mountpoint).path
    shutil.copytree(path, path.with_name(".dropped-00000000"))
    shutil.copytree(path, path.with_name(".new-00000000"))
    assert len(staging_areas(staged.repository.info)) == 1
    # Room for its outcome is taken beforehand.
    left = {each.name for each in path.parent.iterdir()} - {f".{path.name}.outcome"}
    assert left == {path.name}
    with pytest.raises(StoreNotFound):
        open_store(str(tmp_path / "nothing"))
