"""Directories below a root, reached step by step: no path is too long, and no tree too deep.

The system takes paths of up to 4,096 bytes, and a version may hold longer ones. Each directory is
opened from the one above it, of which the last ones stay open.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cachetools import LRUCache

from artfs.system import forks
from artfs.system.files import OpenFile

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MAX_OPEN = 64


class Below:
    """Opens directories by their path below `root`, which is none of the system's. Thread-safe."""

    def __init__(self, root: OpenFile, *, follow_links: bool = False) -> None:
        """Without `follow_links` a link in the way is an error, as a file is."""
        self._root = root
        self._flags = _FLAGS if follow_links else _FLAGS | os.O_NOFOLLOW
        self._lock = forks.lock()
        self._open: LRUCache[str, OpenFile] = LRUCache(_MAX_OPEN)

    def open(self, path: str, *, create: bool = False) -> tuple[OpenFile, bool]:
        """A directory, and whether `create` made it now; the empty path is the root.

        Raises: OSError: NotADirectoryError for what is none, FileNotFoundError.
        """
        missing: list[str] = []
        above = path
        while (found := self._known(above)) is None:
            above, _, name = above.rpartition("/")
            missing.append(name)
        is_new = False
        for name in reversed(missing):
            if create:
                is_new = _make(name, found)
            found = OpenFile(os.open(name, self._flags, dir_fd=found.fd))
            above = f"{above}/{name}" if above else name
            with self._lock:
                self._open[above] = found
        return found, is_new

    def walk(
        self, *, leave_out: Callable[[str], bool]
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        """Each directory from the root down, with the names of those in it and of all else in it.

        A link is no directory here, wherever it leads. `leave_out` is given each path; what it
        says yes to is passed over, and not looked into. Raises: OSError.
        """
        waiting = [""]
        while waiting:
            path = waiting.pop()
            directories: list[str] = []
            others: list[str] = []
            prefix = f"{path}/" if path else ""
            with os.scandir(self.open(path)[0].fd) as entries:
                for entry in entries:
                    if leave_out(prefix + entry.name):
                        continue
                    is_directory = entry.is_dir(follow_symlinks=False)
                    (directories if is_directory else others).append(entry.name)
            yield path, directories, others
            waiting.extend(prefix + name for name in directories)

    def _known(self, path: str) -> OpenFile | None:
        if not path:
            return self._root
        with self._lock:
            return self._open.get(path)


def open_directory(path: str | os.PathLike[str]) -> OpenFile:
    """A directory of the system's. Raises: OSError."""
    return OpenFile(os.open(path, _FLAGS))


def path_of(name: str | os.PathLike[str], directory_fd: int) -> Path:
    """A path of the system's to a name in an open directory; it is good while that stays open."""
    return Path(f"/proc/self/fd/{directory_fd}", name)


def _make(name: str, parent: OpenFile) -> bool:
    try:
        os.mkdir(name, dir_fd=parent.fd)
    except FileExistsError:
        return False
    return True
