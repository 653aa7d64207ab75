from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from artfs.blobs.hashing import hash_bytes, hash_file
from artfs.errors import SourceChanged
from artfs.system.files import clone_file, copy_file, read_whole
from tests.support.disks import reflinking_disk

__all__ = ["reflinking_disk"]

SIZES = [0, 1000, 9 * 1024 * 1024]


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_clone_has_the_content_and_is_what_gets_hashed(
    reflinking_disk: Path, size_bytes: int
) -> None:
    data = Random(size_bytes).randbytes(size_bytes)
    (reflinking_disk / "source").write_bytes(data)
    with (reflinking_disk / "source").open("rb") as source:
        with (reflinking_disk / "clone").open("w+b") as clone:
            assert clone_file(source.fileno(), clone.fileno())
            assert clone.read() == data
        with (reflinking_disk / "copy").open("w+b") as copy:
            assert hash_file(source.fileno(), copy_to=copy.fileno()) == hash_bytes(data)
            assert copy.read() == data


def test_files_that_cannot_share_extents_are_not_cloned(tmp_path: Path) -> None:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    (tmp_path / "source").write_bytes(b"content")
    fd = os.open(shared_memory, os.O_TMPFILE | os.O_RDWR)
    try:
        with (tmp_path / "source").open("rb") as source:
            assert not clone_file(source.fileno(), fd)
            assert os.fstat(fd).st_size == 0
            copy_file(source.fileno(), fd)
            assert os.pread(fd, 100, 0) == b"content"
    finally:
        os.close(fd)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_copy_has_the_content(tmp_path: Path, size_bytes: int) -> None:
    data = Random(size_bytes).randbytes(size_bytes)
    (tmp_path / "source").write_bytes(data)
    with (tmp_path / "source").open("rb") as source, (tmp_path / "copy").open("w+b") as copy:
        copy_file(source.fileno(), copy.fileno())
        assert copy.read() == data


def test_a_file_whose_size_is_a_lie_is_refused() -> None:
    # The kernel says that it is empty, and it is not.
    with Path("/proc/self/stat").open("rb") as source, pytest.raises(SourceChanged):
        read_whole(source.fileno())
