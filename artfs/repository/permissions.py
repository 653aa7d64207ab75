"""Whose a store in a directory is: one user's alone, or a group's; and whether all of it is so."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.errors import InvalidArgument, PermissionDenied, Unsupported
from artfs.system.directories import DirectoryHandle
from artfs.system.files import set_mode

_PRIVATE = 0o700
_SHARED = 0o2770
_OF_EACH_USER = frozenset({"tmp", "staging"})
"""What is in these directories is private to who made it, also in a store of a group."""


class Misfit(msgspec.Struct, frozen=True):
    """A file or directory that is not as all of its store should be."""

    path: Path
    what: str
    """Its owner, group and mode."""


def group_id(name: str) -> int:
    """The number of a group, by its name or number. Raises: InvalidArgument."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        if name.isdecimal():
            return int(name)
    raise InvalidArgument("--group", f"there is no group {name!r}", hint="see `getent group`")


def group_name(gid: int) -> str:
    """What a group is called; its number where it has no name here."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def take_over(root: DirectoryHandle, gid: int | None) -> DirectoryHandle:
    """Make a directory that of a store, for its owner alone or for a group; opened again.

    Raises: PermissionDenied where it is somebody else's; Unsupported; OSError.
    """
    status = os.fstat(root.fd)
    if os.geteuid() not in {status.st_uid, 0}:
        raise PermissionDenied(
            str(root.path),
            f"belongs to user {status.st_uid}",
            hint=f"name a directory of your own, for example {root.path / 'store'}",
        )
    if gid is not None and gid != status.st_gid:
        try:
            os.fchown(root.fd, -1, gid)
        except PermissionError:
            raise PermissionDenied(
                str(root.path),
                f"you are no member of the group {group_name(gid)}",
                hint="let one of its members make the store, or root",
            ) from None
    set_mode(root.fd, _PRIVATE if gid is None else _SHARED)
    opened = DirectoryHandle.at(root.path)
    if gid is not None and not (opened.ownership.is_shared and opened.ownership.gid == gid):
        raise Unsupported(
            str(root.path), "its file system keeps no groups", hint="name another directory"
        )
    return opened


def misfits(root: Path) -> Iterator[Misfit]:
    """What of a store is not its owner's, its group's or open to them. Blocks: on listing it.

    Raises: OSError; PermissionDenied for a link in a directory's place.
    """
    with DirectoryHandle.at(root) as directory:
        yield from _misfits(directory)


def mend(root: Path) -> list[Misfit]:
    """Give all of a store the owner, group and mode that its directory has; what could not be.

    Root can mend all, everybody else what is theirs. Raises: as `misfits`.
    """
    with DirectoryHandle.at(root) as directory:
        found = list(_misfits(directory))
        return [misfit for misfit in found if not _mended(directory, misfit.path)]


def _misfits(root: DirectoryHandle) -> Iterator[Misfit]:
    for path, status in _walk(root):
        if root.ownership.differs(status):
            yield Misfit(path, _described(status))


def _walk(root: DirectoryHandle) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything in a store that is all of its users'."""
    for directory, names, files, fd in os.fwalk(".", dir_fd=root.fd):
        below = root.path / directory
        for name in [*names, *files]:
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if not stat.S_ISLNK(status.st_mode):
                    yield below / name, status
        if directory == ".":
            names[:] = [name for name in names if name not in _OF_EACH_USER]


def _mended(root: DirectoryHandle, path: Path) -> bool:
    """Whether a misfit is none any more."""
    *parents, name = path.relative_to(root.path).parts
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    directory = root
    for parent in parents:
        directory = directory.below(parent)
    try:
        fd = os.open(name, flags, dir_fd=directory.fd)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    try:
        found = os.fstat(fd)
        # With another name it is perhaps somebody else's, outside of the store.
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1 and os.geteuid() == 0:
            return False
        ownership = root.ownership
        if stat.S_ISDIR(found.st_mode):
            mode = ownership.directory_mode
        elif parents:
            mode = ownership.sealed_mode | found.st_mode & 0o111 & ownership.sealed_mode >> 2
        else:
            mode = ownership.file_mode
        ownership.claim(fd, mode)
        return not ownership.differs(os.fstat(fd))
    except PermissionError:
        return False
    finally:
        os.close(fd)


def _described(status: os.stat_result) -> str:
    mode = stat.S_IMODE(status.st_mode)
    return f"of user {status.st_uid} and group {group_name(status.st_gid)}, mode {mode:04o}"
