"""One pass over content for all its digests: SHA-256, md5, size and block list.

Of a large file one thread computes the md5 and another one all else, while the caller reads and
copies: md5 is the slowest, and hashlib and blake3 work without the GIL. So a file costs
little more than its md5 alone (docs/benchmarks.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import md5, sha256

import msgspec

from artfs.blobs.blocklists import BlockListWriter, block_list_key
from artfs.model import BLOCK_SIZE_BYTES, BlockList, Buffer, Digest, block_count
from artfs.system.files import (
    DirectWriter,
    check_unchanged,
    clone_file,
    file_name,
    file_state,
    fill_buffer,
    pwrite_full,
    read_whole,
)
from artfs.system.oserrors import translated

_PARALLEL_FROM_BYTES = 2 * BLOCK_SIZE_BYTES
_BUFFER_COUNT = 4


class ContentHash(msgspec.Struct, frozen=True):
    """Everything that artfs wants to know of some content."""

    sha256: Digest
    md5: bytes
    size_bytes: int
    block_list: bytes | None
    """The block list (artfs/blobs/blocklists.py); None for content of one block or less."""

    @property
    def blocks(self) -> BlockList | None:
        """What an entry says of the block list."""
        return None if self.block_list is None else block_list_key(self.block_list, self.size_bytes)


def hash_bytes(data: bytes) -> ContentHash:
    """The digests of content in memory."""
    blocks = BlockListWriter()
    view = memoryview(data)
    if len(data) > BLOCK_SIZE_BYTES:
        for at in range(0, len(data), BLOCK_SIZE_BYTES):
            blocks.add(view[at : at + BLOCK_SIZE_BYTES])
    return ContentHash(
        Digest(sha256(data).digest()), md5(data).digest(), len(data), blocks.finish()
    )


def hash_file(
    fd: int,
    *,
    copy_to: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> ContentHash:
    """The digests of an open file, which is read once, from its start.

    `copy_to` is an empty file, open for reading and writing, that gets exactly the bytes that
    were hashed. `on_bytes` hears in this thread how many more bytes were read.
    Memory: at most 16 MiB. Blocks: disk, processor.
    Raises: SourceChanged, OutOfSpace, PermissionDenied, BackendUnavailable.
    """
    try:
        if copy_to is not None and clone_file(fd, copy_to):
            # The clone holds still, and it is what will be stored.
            fd, copy_to = copy_to, None
        if os.fstat(fd).st_size >= _PARALLEL_FROM_BYTES:
            return _hash_large(fd, copy_to, on_bytes)
        data = read_whole(fd)
        if copy_to is not None:
            pwrite_full(copy_to, data, 0)
    except OSError as error:
        raise translated(error, file_name(fd)) from error
    if on_bytes is not None:
        on_bytes(len(data))
    return hash_bytes(data)


class _Proofs:
    """The SHA-256 of the whole and the block list, fed block by block."""

    def __init__(self) -> None:
        self.whole = sha256()
        self.blocks = BlockListWriter()

    def update(self, block: memoryview) -> None:
        self.whole.update(block)
        self.blocks.add(block)


def _hash_large(
    fd: int, copy_to: int | None, on_bytes: Callable[[int], None] | None
) -> ContentHash:
    before = file_state(fd)
    md5_sum, proofs = md5(), _Proofs()
    buffer_count = min(_BUFFER_COUNT, block_count(before.size_bytes))
    buffers = [memoryview(bytearray(BLOCK_SIZE_BYTES)) for _ in range(buffer_count)]
    users: list[tuple[Future[None], ...]] = [()] * buffer_count
    offset = 0
    # Executors of one thread each: what is submitted runs in order, and its errors come back.
    with ThreadPoolExecutor(1) as md5_thread, ThreadPoolExecutor(1) as sha256_thread:
        while offset < before.size_bytes:
            slot = offset // BLOCK_SIZE_BYTES % buffer_count
            for user in users[slot]:
                user.result()
            count = fill_buffer(fd, buffers[slot], offset)
            if count == 0:
                break
            block = buffers[slot][:count]
            users[slot] = (
                md5_thread.submit(md5_sum.update, block),
                sha256_thread.submit(proofs.update, block),
            )
            if copy_to is not None:
                pwrite_full(copy_to, block, offset)
            offset += count
            if on_bytes is not None:
                on_bytes(count)
        for user in (user for slot_users in users for user in slot_users):
            user.result()
    check_unchanged(fd, before, offset)
    return ContentHash(
        Digest(proofs.whole.digest()), md5_sum.digest(), offset, proofs.blocks.finish()
    )


class StreamHash:
    """The digests of content that comes piece by piece, and is written to a file as it comes.

    For one writer. md5 and SHA-256 are computed, and the file written, by threads of its own while
    the next piece comes; one that is `BLOCK_SIZE_BYTES` long at most waits for them. Blocks of
    `page_buffer` are written past the page cache.
    """

    def __init__(self, fd: int) -> None:
        """`fd` is an empty file, open for writing."""
        self._fd = fd
        self._file = DirectWriter(fd)
        self._md5, self._proofs = md5(), _Proofs()
        self._md5_thread = ThreadPoolExecutor(1, "artfs-md5")
        self._sha256_thread = ThreadPoolExecutor(1, "artfs-sha256")
        self._write_thread = ThreadPoolExecutor(1, "artfs-write")
        self._pending: tuple[Future[None], ...] = ()
        self.size_bytes = 0

    def feed(self, block: Buffer) -> None:
        """Take the next block: all but the last are BLOCK_SIZE_BYTES long.

        Blocks: until the block before is done. Raises: OutOfSpace, BackendUnavailable.
        """
        self._wait()
        view, offset = memoryview(block), self.size_bytes
        self.size_bytes += len(block)
        self._pending = (
            self._md5_thread.submit(self._md5.update, view),
            self._sha256_thread.submit(self._proofs.update, view),
            self._write_thread.submit(self._file.write, view, offset),
        )

    def finish(self) -> ContentHash:
        """The digests of all that came. Blocks and raises as `feed`."""
        self._wait()
        self.close()
        return ContentHash(
            Digest(self._proofs.whole.digest()),
            self._md5.digest(),
            self.size_bytes,
            self._proofs.blocks.finish(),
        )

    def close(self) -> None:
        """Let go of the threads."""
        self._md5_thread.shutdown()
        self._sha256_thread.shutdown()
        self._write_thread.shutdown()
        self._file.close()

    def _wait(self) -> None:
        pending, self._pending = self._pending, ()
        try:
            for each in pending:
                each.result()
        except OSError as error:
            raise translated(error, file_name(self._fd)) from error
