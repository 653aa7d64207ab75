"""The block cache: what was fetched once, on local disk, for all processes of a user.

A block is a file `data/ab/<rest of the key>.<index>`, sealed so that a torn or damaged one shows
(artfs/blobs/sealed.py). It is written in `tmp`, renamed, and never synced: losing it costs a
request. Nothing here is needed: the whole directory may vanish at any time,
and a disk that is full or broken is passed over.

A block's mtime says when it was last used. Its mode says whether that was more than once: those
that were not are evicted first, so that reading a large dataset once does not push out what is
read every day (artfs/blobs/eviction.py).
"""

from __future__ import annotations

import logging
import os
import random
import resource
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from cachetools import LRUCache

from artfs import forks
from artfs.blobs.block_locks import BlockLock, BlockLocks
from artfs.blobs.blocklists import LEAF_BYTES, leaf_count, leaves_of
from artfs.blobs.cache_eviction import Quota, evict
from artfs.blobs.cache_layout import (
    KEPT_MODE,
    NEW_MODE,
    CacheLayout,
)
from artfs.blobs.sealed import Seal, read_seal, read_sealed, write_sealed
from artfs.failpoints import reach
from artfs.model import BLOCK_SIZE_BYTES, PART_BYTES, Buffer, ByteRange, Digest
from artfs.system.files import (
    FileState,
    SharedDescriptor,
    file_state,
    open_quietly,
    pread_full,
)
from artfs.system.locks import hold_new_file

T = TypeVar("T")

logger = logging.getLogger(__name__)

WHOLE = -1
"""The index under which content is kept in one piece, whatever its size."""


def part_index(number: int) -> int:
    """The index of a part of PART_BYTES, which is kept where no more of a block was wanted."""
    return -2 - number


def block_of(index: int) -> int:
    """The block that is kept under an index, or in which the part is that is kept there."""
    return index if index >= 0 else (-2 - index) * PART_BYTES // BLOCK_SIZE_BYTES


_SETTLED_S = 60.0
"""A use so soon after the last one is the same use: 64 processes that read one file together."""
_BYPASS_S = 30.0
_MAX_OPEN_BLOCKS = 4096


class OpenBlock:
    """The file of a block, its bytes first, and which of its leaves were found right here."""

    __slots__ = ("_proved", "file", "seal", "state")

    def __init__(self, file: SharedDescriptor, seal: Seal, state: FileState) -> None:
        """`state`: of the file when it was opened. In another state it may hold anything."""
        self.file = file
        self.seal = seal
        self.state = state
        # A bit for each leaf. One that is lost, since two threads set theirs at once, is set later.
        self._proved = 0

    @property
    def size_bytes(self) -> int:
        """Of the block."""
        return self.seal.size_bytes

    def is_proved(self, span: ByteRange) -> bool:
        """Whether all leaves of a span, of a byte at least, were found right."""
        wanted = _bits(leaves_of(span))
        return self._proved & wanted == wanted

    def prove(self, leaves: range) -> None:
        """Leaves were found right in a file that is in the same state."""
        self._proved |= _bits(leaves)


def _bits(leaves: range) -> int:
    return ((1 << len(leaves)) - 1) << leaves.start


