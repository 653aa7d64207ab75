"""The block cache: what was fetched once, on local disk, for all processes of a user.

A block is a file `data/ab/<rest of the key>.<index>`: its bytes, then a trailer with their
SHA-256, so that a torn or damaged file shows. It is written in `tmp`, renamed, and never synced:
losing it costs a request. Nothing here is needed: the whole directory may vanish at any time,
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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from cachetools import LRUCache

from artfs import forks
from artfs.blobs.block_locks import BlockLock, BlockLocks
from artfs.blobs.cache_eviction import Quota, evict
from artfs.blobs.cache_layout import (
    KEPT_MODE,
    NEW_MODE,
    CacheLayout,
    read_checksummed,
    read_checksummed_directly,
    write_checksummed,
)
from artfs.model import BLOCK_SIZE_BYTES, Buffer, Digest
from artfs.system.files import FileState, SharedDescriptor, file_state, open_quietly
from artfs.system.locks import hold_new_file

logger = logging.getLogger(__name__)

WHOLE = -1
"""The index under which content is kept in one piece, whatever its size."""

_SETTLED_S = 60.0
"""A use so soon after the last one is the same use: 64 processes that read one file together."""
_BYPASS_S = 30.0
_MAX_OPEN_BLOCKS = 4096


class OpenBlock(msgspec.Struct, frozen=True, gc=False):
    """The file of a block that was found right; its bytes come first."""

    file: SharedDescriptor
    size_bytes: int
    """Of the block."""
    state: FileState
    """Of the file when it was read. In another state it may hold anything."""


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
        """A block's bytes, checked against `expected`, a SHA-256, or that of when it was written.

        None where it is not there; a block that fails its check is dropped. Blocks: disk, hash.
        """
        path = self.layout.block(key, index)
        data: Buffer | None
        try:
            opened = SharedDescriptor(open_quietly(path))
            _note_use(opened.fd)
            state = file_state(opened.fd)
            if self._read_directly and state.size_bytes > BLOCK_SIZE_BYTES:
                data = read_checksummed_directly(opened, expected)
            else:
                data = read_checksummed(opened.fd, expected)
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("cache: %s cannot be read: %s", path, error)
            self.drop(key, index)
            return None
        if data is None:
            logger.warning("cache: %s is damaged, it is fetched again", path)
            self.drop(key, index)
            return None
        with self._lock:
            self._open[key, index] = OpenBlock(opened, len(data), state)
        return data

    def opened(self, key: Digest, index: int) -> OpenBlock | None:
        """A block that was read or written here before.

        Never blocks on a disk.
        """
        with self._lock:
            return self._open.get((key, index))

    def has(self, key: Digest, index: int) -> bool:
        """Whether the block seems to be there; it was not checked. Blocks: disk, briefly."""
        return os.path.exists(self.layout.block(key, index))  # noqa: PTH110 - false on a broken disk

    def put(self, key: Digest, index: int, data: Buffer) -> bool:
        """Keep a block whose bytes are known to be right; whether that went well.

        Blocks: disk; now and then to evict other blocks.
        """
        if self.bypassed or len(data) > self.quota.limit_bytes:
            return False
        try:
            self._make_room(len(data))
            opened = self._write(self.layout.block(key, index), data, self._mode_for(key, index))
            state = file_state(opened.fd)
        except OSError as error:
            self._bypass(str(error))
            return False
        with self._lock:
            self._open[key, index] = OpenBlock(opened, len(data), state)
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
            opened = SharedDescriptor(open_quietly(self.layout.note(key)))
            return read_checksummed(opened.fd)
        except OSError:
            return None

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

    def _write(self, path: Path, data: Buffer, mode: int) -> SharedDescriptor:
        try:
            return self._write_once(path, data, mode)
        except FileNotFoundError:
            # First use, or somebody removed the cache under a running mount.
            self.layout.create(path.parent)
            return self._write_once(path, data, mode)

    def _write_once(self, path: Path, data: Buffer, mode: int) -> SharedDescriptor:
        temporary = self.layout.tmp / secrets.token_hex(8)
        # Held as long as it is open: eviction tells by that what a killed process left.
        opened = SharedDescriptor(hold_new_file(temporary, mode=mode).detach())
        try:
            write_checksummed(opened.fd, data)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return opened

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


def _note_use(fd: int) -> None:
    with suppress(OSError):
        status = os.fstat(fd)
        if abs(time.time() - status.st_mtime) > _SETTLED_S:
            os.utime(fd)
            if not status.st_mode & 0o200:
                os.fchmod(fd, KEPT_MODE)
