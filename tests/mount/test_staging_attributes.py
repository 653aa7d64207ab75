"""Attributes of staged files that programs look at, and what staging says it does not have."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from artfs.mounts import client
from artfs.mounts.messages import MountRequest, StageOrder
from artfs.mounts.options import MountOptions
from artfs.repository.facade import Repository
from tests.support.privileges import as_user, needs_root
from tests.support.staging import ARTIFACT, Stager

_AT_FDCWD = -100
_OLD_NS = 1_000_000_000


def test_nobody_may_execute_what_nobody_can_execute(staged: Stager) -> None:
    place = staged()
    (place / "file").write_bytes(b"#!/bin/sh\n")
    assert not os.access(place / "file", os.X_OK)
    assert os.access(place / "file", os.R_OK | os.W_OK)
    assert os.access(place, os.X_OK)
    (place / "file").chmod(0o744)
    assert os.access(place / "file", os.X_OK)


def test_an_exchange_of_names_changes_the_ctime_of_both(staged: Stager) -> None:
    place = staged()
    one, other = place / "one", place / "other"
    for path in (one, other):
        path.write_text(path.name)
    before = max(path.stat().st_ctime_ns for path in (one, other))
    assert ctypes.CDLL(None).renameat2(_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other), 2) == 0
    assert one.read_text() == "other"
    assert all(path.stat().st_ctime_ns > before for path in (one, other))


@pytest.mark.parametrize("how", ["rename over", "unlink"])
def test_a_name_less_changes_the_ctime_of_the_other_names(staged: Stager, how: str) -> None:
    place = staged()
    (place / "one").write_bytes(b"1")
    (place / "two").hardlink_to(place / "one")
    (place / "other").write_bytes(b"2")
    before = (place / "one").stat().st_ctime_ns
    if how == "unlink":
        (place / "two").unlink()
    else:
        (place / "other").rename(place / "two")
    after = (place / "one").stat()
    assert after.st_nlink == 1
    assert after.st_ctime_ns > before


def test_an_atime_that_is_set_is_shown_whatever_it_is_set_on(staged: Stager) -> None:
    staged.put({"based": b"1", "inside/file": b"2"})
    place = staged(base="latest")
    (place / "made").write_bytes(b"3")
    (place / "directory").mkdir()
    (place / "link").symlink_to("based")
    for name in ("based", "inside", "made", "directory", "link"):
        path = place / name
        mtime_ns = path.lstat().st_mtime_ns
        os.utime(path, ns=(_OLD_NS, mtime_ns), follow_symlinks=False)
        found = path.lstat()
        assert (found.st_atime_ns, found.st_mtime_ns) == (_OLD_NS, mtime_ns), name


@needs_root
@pytest.mark.parametrize("bits", [0o4777, 0o2777, 0o6777])
def test_a_write_by_another_user_takes_set_id_bits_away(
    repository: Repository, runtime: Path, bits: int
) -> None:
    # Where other users can get to, unlike pytest's own directories.
    directory = Path(tempfile.mkdtemp(prefix="artfs-"))
    directory.chmod(0o755)
    staged = Stager(directory, repository)
    place = directory / "mnt"
    place.mkdir()
    try:
        client.start(
            MountRequest(
                store=repository.info.location,
                target=ARTIFACT,
                mountpoint=place,
                options=MountOptions(allow_other=True),
                stage=StageOrder(),
            )
        )
        file = place / "file"
        file.write_bytes(b"theirs")
        file.chmod(bits)
        command = ["sh", "-c", 'printf x 1<>"$0"', str(file)]
        for opened in (command, ["dd", "if=/dev/zero", f"of={file}", "count=1", "conv=notrunc"]):
            file.chmod(bits)
            subprocess.run(as_user(opened, uid=12345), check=True, capture_output=True)
            assert file.stat().st_mode & 0o7777 == 0o777
    finally:
        staged.finish(place)
        shutil.rmtree(directory)


def test_what_a_staging_mount_does_not_have_is_refused_as_documented(staged: Stager) -> None:
    place = staged()
    (place / "file").write_bytes(b"x" * 10_000)

    def answer(act: object) -> int | None:
        assert callable(act)
        try:
            act()
        except OSError as error:
            return error.errno
        return None

    with (place / "file").open("r+b") as file:
        fd = file.fileno()
        # Sparse files work, and are told as one piece.
        os.ftruncate(fd, 1_000_000)
        assert os.lseek(fd, 20_000, os.SEEK_DATA) == 20_000
        assert os.lseek(fd, 0, os.SEEK_HOLE) == 1_000_000
        os.posix_fallocate(fd, 0, 2_000_000)
        assert os.fstat(fd).st_size == 2_000_000
        punch = ["fallocate", "--punch-hole", "-o", "0", "-l", "4096", str(place / "file")]
        assert subprocess.run(punch, check=False, capture_output=True).returncode == 1
    assert answer(lambda: os.open(place, os.O_TMPFILE | os.O_RDWR)) == errno.EOPNOTSUPP
    assert answer(lambda: os.setxattr(place / "file", "user.a", b"1")) == errno.EOPNOTSUPP
    assert answer(lambda: os.getxattr(place / "file", "user.a")) == errno.EOPNOTSUPP


@pytest.mark.parametrize("kind", ["file", "directory", "symlink"])
def test_a_time_that_cannot_be_kept_becomes_the_nearest_that_can(kind: str, staged: Stager) -> None:
    place = staged()
    path = place / "one"
    if kind == "directory":
        path.mkdir()
    elif kind == "symlink":
        path.symlink_to("nowhere")
    else:
        path.write_bytes(b"1")
    far_s = 253_370_764_800
    os.utime(path, (far_s, far_s), follow_symlinks=False)
    assert _OLD_NS < path.lstat().st_mtime_ns <= far_s * 10**9
