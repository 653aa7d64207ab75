"""One request per block, however many threads of however many processes want it.

The right to fetch a block is a lock on one byte of one file. Such locks need no cleaning up: the
kernel drops them with the file descriptor, also of a process that was killed. They belong to the
open file description, so threads exclude each other just as processes do; children that are forked
meanwhile do not have it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from artfs import forks
from artfs.errors import DeadlineExceeded
from artfs.model import Digest
from artfs.system.directories import make_parents

_FLOCK = struct.Struct("@hhqqi4x")  # struct flock of 64-bit Linux
_HELD = frozenset({errno.EAGAIN, errno.EACCES})
_INDEX_BITS = 24
_KEY_MASK = (1 << (62 - _INDEX_BITS)) - 1
_FIRST_WAIT_S = 0.001
_MAX_WAIT_S = 0.05


class BlockLock:
    """The right to fetch one block, and then more blocks of the same content."""

    __slots__ = ("_fd", "_key")

    def __init__(self, fd: int | None, key: Digest) -> None:
        self._fd = fd
        self._key = key

    def extend(self, index: int) -> bool:
        """Take another block as well, if nobody has it; never waits."""
        return self._fd is None or _try_lock(self._fd, _position(self._key, index), fcntl.F_WRLCK)

    def release(self, index: int) -> None:
        """Let others have a block: it is in the cache."""
        if self._fd is not None:
            with suppress(OSError):
                _try_lock(self._fd, _position(self._key, index), fcntl.F_UNLCK)


class BlockLocks:
    """Flights of one cache directory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def take(self, key: Digest, index: int, *, timeout_s: float) -> Iterator[BlockLock]:
        """See BlockCache.flight."""
        fd = self._open()
        try:
            if fd is not None and not _wait(fd, _position(key, index), timeout_s):
                raise DeadlineExceeded(
                    f"block {index}", f"another process did not fetch it in {timeout_s:.0f} s"
                )
            yield BlockLock(fd, key)
        finally:
            if fd is not None:
                forks.close_private(fd)

    def _open(self) -> int | None:
        flags = os.O_RDWR | os.O_CREAT
        try:
            return forks.open_private(self._path, flags)
        except FileNotFoundError:
            pass
        except OSError:
            return None
        try:
            make_parents(self._path.parent)
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            return forks.open_private(self._path, flags)
        except OSError:
            return None


def _position(key: Digest, index: int) -> int:
    """The byte that stands for a block; contents that share one only wait for each other."""
    return (int.from_bytes(key[:8]) & _KEY_MASK) << _INDEX_BITS | (index & (1 << _INDEX_BITS) - 1)


def _wait(fd: int, position: int, timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    wait_s = _FIRST_WAIT_S
    try:
        while not _try_lock(fd, position, fcntl.F_WRLCK):
            # A wait in the kernel could not be given up.
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(wait_s)
            wait_s = min(_MAX_WAIT_S, wait_s * 1.5)
    except OSError:
        # A file system without locks: everybody fetches.
        return True
    return True


def _try_lock(fd: int, position: int, kind: int) -> bool:
    lock = _FLOCK.pack(kind, os.SEEK_SET, position, 1, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True
