"""The plain files of a staging area: the content of whatever was written, one file per node."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from contextlib import suppress
from pathlib import Path

from artfs.system.files import copy_file, fsync_directory

_FILE_MODE = 0o600
_SCRATCH = ".scratch"
_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NAME = re.compile(r"[1-9a-f][0-9a-f]*")

# The standard library has no syncfs(2).
_libc = ctypes.CDLL(None, use_errno=True)


class ContentLost(OSError):
    """A plain file is not where it has to be, or their directory is gone, with its disk perhaps.

    That is EIO, and never ENOENT: the name is there.
    """

    def __init__(self, path: str) -> None:
        super().__init__(errno.EIO, "it is gone, or its disk is not mounted", path)


class PlainFile:
    """An open plain file, closed when nobody refers to it any more."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        # A thread may still read from it when its node has moved on to another file.
        os.close(self.fd)


class PlainFiles:
    """The directory `files` of an area. Thread-safe; methods raise OSError, ContentLost."""

    def __init__(self, root: Path, lost: Path) -> None:
        """`lost`: where those are set aside of which nobody knows what they are."""
        self.root = root
        self.lost = lost
        self._prefix = f"{root}/"

    def path(self, node_id: int) -> str:
        """Where the plain file of a node is."""
        return f"{self._prefix}{node_id:x}"

    def create(self, node_id: int) -> PlainFile:
        """A new empty plain file; one that a crash left behind gives way."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return PlainFile(_opened(self.path(node_id), flags))

    def open(self, node_id: int) -> PlainFile:
        """The plain file of a node, for reading and writing.

        For reading alone where it is sealed, or its disk takes nothing any more.
        """
        path = self.path(node_id)
        try:
            return PlainFile(_opened(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            return PlainFile(_opened(path, os.O_RDONLY | os.O_CLOEXEC))

    def stat(self, node_id: int) -> os.stat_result:
        """The status of a node's plain file."""
        path = self.path(node_id)
        try:
            return os.stat(path)  # noqa: PTH116 - on the way of every stat(2)
        except FileNotFoundError:
            raise ContentLost(path) from None

    def remove(self, node_id: int) -> None:
        """Remove the plain file of a node, if there is one."""
        with suppress(FileNotFoundError):
            os.unlink(self.path(node_id))  # noqa: PTH108 - thousands of them: a string is cheaper

    def is_there(self, node_id: int) -> bool:
        """Whether a node has a plain file."""
        return os.path.lexists(self.path(node_id))

    def set_aside(self, node_id: int) -> Path:
        """Keep a plain file of which nobody knows what it is; where it is now."""
        self.lost.mkdir(mode=0o700, exist_ok=True)
        target, count = self.lost / f"{node_id:x}", 1
        while os.path.lexists(target):
            target, count = self.lost / f"{node_id:x}-{count}", count + 1
        Path(self.path(node_id)).rename(target)
        fsync_directory(self.lost)
        return target

    def scratch(self, node_id: int) -> Path:
        """Where content is gathered that is to become the plain file of a node."""
        return self.root / f"{node_id:x}{_SCRATCH}"

    def open_scratch(self, scratch: Path) -> int:
        """A descriptor to gather content with."""
        return _opened(scratch, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)

    def install(self, node_id: int, scratch: Path, *, mtime_ns: int | None) -> None:
        """Make gathered content the node's plain file, durably.

        With it the area stops to refer to the old content, so the new one must not be lost.
        """
        fd = os.open(scratch, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if mtime_ns is not None:
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            os.fsync(fd)
        finally:
            os.close(fd)
        scratch.rename(self.path(node_id))
        fsync_directory(self.root)

    def copy(self, node_id: int, scratch: Path) -> None:
        """Copy a node's plain file, sharing extents where the file system can."""
        source = _opened(self.path(node_id), os.O_RDONLY | os.O_CLOEXEC)
        try:
            target = self.open_scratch(scratch)
            try:
                copy_file(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def ids(self) -> set[int]:
        """The nodes that have a plain file; what was gathered and not installed is removed.

        What artfs did not put there is left alone.
        """
        found = set()
        with os.scandir(self.root) as entries:
            for entry in entries:
                if entry.name.endswith(_SCRATCH):
                    Path(entry.path).unlink(missing_ok=True)
                elif _NAME.fullmatch(entry.name):
                    found.add(int(entry.name, 16))
        return found

    def sync(self, node_id: int) -> None:
        """Make the content of a node's plain file survive the host. Blocks: disk."""
        fd = os.open(self.path(node_id), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def sync_all(self) -> None:
        """The same for all of them at once, and for the rest of the file system. Blocks: disk."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _libc.syncfs(fd):
                raise OSError(ctypes.get_errno(), "syncfs failed", str(self.root))
        finally:
            os.close(fd)

    def space(self) -> os.statvfs_result:
        """What statvfs(3) says of the disk."""
        return os.statvfs(self.root)


def _opened(path: str | Path, flags: int) -> int:
    try:
        return os.open(path, flags, _FILE_MODE)
    except FileNotFoundError:
        raise ContentLost(str(path)) from None
