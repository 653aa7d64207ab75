"""What a host that dies leaves of a directory: what was synced, and some of what was not.

A file's bytes are as they were when it was last synced, or as they are, sector by sector. A name
is as it was when its directory was last synced, or as it is, name by name. That is more than file
systems lose, and less than any of them promises to keep.

SQLite syncs its files by itself: before it moves its log into the database, after it, and when it
begins the log anew. What it leaves is what it is, but for the log behind its head.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

_SECTOR_BYTES = 512
_LOG_HEAD_BYTES = 32
_DATABASE = ".sqlite"
_LOG = ".sqlite-wal"
_LOST_SUFFIXES = ("-shm",)


class PowerCut:
    """Watches a directory, with those below it, from when everything in it was durable."""

    def __init__(self, root: Path, random: Random) -> None:
        self._root = root
        self._random = random
        self._bytes: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {}
        self._opened: dict[int, int] = {}
        for directory, _, _ in os.walk(root):
            self._sync_directory(Path(directory))
            for entry in os.scandir(directory):
                if entry.is_file():
                    self._bytes[entry.inode()] = Path(entry.path).read_bytes()

    def close(self) -> None:
        """Let the files go."""
        for fd in self._opened.values():
            os.close(fd)

    @contextmanager
    def watching(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Take note of what is synced by this process."""
        fsync: Callable[[int], None] = os.fsync

        def noted_fsync(fd: int) -> None:
            fsync(fd)
            self._note(fd)

        with patch.context() as inner:
            inner.setattr(os, "fsync", noted_fsync)
            yield

    def leave(self, target: Path) -> None:
        """Make what the host leaves, were it to die now."""
        for directory, durable in self._names.items():
            there = target / directory.relative_to(self._root)
            there.mkdir(parents=True)
            present = self._present(directory)
            for name in sorted(durable.keys() | present.keys()):
                inode = self._random.choice([durable.get(name), present.get(name)])
                if inode is not None and not name.endswith(_LOST_SUFFIXES):
                    (there / name).write_bytes(self._left_of(name, inode))

    def _left_of(self, name: str, inode: int) -> bytes:
        with open(self._opened[inode], "rb", closefd=False) as file:
            file.seek(0)
            now = file.read()
        if name.endswith(_DATABASE):
            return now
        before = self._bytes.get(inode, b"")
        head = _LOG_HEAD_BYTES if name.endswith(_LOG) else 0
        left = bytearray(max(now, before, key=len))
        ratio = self._random.random()
        for start in range(0, len(left), _SECTOR_BYTES):
            span = slice(max(start, head), start + _SECTOR_BYTES)
            kept = now if self._random.random() < ratio else before
            left[span] = kept[span].ljust(len(left[span]), b"\0")
        return bytes(left[: self._random.choice([len(now), max(len(before), head)])])

    def _note(self, fd: int) -> None:
        found = os.fstat(fd)
        link = Path(f"/proc/self/fd/{fd}")
        if stat.S_ISDIR(found.st_mode):
            for directory in self._names:
                if directory.stat().st_ino == found.st_ino:
                    self._sync_directory(directory)
        elif link.readlink().is_relative_to(self._root):
            self._keep_open(found.st_ino, link)
            self._bytes[found.st_ino] = link.read_bytes()

    def _sync_directory(self, directory: Path) -> None:
        self._names[directory] = self._present(directory)

    def _present(self, directory: Path) -> dict[str, int]:
        names = {}
        for entry in os.scandir(directory):
            if entry.is_file():
                names[entry.name] = entry.inode()
                self._keep_open(entry.inode(), Path(entry.path))
        return names

    def _keep_open(self, inode: int, path: Path) -> None:
        # No other file gets its number then.
        if inode not in self._opened:
            self._opened[inode] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
