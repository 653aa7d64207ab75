from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from artfs.system.files import DirectFile, DirectWriter, SharedDescriptor, page_buffer

DATA = random.Random(3).randbytes(3 * 1024 * 1024 + 777)


@pytest.fixture
def opened(tmp_path: Path) -> SharedDescriptor:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    path.unlink()
    return SharedDescriptor(fd)


@pytest.mark.parametrize("cached", [True, False])
def test_every_span_is_read_as_it_is(opened: SharedDescriptor, cached: bool) -> None:
    advice = os.POSIX_FADV_WILLNEED if cached else os.POSIX_FADV_DONTNEED
    direct = DirectFile(opened)
    for offset in (0, 4096, 1024 * 1024, 1000, len(DATA) - 10):
        os.posix_fadvise(opened.fd, 0, 0, advice)
        for length in (1, 4096, 5000, 2 * 1024 * 1024):
            assert bytes(direct.read(length, offset)) == DATA[offset : offset + length]


def test_behind_the_end_there_is_nothing(opened: SharedDescriptor) -> None:
    assert bytes(DirectFile(opened).read(4096, 4 * 1024 * 1024)) == b""


def test_a_file_that_cannot_be_read_directly_is_read_all_the_same() -> None:
    fd = os.memfd_create("blob")
    os.write(fd, DATA)
    assert bytes(DirectFile(SharedDescriptor(fd)).read(len(DATA), 0)) == DATA


def written(fd: int, *, aligned: bool) -> bytes:
    """What a file has that was written in pieces of 1 MiB, the last one shorter."""
    size = 1024 * 1024
    buffer = page_buffer(size + 4096)[(0 if aligned else 16) :][:size]
    writer = DirectWriter(fd)
    for start in range(0, len(DATA), size):
        piece = DATA[start : start + size]
        buffer[: len(piece)] = piece
        writer.write(buffer[: len(piece)], start)
    return Path(f"/proc/self/fd/{fd}").read_bytes()


@pytest.mark.parametrize("aligned", [True, False])
def test_what_is_written_directly_is_there(tmp_path: Path, aligned: bool) -> None:
    with (tmp_path / "file").open("xb") as file:
        assert written(file.fileno(), aligned=aligned) == DATA


def test_a_file_that_cannot_be_written_directly_is_written_all_the_same() -> None:
    fd = os.memfd_create("file")
    try:
        assert written(fd, aligned=True) == DATA
    finally:
        os.close(fd)


def test_what_is_written_directly_is_not_in_the_page_cache(tmp_path: Path) -> None:
    with (tmp_path / "file").open("xb+") as file:
        buffer = page_buffer(8192)
        DirectWriter(file.fileno()).write(buffer, 0)
        with pytest.raises(BlockingIOError):
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
