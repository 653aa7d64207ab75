"""Directories that nobody can put another in the place of: what is done in them is done in them.

A path is looked up again each time, and whoever may write to a directory on the way decides what it
leads to. Below a directory that others can write to (a store of another user, /tmp), every step is
therefore taken from an open descriptor, no link is followed, and the owner is looked at. Names are
then made, moved and removed relative to that descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from artfs import forks
from artfs.errors import PermissionDenied
from artfs.system.files import SharedDescriptor, set_mode, sync_directory
from artfs.system.oserrors import another_place, translate_os_errors
from artfs.system.ownership import Ownership

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FOR_OTHERS = 0o077
_WRITABLE_FOR_OTHERS = 0o022


def half_made(name: str) -> str:
    """What a directory is called until it has its owner, group and mode."""
    return f".{name}.new"


class DirectoryHandle:
    """An open directory. A context: it is closed at the end, or when nobody refers to it.

    Methods raise OSError, and PermissionDenied for what somebody has put in the way.
    """

    __slots__ = ("_fd", "ownership", "path")

    def __init__(self, fd: int, path: Path, ownership: Ownership) -> None:
        # Of `forks.open_private`: a lock on it is none of a forked child's.
        self._fd = fd
        self.path = path
        """What errors call it."""
        self.ownership = ownership
        """What is made in it gets."""

    @classmethod
    def at(cls, path: Path) -> Self:
        """Open a directory that the user named, who is to know what the links on its way are."""
        fd = forks.open_private(path, _FLAGS)
        return cls(fd, path, Ownership.of(os.fstat(fd)))

    @property
    def fd(self) -> int:
        """Its descriptor."""
        assert self._fd >= 0, "it is closed"
        return self._fd

    def close(self) -> None:
        """Let go of it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            forks.close_private(fd)

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def below(self, name: str, *, create: bool = False) -> Self:
        """Open a directory in this one; with `create` it is made, durably, where it is missing.

        Raises: FileNotFoundError; PermissionDenied for a link, or a stranger's directory.
        """
        try:
            return self._open(name)
        except FileNotFoundError:
            if not create:
                raise
        with self.locked():
            return self.make(name)

    def make(self, name: str) -> Self:
        """As `below` with `create`, for who holds the lock, or needs none."""
        with suppress(FileNotFoundError):
            return self._open(name)
        # Nobody meets it before it has its owner, group and mode.
        new = half_made(name)
        with suppress(FileNotFoundError):
            os.rmdir(new, dir_fd=self.fd)
        os.mkdir(new, stat.S_IRWXU, dir_fd=self.fd)
        made = SharedDescriptor(os.open(new, _FLAGS | os.O_NOFOLLOW, dir_fd=self.fd))
        self.ownership.claim(made.fd, self.ownership.directory_mode)
        os.rename(new, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        self.sync()
        return self._open(name)

    def names(self) -> list[str]:
        """What is in it, in order."""
        with os.scandir(self.fd) as entries:
            return sorted(entry.name for entry in entries)

    def status(self, name: str) -> os.stat_result:
        """Of a name, and never of what it links to."""
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def open_new(self, name: str) -> int:
        """Make a file, with the mode that files have here; its descriptor, to read and write."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, self.ownership.file_mode, dir_fd=self.fd)
        try:
            self.ownership.claim(fd, self.ownership.file_mode)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def replace(self, name: str, data: bytes) -> None:
        """Make a file, or one in the place of that which is there: whole, but not yet durable."""
        temporary = f".{name}.{secrets.token_hex(8)}"
        try:
            with os.fdopen(self.open_new(temporary), "wb") as file:
                file.write(data)
            self.move(temporary, self, name)
        except BaseException:
            with suppress(FileNotFoundError):
                self.unlink(temporary)
            raise

    def unlink(self, name: str) -> None:
        """Remove a file or link."""
        os.unlink(name, dir_fd=self.fd)

    def remove(self, name: str) -> None:
        """Remove a file or link, or a directory with all that is in it."""
        if stat.S_ISDIR(self.status(name).st_mode):
            # Goes down by descriptors as well, and follows no link.
            shutil.rmtree(name, dir_fd=self.fd)
        else:
            self.unlink(name)

    def move(self, name: str, target: DirectoryHandle, new_name: str) -> None:
        """Rename to a name in another directory, over what is there."""
        os.rename(name, new_name, src_dir_fd=self.fd, dst_dir_fd=target.fd)

    def sync(self) -> None:
        """Make its names durable. Blocks: disk."""
        sync_directory(self.fd)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from changing what is in it, as far as they ask; not twice in one thread.

        Where there are no locks, nothing keeps them. Blocks: while another one does.
        """
        with suppress(OSError):
            fcntl.flock(self.fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(self.fd, fcntl.LOCK_UN)

    def _open(self, name: str) -> Self:
        path = self.path / name
        try:
            fd = forks.open_private(name, _FLAGS | os.O_NOFOLLOW, dir_fd=self.fd)
        except OSError as error:
            if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            raise _in_the_way(path, self.status(name)) from None
        found = type(self)(fd, path, self.ownership)
        status = os.fstat(fd)
        if not self._is_trusted(status):
            raise PermissionDenied(
                str(path),
                f"belongs to user {status.st_uid}, who has no business here",
                hint="remove it, or give it to the owner of the directory that it is in",
            )
        return found

    def _is_trusted(self, status: os.stat_result) -> bool:
        if status.st_uid in {self.ownership.uid, os.geteuid(), 0}:
            return True
        return self.ownership.is_shared and status.st_gid == self.ownership.gid


def make_parents(path: Path) -> None:
    """Make the directories above `path` that are missing: nobody else may write to them.

    Raises: OSError.
    """
    if not path.parent.exists():
        make_parents(path.parent)
        with suppress(FileExistsError):
            path.parent.mkdir(mode=0o755)


def own_directory(
    path: Path, *, follow: bool = True, variable: str | None = None
) -> DirectoryHandle:
    """Open a private directory of this user, made where it is missing, with those above it.

    Where only others could read it, that ends here. With `follow`, links of this user or of root
    lead to it; a stranger's link never does. `variable` of the environment says where it is: each
    error names that.
    Raises: PermissionDenied, with the cure, for one that somebody else has made or can write to;
    OSError, and with `variable` what `translate_os_errors` makes of it.
    """
    if variable is None:
        return _own_directory(path, follow=follow, variable=None)
    with translate_os_errors(path, variable=variable):
        return _own_directory(path, follow=follow, variable=variable)
    raise AssertionError("it raises, or has returned")


def _own_directory(path: Path, *, follow: bool, variable: str | None) -> DirectoryHandle:
    with suppress(FileExistsError):
        make_parents(path)
        path.mkdir(mode=0o700)
    flags = _FLAGS
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        flags |= os.O_NOFOLLOW
        # One that we may not even open is told by its owner as well.
        _check_own(path, status, variable=variable)
    elif not (follow and stat.S_ISLNK(status.st_mode) and status.st_uid in {os.geteuid(), 0}):
        raise _in_the_way(path, status)
    fd = forks.open_private(path, flags)
    status = os.fstat(fd)
    opened = DirectoryHandle(fd, path, Ownership.of(status))
    _check_own(path, status, variable=variable)
    if status.st_mode & _FOR_OTHERS:
        with suppress(OSError):
            set_mode(fd, 0o700)
            opened.ownership = Ownership.of(os.fstat(fd))
    return opened


def _check_own(path: Path, status: os.stat_result, *, variable: str | None) -> None:
    if status.st_uid != os.geteuid():
        raise PermissionDenied(
            str(path),
            f"belongs to user {status.st_uid}, not to you",
            hint="remove it, or name another directory"
            if variable is None
            else f"remove it, or {another_place(variable)}",
        )
    if status.st_mode & _WRITABLE_FOR_OTHERS:
        raise PermissionDenied(
            str(path),
            f"others may write to it (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"look what is in it, then `chmod 700 {path}`",
        )


def _in_the_way(path: Path, status: os.stat_result) -> PermissionDenied:
    if stat.S_ISLNK(status.st_mode):
        return PermissionDenied(
            str(path),
            "is a symbolic link, and none is followed here",
            hint="remove it; to use another disk, mount it there",
        )
    return PermissionDenied(str(path), "is not a directory", hint="remove it")
