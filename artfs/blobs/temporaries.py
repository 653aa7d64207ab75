"""Where files are until they have their place: a directory of each process, held as long as it is.

TMP/0123456789abcdef/pack.89abcdef01234567      in a directory that its process holds (locks.py)

What is in a directory that nobody holds was left behind by a process that is gone. Anything else
in TMP is not ours.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs import forks
from artfs.blobs.base import not_mounted
from artfs.errors import PathNotFound
from artfs.system.directories import DirectoryHandle
from artfs.system.locks import Held, hold_new_directory, is_held, take_abandoned
from artfs.system.oserrors import translate_os_errors

_OURS = re.compile(r"[0-9a-f]{16}")


class TemporaryFile(msgspec.Struct, frozen=True):
    """A file or directory that is not in its place yet."""

    path: Path
    size_bytes: int
    is_held: bool
    """Whether the process that made it may be at work still, on whatever host."""


class Temporaries:
    """Names for temporary files in the directory `root`, which must exist. Thread-safe.

    The files may be renamed, linked and removed by whoever made them; none needs to be closed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        # None is let go of before this is: two threads may make one each.
        self._held: list[tuple[Path, Held]] = []
        forks.in_child(self._leave_to_parent)

    def new(self, prefix: str) -> Path:
        """A path that nothing else uses, for the caller to create something at.

        Raises: PermissionDenied, OutOfSpace, BackendUnavailable.
        """
        return self._directory() / f"{prefix}.{secrets.token_hex(8)}"

    def made(self, path: Path) -> bool:
        """Whether a path is one that `new` gave to this process."""
        return any(path.parent == self._shown(own, held) for own, held in self._held)

    def all(self) -> Iterator[TemporaryFile]:
        """Everything that has not its place yet, whoever made it.

        Raises: PermissionDenied, BackendUnavailable.
        """
        with self._open() as root:
            for name in _ours(root):
                held = is_held(name, dir_fd=root.fd)
                with suppress(FileNotFoundError, PermissionError), root.below(name) as directory:
                    for each in directory.names():
                        size_bytes = _size_bytes(each, directory.fd)
                        yield TemporaryFile(directory.path / each, size_bytes, held)

    def remove_abandoned(self) -> list[TemporaryFile]:
        """Remove what nobody holds; what it was. What is another user's stays, for them or root.

        Raises: PermissionDenied, BackendUnavailable.
        """
        removed: list[TemporaryFile] = []
        with self._open() as root:
            for name in _ours(root):
                held = take_abandoned(name, dir_fd=root.fd)
                if held is None:
                    continue
                with translate_os_errors(root.path / name), suppress(NotADirectoryError):
                    with os.scandir(held.fd) as entries:
                        names = sorted(entry.name for entry in entries)
                    removed += [
                        TemporaryFile(
                            root.path / name / each, _size_bytes(each, held.fd), is_held=False
                        )
                        for each in names
                    ]
                    root.remove(name)
                held.close()
        return removed

    def _open(self) -> DirectoryHandle:
        try:
            with translate_os_errors(self._root), DirectoryHandle.at(self._root.parent) as parent:
                return parent.below(self._root.name)
        except PathNotFound:
            raise not_mounted(self._root) from None

    def _directory(self) -> Path:
        for path, held in self._held:
            if held.is_at(path):
                return self._shown(path, held)
        with self._open() as root:
            path = root.path / secrets.token_hex(8)
            with translate_os_errors(path):
                held = hold_new_directory(path.name, dir_fd=root.fd)
            self._is_among_others = root.ownership.is_shared or root.ownership.uid != os.geteuid()
        self._held.append((path, held))
        forks.finalize(self, _leave, path)
        return self._shown(path, held)

    def _shown(self, path: Path, held: Held) -> Path:
        """The directory's path; where others can rename it, one that leads to no other."""
        return Path(f"/proc/self/fd/{held.fd}") if self._is_among_others else path

    def _leave_to_parent(self) -> None:
        # A forked child has its own, and does not hold what its parent alone can end.
        self._held = []


def _ours(root: DirectoryHandle) -> list[str]:
    with translate_os_errors(root.path):
        return [name for name in root.names() if _OURS.fullmatch(name)]


def _leave(path: Path) -> None:
    """Remove the directory of a process that ends; where something is left in it, gc does."""
    with suppress(OSError):
        path.rmdir()


def _size_bytes(name: str, directory_fd: int) -> int:
    """The size of a file, or of all files in a directory; 0 where it is gone meanwhile."""
    with suppress(OSError):
        status = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size
        return sum(
            os.stat(each, dir_fd=fd, follow_symlinks=False).st_size
            for _, _, files, fd in os.fwalk(name, dir_fd=directory_fd)
            for each in files
        )
    return 0
