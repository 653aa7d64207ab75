"""Names of files: UTF-8 in every version, whatever encoding this process gives the file system.

Python decodes what the system calls a file by the locale: under ISO 8859-1 the bytes of `é.txt` are
shown as `Ã©.txt`. A version holds what the bytes spell in UTF-8, so that it is the same for all who
read it. Bytes that are no UTF-8 become lone surrogates, which no version accepts.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cachetools import LRUCache

from artfs import forks
from artfs.system.files import SharedDescriptor

_OWN_PREFIX = ".artfs-download-"
_OWN_NAME = re.compile(re.escape(_OWN_PREFIX) + "[0-9a-f]{16}")

_IS_UTF8 = sys.getfilesystemencoding().replace("-", "").lower() == "utf8"

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MAX_OPEN = 64


def name_of(local: str) -> str:
    """The name, or path, in UTF-8 that Python shows as `local`."""
    if _IS_UTF8:
        return local
    return os.fsencode(local).decode("utf-8", "surrogateescape")


def local_name(name: str) -> str:
    """What Python must be given for the system to see `name`, or a path, in UTF-8."""
    if _IS_UTF8:
        return name
    return os.fsdecode(name.encode("utf-8", "surrogateescape"))


def new_own_name() -> str:
    """A name for what artfs has to write beside people's files for a while."""
    return _OWN_PREFIX + secrets.token_hex(8)


def is_own_path(path: str) -> bool:
    """Whether artfs writes beside people's files under the last name of a path.

    What has it is no content of theirs, also where a killed download left it: it is never taken
    in, compared with a version, or pruned.
    """
    name = path.rpartition("/")[2]
    return name.startswith(_OWN_PREFIX) and _OWN_NAME.fullmatch(name) is not None


class Below:
    """Opens directories by their path below `root`, which is none of the system's. Thread-safe."""

    def __init__(self, root: SharedDescriptor, *, follow_links: bool = False) -> None:
        """Without `follow_links` a link in the way is an error, as a file is."""
        self._root = root
        self._flags = _FLAGS if follow_links else _FLAGS | os.O_NOFOLLOW
        self._lock = forks.lock()
        self._open: LRUCache[str, SharedDescriptor] = LRUCache(_MAX_OPEN)

    def open(self, path: str, *, create: bool = False) -> tuple[SharedDescriptor, bool]:
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
            found = SharedDescriptor(os.open(name, self._flags, dir_fd=found.fd))
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

    def _known(self, path: str) -> SharedDescriptor | None:
        if not path:
            return self._root
        with self._lock:
            return self._open.get(path)


def open_directory(path: str | os.PathLike[str]) -> SharedDescriptor:
    """A directory of the system's. Raises: OSError."""
    return SharedDescriptor(os.open(path, _FLAGS))


def open_file(path: str | os.PathLike[str], flags: int) -> int:
    """As os.open, however long the path is: it is walked where the system does not take it.

    Raises: OSError.
    """
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        text = os.fspath(path)
        above, _, name = text.rpartition("/")
        if error.errno != errno.ENAMETOOLONG or not above:
            raise
    root = open_directory("/" if text.startswith("/") else ".")
    directory, _ = Below(root, follow_links=True).open(above.strip("/"))
    return os.open(name, flags | os.O_CLOEXEC, dir_fd=directory.fd)


def path_of(name: str | os.PathLike[str], directory_fd: int) -> Path:
    """A path of the system's to a name in an open directory; it is good while that stays open."""
    return Path(f"/proc/self/fd/{directory_fd}", name)


def _make(name: str, parent: SharedDescriptor) -> bool:
    try:
        os.mkdir(name, dir_fd=parent.fd)
    except FileExistsError:
        return False
    return True
