"""A proof holds while the file is what it was: bytes that were changed on the disk are an error."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from artfs.content.blobs import stored_object
from artfs.engine.fetch import BUDGET_BYTES
from artfs.manifest.entries import FileEntry
from artfs.model import BLOCK_SIZE_BYTES
from artfs.repository.facade import Repository
from artfs.sdk.api import Api
from tests.support.mounts import Mounter
from tests.support.stores import commit

LARGE = Random(3).randbytes(BLOCK_SIZE_BYTES + 5000)
SMALL = Random(4).randbytes(50_000)
OTHERS = BUDGET_BYTES + 8 * BLOCK_SIZE_BYTES
PAGE = 4096


class Uncached:
    """An open file whose reads the kernel passes on, whatever pages it has."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECT)

    def read(self, offset: int) -> bytes:
        """A page of it."""
        with mmap.mmap(-1, PAGE) as buffer:
            return buffer[: os.preadv(self._fd, [buffer], offset)]

    def close(self) -> None:
        os.close(self._fd)


@contextmanager
def uncached(path: Path) -> Iterator[Uncached]:
    file = Uncached(path)
    try:
        yield file
    finally:
        file.close()


@pytest.fixture
def root(repository: Repository, mounted: Mounter) -> Path:
    """A mounted version with one large file, one in a pack, and more than stays in memory."""
    others = bytes(BLOCK_SIZE_BYTES).join(b"%d" % number for number in range(50))
    assert len(others) > OTHERS
    commit(repository, "p/a", {"large": LARGE, "small": SMALL, "others": others})
    return mounted(repository, "p/a:v0")


def push_out(repository: Repository, root: Path) -> None:
    """Read so much that no block of another file is in the daemon's memory."""
    entry = repository.find(repository.resolve("p/a").tree, "others")
    assert isinstance(entry, FileEntry)
    assert repository.info.root is not None
    stored = repository.info.root / str(stored_object(repository.blobs.locate(entry.sha256)))
    # What was proved before need not be loaded; this ends the proof.
    stored.chmod(stored.stat().st_mode)
    with uncached(root / "others") as others:
        for offset in range(0, OTHERS, BLOCK_SIZE_BYTES):
            others.read(offset)


def change(path: Path, offset: int) -> None:
    """Change a byte in place, and leave no trace in mode and mtime."""
    status = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 255]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.chmod(status.st_mode)


def assert_refused(file: Uncached, offset: int) -> None:
    with pytest.raises(OSError) as caught:
        file.read(offset)
    assert caught.value.errno == errno.EIO


def test_r2_a_blob_that_is_changed_through_the_hard_link_of_a_download_is_not_served(
    repository: Repository, root: Path, tmp_path: Path
) -> None:
    with uncached(root / "large") as large:
        assert large.read(0) == LARGE[:PAGE]
        Api(store=repository.info.location).artifact("p/a:v0").download(
            str(tmp_path / "copy"), link=True
        )
        linked = tmp_path / "copy" / "large"
        assert linked.stat().st_nlink == 2
        # A link alone changes nothing, from memory and from the disk.
        push_out(repository, root)
        assert large.read(PAGE) == LARGE[PAGE : 2 * PAGE]
        push_out(repository, root)
        change(linked, 2 * PAGE + 5)
        assert_refused(large, 2 * PAGE)
        assert_refused(large, 0)
        # The other block is what it was.
        assert large.read(BLOCK_SIZE_BYTES) == LARGE[BLOCK_SIZE_BYTES:][:PAGE]
        push_out(repository, root)
        change(linked, 2 * PAGE + 5)
        assert large.read(2 * PAGE) == LARGE[2 * PAGE : 3 * PAGE]


def test_r2_a_pack_that_is_changed_in_place_is_not_served(
    repository: Repository, root: Path
) -> None:
    entry = repository.find(repository.resolve("p/a").tree, "small")
    assert isinstance(entry, FileEntry)
    record = repository.blobs.locate(entry.sha256)
    assert repository.info.root is not None
    pack = repository.info.root / str(stored_object(record))
    with uncached(root / "small") as small:
        assert small.read(0) == SMALL[:PAGE]
        push_out(repository, root)
        change(pack, record.offset + PAGE)
        assert_refused(small, PAGE)
        change(pack, record.offset + PAGE)
        assert small.read(PAGE) == SMALL[PAGE : 2 * PAGE]