class BlockCache:
    """Blocks by key and index. Thread-safe; any number of processes may share one directory.

    No method raises for anything that is wrong with the cache's disk.
    """

    def __init__(
        self, root: Path, quota: Quota | None = None, *, read_directly: bool = False
    ) -> None:
        """`read_directly`: full blocks are read past the page cache."""
        self.layout = CacheLayout(root)
        self.quota = quota or Quota.standard(root)
        self._read_directly = read_directly
        self._flights = BlockLocks(self.layout.lock_file)
        self._lock = forks.lock()
        # Many short processes check as often, all together, as one that runs long.
        self._unchecked_bytes = random.randrange(self.quota.check_after_bytes)  # noqa: S311 - spreads work
        self._bypassed_until_s = 0.0
        self._ghosts: frozenset[bytes] = frozenset()
        self._ghosts_mtime_ns = -1
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        size = _MAX_OPEN_BLOCKS if limit < 0 else max(64, min(_MAX_OPEN_BLOCKS, limit // 4))
        self._open: LRUCache[tuple[Digest, int], OpenBlock] = LRUCache(size)

    @property
    def bypassed(self) -> bool:
        """Whether writing failed a moment ago, so that nothing is kept for now."""
        return time.monotonic() < self._bypassed_until_s

    def read(self, key: Digest, index: int, *, expected: bytes | None = None) -> Buffer | None:
        """A block's bytes, checked against `expected`, its SHA-256 or root, or as it was written.

        None where it is not there; a block that fails its check is dropped. Blocks: disk, hash.
        """
        found = self._or_dropped(key, index, lambda path: self._whole(path, expected))
        if found is None:
            return None
        data, block = found
        self._keep_open(key, index, block)
        return data

    def _whole(self, path: Path, expected: bytes | None) -> tuple[Buffer, OpenBlock]:
        opened = SharedDescriptor(open_quietly(path))
        _note_use(opened.fd)
        state = file_state(opened.fd)
        directly = self._read_directly and state.size_bytes > BLOCK_SIZE_BYTES
        found = read_sealed(opened, directly=directly)
        if found is None or not _is_expected(expected, found[1], found[0]):
            raise _Damaged
        data, seal = found
        block = OpenBlock(opened, seal, state)
        block.prove(range(leaf_count(seal.size_bytes)))
        return data, block

    def read_span(
        self, key: Digest, index: int, span: ByteRange, *, expected: bytes | None = None
    ) -> Buffer | None:
        """Bytes of a block, of which only the leaves in which they lie are read and checked.

        None where the block is not there, is shorter, or is not known to be what is `expected`:
        `read` may find out. A block that fails its check is dropped. Blocks: disk, hash.
        """

        def read(path: Path) -> Buffer | None:
            block = self._open_block(key, index, path)
            seal = block.seal
            if span.stop > seal.size_bytes or expected not in {None, seal.proof}:
                return None
            leaves = leaves_of(span)
            start = leaves.start * LEAF_BYTES
            length = min(leaves.stop * LEAF_BYTES, seal.size_bytes) - start
            data = pread_full(block.file.fd, length, start)
            if len(data) != length or not seal.proves(leaves.start, data):
                raise _Damaged
            block.prove(leaves)
            return memoryview(data)[span.start - start :][: span.length]

        return self._or_dropped(key, index, read)

    def _open_block(self, key: Digest, index: int, path: Path) -> OpenBlock:
        block = self.opened(key, index)
        if block is not None and file_state(block.file.fd) == block.state:
            return block
        opened = SharedDescriptor(open_quietly(path))
        _note_use(opened.fd)
        state = file_state(opened.fd)
        seal = read_seal(opened.fd)
        if seal is None:
            raise _Damaged
        block = OpenBlock(opened, seal, state)
        self._keep_open(key, index, block)
        return block

    def _or_dropped(self, key: Digest, index: int, read: Callable[[Path], T]) -> T | None:
        """What `read` finds in a block, which is dropped if it cannot be read, or is damaged."""
        path = self.layout.block(key, index)
        try:
            return read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("cache: %s cannot be read: %s", path, error)
        except _Damaged:
            logger.warning("cache: %s is damaged, it is fetched again", path)
        self.drop(key, index)
        return None

    def _keep_open(self, key: Digest, index: int, block: OpenBlock) -> None:
        with self._lock:
            self._open[key, index] = block

    def opened(self, key: Digest, index: int) -> OpenBlock | None:
        """A block that was read or written here before, or parts of it.

        Never blocks on a disk.
        """
        with self._lock:
            return self._open.get((key, index))

    def has(self, key: Digest, index: int) -> bool:
        """Whether the block seems to be there; it was not checked. Blocks: disk, briefly."""
        return os.path.exists(self.layout.block(key, index))  # noqa: PTH110 - false on a broken disk

    def put(self, key: Digest, index: int, data: Buffer, *, proved_by: bytes | None = None) -> bool:
        """Keep a block whose bytes are known to be right; whether that went well.

        `proved_by` is the SHA-256 or root by which that is known, if there is one: who reads the
        block and expects it need not compute it. Blocks: disk and hash; now and then to evict
        others.
        """
        if self.bypassed or len(data) > self.quota.limit_bytes:
            return False
        try:
            self._make_room(len(data))
            mode = self._mode_for(key, index)
            opened, seal = self._write(self.layout.block(key, index), data, mode, proved_by)
            block = OpenBlock(opened, seal, file_state(opened.fd))
        except OSError as error:
            self._bypass(str(error))
            return False
        block.prove(range(leaf_count(seal.size_bytes)))
        self._keep_open(key, index, block)
        return True

    def rename(self, key: Digest, index: int, *, to: Digest) -> None:
        """Let a block, if it is there, be one of the content `to`, whose key was not known yet."""
        path, target = self.layout.block(key, index), self.layout.block(to, index)
        try:
            self.layout.create(target.parent)
            path.rename(target)
        except OSError:
            self.drop(key, index)
            return
        with self._lock:
            opened = self._open.pop((key, index), None)
            if opened is not None:
                self._open[to, index] = opened

    def drop(self, key: Digest, index: int) -> None:
        """Forget a block that turned out to be wrong."""
        with self._lock:
            self._open.pop((key, index), None)
        with suppress(OSError):
            self.layout.block(key, index).unlink()

    @contextmanager
    def flight(self, key: Digest, index: int, *, timeout_s: float) -> Iterator[BlockLock]:
        """The right to fetch a block, which one thread of all processes has at a time.

        Whoever gets it looks first whether the block has come meanwhile. A disk that cannot lock
        gives the right to everybody. Blocks: up to `timeout_s`. Raises: DeadlineExceeded.
        """
        with self._flights.take(key, index, timeout_s=timeout_s) as flight:
            yield flight

    def read_note(self, key: Digest) -> bytes | None:
        """What was noted of some content; None where there is nothing."""
        try:
            found = read_sealed(SharedDescriptor(open_quietly(self.layout.note(key))))
        except OSError:
            return None
        return None if found is None else bytes(found[0])

    def write_note(self, key: Digest, text: bytes) -> None:
        """Keep a few bytes about some content."""
        with suppress(OSError):
            self._write(self.layout.note(key), text, KEPT_MODE)

    def pin(self, label: str, keys: Iterable[Digest]) -> None:
        """Keep the blocks of these contents from eviction until `unpin(label)`.

        Raises: OSError, for a pin that is not written must not seem to be.
        """
        text = b"".join([label.encode(), b"\0", *keys])
        self._write(self.layout.pin(label), text, KEPT_MODE)

    def unpin(self, label: str) -> bool:
        """Undo `pin`; whether there was one. Raises: OSError."""
        path = self.layout.pin(label)
        existed = path.exists()
        path.unlink(missing_ok=True)
        return existed

    def _make_room(self, size_bytes: int) -> None:
        with self._lock:
            self._unchecked_bytes += size_bytes
            due = self._unchecked_bytes >= self.quota.check_after_bytes
            if due:
                self._unchecked_bytes = 0
        short = self.quota.missing_bytes(self.layout.root) + size_bytes
        if due or short > 0:
            evict(self.layout, self.quota)
            if self.quota.missing_bytes(self.layout.root) + size_bytes > 0:
                raise OSError(f"less than {self.quota.reserve_bytes} bytes of its disk are free")

    def _write(
        self, path: Path, data: Buffer, mode: int, proved_by: bytes | None = None
    ) -> tuple[SharedDescriptor, Seal]:
        try:
            return self._write_once(path, data, mode, proved_by)
        except FileNotFoundError:
            # First use, or somebody removed the cache under a running mount.
            self.layout.create(path.parent)
            return self._write_once(path, data, mode, proved_by)

    def _write_once(
        self, path: Path, data: Buffer, mode: int, proved_by: bytes | None
    ) -> tuple[SharedDescriptor, Seal]:
        temporary = self.layout.tmp / secrets.token_hex(8)
        # Held as long as it is open: eviction tells by that what a killed process left.
        opened = SharedDescriptor(hold_new_file(temporary, mode=mode).detach())
        try:
            seal = write_sealed(opened.fd, data, proved_by)
            reach("cache.written")
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return opened, seal

    def _mode_for(self, key: Digest, index: int) -> int:
        """A block that was evicted not long ago is not new: this is its second use."""
        return KEPT_MODE if self.layout.ghost(key, index) in self._known_ghosts() else NEW_MODE

    def _known_ghosts(self) -> frozenset[bytes]:
        try:
            mtime_ns = self.layout.ghosts.stat().st_mtime_ns
            if mtime_ns != self._ghosts_mtime_ns:
                self._ghosts = self.layout.read_ghosts()
                self._ghosts_mtime_ns = mtime_ns
        except OSError:
            self._ghosts = frozenset()
        return self._ghosts

    def _bypass(self, why: str) -> None:
        if not self.bypassed:
            logger.warning("cache: passed over for %.0f s: %s", _BYPASS_S, why)
        self._bypassed_until_s = time.monotonic() + _BYPASS_S


class _Damaged(Exception):
    """A file that is not what was written."""


def _is_expected(expected: bytes | None, seal: Seal, data: Buffer) -> bool:
    at_hand = seal.root if seal.proof is None else seal.proof
    if expected is None or expected == at_hand:
        return True
    return seal.proof is None and expected == sha256(data).digest()


def _note_use(fd: int) -> None:
    with suppress(OSError):
        status = os.fstat(fd)
        if abs(time.time() - status.st_mtime) > _SETTLED_S:
            os.utime(fd)
            if not status.st_mode & 0o200:
                os.fchmod(fd, KEPT_MODE)
