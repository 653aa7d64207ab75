from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from blake3 import blake3

from artfs.blobs.blocklists import LEAF_BYTES
from artfs.blobs.hashing import ContentHash, StreamHash, hash_bytes, hash_file
from artfs.errors import BackendUnavailable, PermissionDenied, SourceChanged
from artfs.model import BLOCK_SIZE_BYTES, Digest, block_count

MIB = 1024 * 1024
SIZES = [
    0,
    1,
    MIB - 1,
    MIB,
    MIB + 1,
    BLOCK_SIZE_BYTES - 1,
    BLOCK_SIZE_BYTES,
    BLOCK_SIZE_BYTES + 1,
    2 * BLOCK_SIZE_BYTES - 1,
    2 * BLOCK_SIZE_BYTES,
    2 * BLOCK_SIZE_BYTES + 1,
    6 * BLOCK_SIZE_BYTES,
    6 * BLOCK_SIZE_BYTES + 12345,
]
SMALL_AND_LARGE = [1000, 3 * BLOCK_SIZE_BYTES]


def expected_hash(data: bytes) -> ContentHash:
    blocks = [data[at : at + BLOCK_SIZE_BYTES] for at in range(0, len(data), BLOCK_SIZE_BYTES)]
    leaves = [
        b"".join(
            blake3(block[at : at + LEAF_BYTES]).digest() for at in range(0, len(block), LEAF_BYTES)
        )
        for block in blocks
    ]
    block_list = b"".join([*(blake3(each).digest() for each in leaves), *leaves])
    return ContentHash(
        sha256=Digest(hashlib.sha256(data).digest()),
        md5=hashlib.md5(data).digest(),
        size_bytes=len(data),
        block_list=block_list if len(blocks) > 1 else None,
    )


def random_file(path: Path, size_bytes: int) -> bytes:
    data = Random(size_bytes).randbytes(size_bytes)
    path.write_bytes(data)
    return data


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    fd = os.open(path, flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_bytes_have_the_hashes_that_hashlib_says(size_bytes: int) -> None:
    data = Random(size_bytes).randbytes(size_bytes)
    assert hash_bytes(data) == expected_hash(data)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_file_has_the_hashes_that_hashlib_says_and_its_copy_its_bytes(
    tmp_path: Path, size_bytes: int
) -> None:
    data = random_file(tmp_path / "source", size_bytes)
    seen: list[int] = []
    with (
        opened(tmp_path / "source") as fd,
        opened(tmp_path / "copy", os.O_RDWR | os.O_CREAT) as copy,
    ):
        assert hash_file(fd, copy_to=copy, on_bytes=seen.append) == expected_hash(data)
    assert (tmp_path / "copy").read_bytes() == data
    assert sum(seen) == size_bytes


@pytest.mark.parametrize("size_bytes", SMALL_AND_LARGE)
def test_the_file_position_does_not_matter_and_stays(tmp_path: Path, size_bytes: int) -> None:
    data = random_file(tmp_path / "source", size_bytes)
    with opened(tmp_path / "source") as fd:
        os.lseek(fd, 77, os.SEEK_SET)
        assert hash_file(fd).sha256 == hashlib.sha256(data).digest()
        assert os.lseek(fd, 0, os.SEEK_CUR) == 77


@pytest.mark.parametrize("size_bytes", SIZES)
def test_content_that_comes_in_blocks_has_the_hashes_of_the_file_that_it_becomes(
    tmp_path: Path, size_bytes: int
) -> None:
    data = Random(size_bytes).randbytes(size_bytes)
    path = tmp_path / "file"
    with path.open("wb") as file:
        stream = StreamHash(file.fileno())
        for start in range(0, size_bytes, BLOCK_SIZE_BYTES):
            stream.feed(data[start : start + BLOCK_SIZE_BYTES])
        found = stream.finish()
    assert path.read_bytes() == data
    assert found == hash_bytes(data)


def test_a_large_file_reports_progress_block_by_block(tmp_path: Path) -> None:
    size_bytes = 5 * BLOCK_SIZE_BYTES + 1
    random_file(tmp_path / "source", size_bytes)
    seen: list[int] = []
    with opened(tmp_path / "source") as fd:
        hash_file(fd, on_bytes=seen.append)
    assert seen == [BLOCK_SIZE_BYTES] * 5 + [1]
    assert len(seen) == block_count(size_bytes)


@pytest.mark.parametrize("change", ["append", "truncate", "overwrite", "touch"])
def test_a_large_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: str) -> None:
    source = tmp_path / "source"
    random_file(source, 4 * BLOCK_SIZE_BYTES)

    def meddle(_count: int) -> None:
        with source.open("r+b") as file:
            if change == "append":
                file.seek(0, os.SEEK_END)
                file.write(b"x")
            elif change == "truncate":
                file.truncate(BLOCK_SIZE_BYTES + 10)
            elif change == "overwrite":
                file.write(b"other bytes")
            else:
                os.utime(file.fileno())

    with (
        opened(source) as fd,
        pytest.raises(SourceChanged, match="source: changed while it was being read"),
    ):
        hash_file(fd, on_bytes=meddle)


def test_a_file_whose_size_is_a_lie_is_refused() -> None:
    # The kernel says that it is empty, and it is not.
    with opened(Path("/proc/self/stat")) as fd, pytest.raises(SourceChanged):
        hash_file(fd)


@pytest.mark.parametrize("size_bytes", SMALL_AND_LARGE)
def test_an_error_of_the_callback_ends_the_hashing(tmp_path: Path, size_bytes: int) -> None:
    random_file(tmp_path / "source", size_bytes)

    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with opened(tmp_path / "source") as fd, pytest.raises(KeyboardInterrupt):
        hash_file(fd, on_bytes=stop)


@pytest.mark.parametrize("size_bytes", SMALL_AND_LARGE)
def test_a_copy_that_cannot_be_written_is_an_error(tmp_path: Path, size_bytes: int) -> None:
    random_file(tmp_path / "source", size_bytes)
    (tmp_path / "copy").touch()
    with (
        opened(tmp_path / "source") as fd,
        opened(tmp_path / "copy", os.O_RDONLY) as copy,
        pytest.raises(BackendUnavailable, match="Bad file descriptor"),
    ):
        hash_file(fd, copy_to=copy)


def test_a_directory_cannot_be_hashed(tmp_path: Path) -> None:
    with (
        opened(tmp_path, os.O_RDONLY | os.O_DIRECTORY) as fd,
        pytest.raises((BackendUnavailable, PermissionDenied), match=tmp_path.name),
    ):
        hash_file(fd)
