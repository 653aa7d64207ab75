"""Looking through a local directory that is about to be taken into a store.

A scan opens no file; it says what is there, directory by directory, and refuses at once what no
version can hold: sockets, devices, fifos, and names that are not UTF-8.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator

import msgspec

from artfs.errors import InvalidArgument, InvalidName, PathNotFound
from artfs.model import check_entry_name
from artfs.mounts.mountinfo import artfs_mountpoints
from artfs.repository.ignore import IsIgnored, own_names_ignored
from artfs.system.names import name_of
from artfs.system.oserrors import translate_os_errors, translated

logger = logging.getLogger(__name__)

OnLeftOut = Callable[[str], None]
"""Given the path of a mount of artfs that is not taken in."""

_KINDS = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a fifo",
}


class ScannedFile(msgspec.Struct, frozen=True):
    """A regular file, or with `follow_links` a link to one."""

    name: str
    source: str
    """Where it is on the local disk."""
    size_bytes: int


class ScannedLink(msgspec.Struct, frozen=True):
    """A symbolic link that is kept as it is written."""

    name: str
    target: str


class ScannedDirectory(msgspec.Struct, frozen=True):
    """One directory: what is right in it, by name."""

    path: str
    """Relative to where the scan began, which itself is the empty path."""
    files: list[ScannedFile]
    links: list[ScannedLink]
    is_empty: bool


class _Pending(msgspec.Struct, frozen=True):
    path: str
    source: str
    ancestors: frozenset[tuple[int, int]]
    """Device and inode of every directory above; only filled where links are followed."""


def log_left_out(path: str) -> None:
    """Say in the log what is left out."""
    logger.warning("%s: left out: it is a mount of artfs", path)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What of a local directory is taken in."""

    follow_links: bool
    """Take what a link leads to; one that leads to nothing or back to a directory above it is
    refused. Else links are kept."""
    is_ignored: IsIgnored = own_names_ignored
    on_left_out: OnLeftOut = log_left_out


def scan_directory(
    root: str | os.PathLike[str], selection: Selection
) -> Iterator[ScannedDirectory]:
    """Every directory from `root` down, in name order, parents first.

    `root` is always followed. A mount of artfs below it is left out: what is in it is in a store.
    Blocks: on the disk. Raises: PathNotFound, PermissionDenied, InvalidArgument for what is no
    file, directory or link, InvalidName for a name that a version cannot hold.
    """
    mountpoints = artfs_mountpoints(os.fspath(root))
    waiting = [_Pending("", os.fspath(root), frozenset())]
    while waiting:
        pending = waiting.pop()
        if mountpoints and pending.path and os.path.realpath(pending.source) in mountpoints:
            selection.on_left_out(pending.source)
            continue
        if selection.follow_links:
            pending = _with_own_identity(pending)
        found, below = _scan_one(pending, selection)
        yield found
        waiting.extend(reversed(below))


def check_regular(source: str | os.PathLike[str], mode: int) -> None:
    """Check that a local path with this `st_mode` may become a file of a version.

    Raises: InvalidArgument.
    """
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
        raise InvalidArgument(
            os.fspath(source), f"is {kind}", hint="artifacts hold files, directories and links"
        )


def _with_own_identity(pending: _Pending) -> _Pending:
    with translate_os_errors(pending.source):
        # A directory's inode outlives this call: it is compared with those of its descendants.
        status = os.stat(pending.source)  # noqa: PTH116 - paths stay strings here, for speed
    identity = (status.st_dev, status.st_ino)
    if identity in pending.ancestors:
        raise InvalidArgument(pending.source, "is a link that leads back to a directory above it")
    return _Pending(pending.path, pending.source, pending.ancestors | {identity})


def _scan_one(pending: _Pending, selection: Selection) -> tuple[ScannedDirectory, list[_Pending]]:
    follow_links = selection.follow_links
    files: list[ScannedFile] = []
    links: list[ScannedLink] = []
    below: list[_Pending] = []
    prefix = f"{pending.path}/" if pending.path else ""
    for entry in _listed(pending.source):
        name = _checked_name(entry)
        with translate_os_errors(entry.path):
            is_directory = entry.is_dir(follow_symlinks=follow_links)
            if selection.is_ignored(prefix + name, is_directory):
                continue
            if is_directory:
                below.append(_Pending(prefix + name, entry.path, pending.ancestors))
            elif not follow_links and entry.is_symlink():
                target = name_of(os.readlink(entry.path))  # noqa: PTH115 - as above
                links.append(ScannedLink(name, target))
            else:
                files.append(_scanned_file(entry, name, follow_links=follow_links))
    is_empty = not (files or links or below)
    return ScannedDirectory(pending.path, files, links, is_empty), below


def _listed(source: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(source) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except NotADirectoryError:
        raise InvalidArgument(source, "is not a directory") from None
    except OSError as error:
        raise translated(error, source) from error


def _checked_name(entry: os.DirEntry[str]) -> str:
    try:
        return check_entry_name(name_of(entry.name))
    except InvalidName as error:
        raise InvalidName(ascii(entry.path), error.reason, hint="rename it") from None


def _scanned_file(entry: os.DirEntry[str], name: str, *, follow_links: bool) -> ScannedFile:
    try:
        status = entry.stat(follow_symlinks=follow_links)
    except FileNotFoundError:
        if not entry.is_symlink():
            raise
        raise PathNotFound(entry.path, "is a link that leads to nothing") from None
    check_regular(entry.path, status.st_mode)
    return ScannedFile(name, entry.path, status.st_size)
