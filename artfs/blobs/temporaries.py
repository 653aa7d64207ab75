"""Where files are until they have their place: a directory of each process, held as long as it is.

TMP/0123456789abcdef/pack.89abcdef01234567      in a directory that its process holds (locks.py)

What is in a directory that nobody holds was left behind by a process that is gone. Anything else
in TMP is not ours.
"""

from __future__ import annotations

import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.system import forks
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

    def all(self) -> Iterator[TemporaryFile]:
        """Everything that has not its place yet, whoever made it.

        Raises: PermissionDenied, BackendUnavailable.
        """
        for directory in self._directories():
            held = is_held(directory)
            with suppress(FileNotFoundError, PermissionError):
                for path in sorted(directory.iterdir()):
                    yield TemporaryFile(path, _size_bytes(path), held)

    def remove_abandoned(self) -> list[TemporaryFile]:
        """Remove what nobody holds; what it was.

        Raises: PermissionDenied, BackendUnavailable.
        """
        removed: list[TemporaryFile] = []
        for directory in self._directories():
            held = take_abandoned(directory)
            if held is None:
                continue
            with translate_os_errors(directory):
                paths = sorted(directory.iterdir())
                removed += [TemporaryFile(path, _size_bytes(path), is_held=False) for path in paths]
                shutil.rmtree(directory)
            held.close()
        return removed

    def _directories(self) -> list[Path]:
        with translate_os_errors(self._root):
            return sorted(path for path in self._root.iterdir() if _OURS.fullmatch(path.name))

    def _directory(self) -> Path:
        for path, held in self._held:
            if held.is_at(path):
                return path
        path = self._root / secrets.token_hex(8)
        with translate_os_errors(path):
            held = hold_new_directory(path)
        self._held.append((path, held))
        forks.finalize(self, _leave, path)
        return path

    def _leave_to_parent(self) -> None:
        # A forked child has its own, and does not hold what its parent alone can end.
        self._held = []


def _leave(path: Path) -> None:
    """Remove the directory of a process that ends; where something is left in it, gc does."""
    with suppress(OSError):
        path.rmdir()


def _size_bytes(path: Path) -> int:
    """The size of a file, or of all files in a directory; 0 where it is gone meanwhile."""
    with suppress(OSError):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size
        return sum(_size_bytes(inner) for inner in path.iterdir())
    return 0
