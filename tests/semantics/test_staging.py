"""The promises of a staging mount, W1 to W5 of docs/design.md, on a real one."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from artfs.errors import AliasMoved, ArtfsError, MountError, StagingBusy
from artfs.mounts import client
from artfs.mounts import staging_client as stageclient
from artfs.mounts.contact import ended
from artfs.staging.area import Area
from artfs.staging.commit import commit_area
from artfs.staging.listing import staging_areas
from tests.support.staging import ARTIFACT, Stager

LARGE = bytes(range(256)) * 20_000  # 5 MB


def errno_from(operation: Callable[[], object]) -> int | None:
    try:
        operation()
    except OSError as error:
        return error.errno
    return None


def use_every_call(root: Path) -> list[object]:
    """Everything that promise W1 lists; what each of it answers."""
    return [*use_names(root), *use_attributes(root), *use_open_files(root), *meet_errors(root)]


def use_names(root: Path) -> list[object]:
    seen: list[object] = []
    fd = os.open(root / "new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    seen.append(errno_from(lambda: os.open(root / "new", os.O_CREAT | os.O_EXCL)))
    os.write(fd, b"0123456789")
    os.pwrite(fd, b"XY", 4)
    os.ftruncate(fd, 8)
    seen.append(os.pread(fd, 100, 0))
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
    with (root / "new").open("ab") as file:
        file.write(b"appended")
    seen.append((root / "new").read_bytes())
    os.truncate(root / "new", 20)
    seen.append((root / "new").read_bytes())

    (root / "d").mkdir(mode=0o750)
    (root / "d" / "e").mkdir()
    seen.append(errno_from((root / "d").rmdir))
    seen.append(errno_from((root / "d").mkdir))
    (root / "new").rename(root / "d" / "moved")
    seen.append(errno_from((root / "new").unlink))
    (root / "other").write_bytes(b"other")
    (root / "other").replace(root / "d" / "moved")
    seen.append((root / "d" / "moved").read_bytes())
    seen.append(errno_from(lambda: (root / "d").rename(root / "d" / "e" / "below")))
    seen.append(errno_from(lambda: (root / "d" / "moved").rename(root / "d" / "e")))

    (root / "link").symlink_to("d/moved")
    seen.append((root / "link").read_bytes())
    return seen


def use_attributes(root: Path) -> list[object]:
    seen: list[object] = []
    os.link(root / "d" / "moved", root / "hard")
    seen.append((root / "hard").stat().st_nlink)
    (root / "hard").write_bytes(b"both")
    seen.append((root / "d" / "moved").read_bytes())
    (root / "hard").unlink()
    seen.append((root / "d" / "moved").stat().st_nlink)

    (root / "d" / "moved").chmod(0o4711)
    seen.append(stat.S_IMODE((root / "d" / "moved").stat().st_mode))
    os.utime(root / "d" / "moved", ns=(1_000_000_001, 2_000_000_003))
    seen.append((root / "d" / "moved").stat().st_mtime_ns)
    os.chown(root / "d", os.getuid(), os.getgid())
    return seen


def use_open_files(root: Path) -> list[object]:
    seen: list[object] = []
    with (root / "gone").open("w+b") as file:
        file.write(b"still here")
        file.flush()
        (root / "gone").unlink()
        file.seek(0)
        seen.append(file.read())
        seen.append(os.fstat(file.fileno()).st_nlink)
    seen.append((root / "gone").exists())

    with (root / "mapped").open("w+b") as file:
        file.truncate(100_000)
        with mmap.mmap(file.fileno(), 100_000) as mapped:
            mapped[50_000:50_005] = b"hello"
            mapped.flush()
    seen.append((root / "mapped").read_bytes()[49_998:50_007])

    with (root / "sparse").open("wb") as file:
        file.seek(1_000_000)
        file.write(b"end")
    seen.append((root / "sparse").stat().st_size)
    seen.append((root / "sparse").stat().st_blocks < 200)

    with (root / "locked").open("w") as first, (root / "locked").open("w") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        seen.append(errno_from(lambda: fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)))
        fcntl.lockf(first, fcntl.LOCK_EX)
    seen.append(sorted(path.name for path in root.iterdir()))
    return seen


def meet_errors(root: Path) -> list[object]:
    return [
        errno_from((root / ("n" * 256)).touch),
        errno_from((root / "locked" / "below").touch),
        errno_from((root / "d").unlink),
        errno_from(lambda: os.open(root / "d", os.O_WRONLY)),
    ]


def test_w1_a_staging_mount_answers_every_call_as_a_local_directory_does(
    staged: Stager, tmp_path: Path
) -> None:
    local = tmp_path / "local"
    local.mkdir()
    assert use_every_call(staged()) == use_every_call(local)


def test_w1_a_base_version_is_changed_as_a_local_directory_is(
    staged: Stager, tmp_path: Path
) -> None:
    content = {"a/one": b"1", "a/b/two": b"22", "large": LARGE}
    staged.put(content)
    local = tmp_path / "local"
    for path, data in content.items():
        (local / path).parent.mkdir(parents=True, exist_ok=True)
        (local / path).write_bytes(data)
    mountpoint = staged(base="latest")

    def change(root: Path) -> None:
        with (root / "large").open("r+b") as file:
            file.seek(4_500_000)
            file.write(b"changed")
        os.truncate(root / "a" / "b" / "two", 1)
        (root / "a" / "b").rename(root / "c")
        (root / "a" / "one").unlink()
        (root / "a" / "one").mkdir()
        with (root / "large").open("ab") as file:
            file.write(b"more")

    for root in (mountpoint, local):
        change(root)
    names = sorted(str(path.relative_to(local)) for path in local.rglob("*"))
    assert sorted(str(path.relative_to(mountpoint)) for path in mountpoint.rglob("*")) == names
    for found in filter(Path.is_file, local.rglob("*")):
        assert (mountpoint / found.relative_to(local)).read_bytes() == found.read_bytes()


def test_w1_appends_of_several_processes_do_not_overwrite_each_other(staged: Stager) -> None:
    path = staged() / "log"
    program = (
        "import os, sys; fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "for n in range(200): os.write(fd, f'{sys.argv[2]} {n}\\n'.encode())"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(number)])
        for number in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(f"{writer} {n}" for writer in range(4) for n in range(200))


def test_w1_what_no_version_can_hold_is_refused(staged: Stager) -> None:
    mountpoint = staged()
    with socket.socket(socket.AF_UNIX) as server:
        assert errno_from(lambda: server.bind(str(mountpoint / "socket"))) == errno.EPERM
    assert errno_from(lambda: os.mkfifo(mountpoint / "fifo")) == errno.EPERM
    assert errno_from(lambda: os.mknod(mountpoint / "device", stat.S_IFCHR)) == errno.EPERM
    foreign = Path(os.fsdecode(b"\xff"))
    assert errno_from((mountpoint / foreign).mkdir) == errno.EILSEQ
    assert errno_from(lambda: (mountpoint / "link").symlink_to(foreign)) == errno.EILSEQ
    assert errno_from(lambda: os.setxattr(mountpoint, "user.a", b"1")) == errno.EOPNOTSUPP
    assert list(mountpoint.iterdir()) == []


def test_w2_what_was_closed_or_synced_survives_a_killed_process(staged: Stager) -> None:
    staged.put({"base": LARGE, "removed": b"x", "old": b"name"})
    mountpoint = staged(base="latest")
    (mountpoint / "closed").write_bytes(b"closed")
    with (mountpoint / "base").open("r+b") as file:
        file.write(b"CHANGED")
    (mountpoint / "removed").unlink()
    (mountpoint / "old").rename(mountpoint / "new")
    (mountpoint / "new").chmod(0o600)
    fd = os.open(mountpoint / "synced", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"synced")
    os.fsync(fd)
    area_id = staged.kill(mountpoint)
    os.close(fd)

    staged.start(mountpoint, resume=area_id)
    assert (mountpoint / "closed").read_bytes() == b"closed"
    assert (mountpoint / "synced").read_bytes() == b"synced"
    assert (mountpoint / "base").read_bytes() == b"CHANGED" + LARGE[7:]
    assert sorted(path.name for path in mountpoint.iterdir()) == ["base", "closed", "new", "synced"]
    assert stat.S_IMODE((mountpoint / "new").stat().st_mode) == 0o600
    with pytest.raises(StagingBusy, match="synced"):
        stageclient.commit(mountpoint)
    assert stageclient.commit(mountpoint, take_unfinished=True).created
    assert staged.version()["synced"] == b"synced"


def test_w3_a_commit_that_is_tried_again_after_its_answer_was_lost_makes_no_second_version(
    staged: Stager,
) -> None:
    mountpoint = staged()
    (mountpoint / "file").write_bytes(LARGE)
    staging = stageclient.staging_status(mountpoint)
    saved = staging.path.with_name("saved")
    shutil.copytree(staging.path, saved)
    stageclient.commit(mountpoint)
    staged.kill(mountpoint)
    staged.put({"file": b"somebody else's"})
    # As if the process had died before it could take note of its commit.
    shutil.rmtree(staging.path)
    saved.rename(staging.path)
    with Area.open(staged.repository, staging.id) as area:
        report = commit_area(area)
        assert report.version is not None
        assert report.version.version == "v0"
        assert not area.is_changed
    assert staged.version_count() == 2
    assert staged.version() == {"file": b"somebody else's"}


def test_w3_nobody_sees_a_version_before_it_is_whole(staged: Stager) -> None:
    mountpoint = staged()
    for number in range(300):
        (mountpoint / f"{number}").write_bytes(b"%d" % number * 1000)
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if staged.version_count():
                seen.append(len(staged.version()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    stageclient.commit(mountpoint)
    done.set()
    watcher.join()
    assert set(seen) <= {300}


def test_w4_unmounting_commits_however_it_is_done(staged: Stager) -> None:
    ways: list[Callable[[Path], object]] = [stageclient.finish, plain_unmount, terminate]
    for number, end in enumerate(ways):
        mountpoint = staged()
        (mountpoint / "file").write_bytes(b"%d" % number)
        end(mountpoint)
        assert staged.version(f"v{number}") == {"file": b"%d" % number}
    assert staging_areas(staged.repository.info) == []


def plain_unmount(mountpoint: Path) -> None:
    pid = client.status(mountpoint).pid
    assert pid is not None
    pidfd = os.pidfd_open(pid)
    subprocess.run(["fusermount3", "-u", mountpoint], check=True)
    assert ended(pidfd, 30)
    os.close(pidfd)


def terminate(mountpoint: Path) -> None:
    pid = client.status(mountpoint).pid
    assert pid is not None
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    assert ended(pidfd, 30)
    os.close(pidfd)


def test_w4_abort_keeps_nothing(staged: Stager) -> None:
    mountpoint = staged()
    (mountpoint / "file").write_bytes(b"x")
    stageclient.abort(mountpoint)
    assert staged.version_count() == 0
    assert staging_areas(staged.repository.info) == []
    with pytest.raises(MountError, match="nothing is mounted"):
        client.status(mountpoint)


def test_w4_a_commit_that_fails_keeps_the_area_and_says_how_to_go_on(staged: Stager) -> None:
    staged.put({"file": b"1"})
    mountpoint = staged(base="latest", expect="v0")
    (mountpoint / "file").write_bytes(b"mine")
    staged.put({"file": b"theirs"})
    with pytest.raises(AliasMoved) as caught:
        stageclient.finish(mountpoint)
    (record,) = staging_areas(staged.repository.info)
    assert f"artfs staging commit {record.meta.id}" in str(caught.value)
    assert record.state == "failed"
    assert staged.version() == {"file": b"theirs"}
    staged.start(mountpoint, resume=record.meta.id)
    assert (mountpoint / "file").read_bytes() == b"mine"
    stageclient.commit(mountpoint, expect="v1")
    assert staged.version() == {"file": b"mine"}


def test_w4_nothing_changed_makes_no_version(staged: Stager) -> None:
    assert staged.finish(staged()).version is None
    staged.put({"file": b"1"})
    mountpoint = staged(base="latest")
    os.utime(mountpoint / "file")
    (mountpoint / "other").touch()
    (mountpoint / "other").unlink()
    outcome = staged.finish(mountpoint)
    assert (outcome.version, outcome.created) == (f"{ARTIFACT}:v0", False)
    assert staged.version_count() == 1


def test_w5_a_file_that_is_open_for_writing_is_named_or_waited_for(staged: Stager) -> None:
    mountpoint = staged()
    (mountpoint / "sub").mkdir()
    file = (mountpoint / "sub" / "half").open("wb", buffering=0)
    file.write(b"first half, ")
    with pytest.raises(StagingBusy, match="sub/half"):
        stageclient.commit(mountpoint)
    assert staged.version_count() == 0

    def write_the_rest() -> None:
        time.sleep(0.3)
        file.write(b"second half")
        file.close()

    writer = threading.Thread(target=write_the_rest)
    writer.start()
    done = stageclient.commit(mountpoint, wait_writers_s=30)
    writer.join()
    assert done.created
    assert staged.version() == {"sub": None, "sub/half": b"first half, second half"}


def test_w5_a_file_without_a_name_and_one_open_for_reading_hold_up_nothing(
    staged: Stager,
) -> None:
    mountpoint = staged()
    (mountpoint / "kept").write_bytes(b"kept")
    with (mountpoint / "gone").open("wb") as gone, (mountpoint / "kept").open("rb") as kept:
        (mountpoint / "gone").unlink()
        stageclient.commit(mountpoint)
        gone.write(b"into nothing")
        assert kept.read() == b"kept"
    assert staged.version() == {"kept": b"kept"}


def test_w5_what_is_written_after_a_commit_is_not_in_its_version(staged: Stager) -> None:
    mountpoint = staged()
    (mountpoint / "file").write_bytes(LARGE)
    stageclient.commit(mountpoint)
    with (mountpoint / "file").open("r+b") as file:
        file.write(b"after")
    assert (mountpoint / "file").read_bytes() == b"after" + LARGE[5:]
    assert staged.version() == {"file": LARGE}
    try:
        stageclient.commit(mountpoint)
    except ArtfsError as error:
        pytest.fail(str(error))
    assert staged.version("v0") == {"file": LARGE}
    assert staged.version("v1") == {"file": b"after" + LARGE[5:]}
