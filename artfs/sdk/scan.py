"""Looking through a local directory that is about to be taken into a store.

A scan opens no file; it says what is there, directory by directory, and refuses at once what no
version can hold: sockets, devices, fifos, and names that are not UTF-8. It goes from directory to
directory, so that no path is too long for it.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from artfs.errors import InvalidArgument, InvalidName, PathNotFound
from artfs.model import check_entry_name
from artfs.repository.ignore import IsIgnored, own_names_ignored
from artfs.system.files import SharedDescriptor
from artfs.system.mountinfo import artfs_mountpoints
from artfs.system.oserrors import translate_os_errors, translated
from artfs.system.paths import Below, local_name, name_of, open_directory

logger = logging.getLogger(__name__)

OnLeftOut = Callable[[str, str], None]
"""Given the path of a directory that is not taken in, and what it is."""

_MOUNT = "it is a mount of artfs"
_ELSEWHERE = "it is on another file system"

_KINDS = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a fifo",
}


class ScannedFile(msgspec.Struct, frozen=True):
    """A regular file, or with `follow_links` a link to one."""

    name: str
    size_bytes: int


class ScannedLink(msgspec.Struct, frozen=True):
    """A symbolic link that is kept as it is written."""

    name: str
    target: str


class ScannedDirectory(msgspec.Struct, frozen=True):
    """One directory: what is right in it, by name."""

    path: str
    """Relative to where the scan began, which itself is the empty path."""
    prefix: str
    """What the user calls it, up to the names in it: longer, maybe, than the system takes."""
    fd: int
    """Where its files are opened; it is good until the scan goes on."""
    files: list[ScannedFile]
    links: list[ScannedLink]
    is_empty: bool

    def path_of(self, name: str) -> str:
        """What the user calls what is in it."""
        return self.prefix + local_name(name)


class _Pending(msgspec.Struct, frozen=True):
    path: str
    source: str
    ancestors: frozenset[tuple[int, int]]
    """Device and inode of every directory above; only filled where links are followed."""


def log_left_out(path: str, reason: str) -> None:
    """Say in the log what is left out."""
    logger.warning("%s: left out: %s", path, reason)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What of a local directory is taken in."""

    follow_links: bool
    """Take what a link leads to; one that leads to nothing or back to a directory above it is
    refused. Else links are kept."""
    is_ignored: IsIgnored = own_names_ignored
    one_file_system: bool = False
    """Do not go into what is on another file system than the root."""
    on_left_out: OnLeftOut = log_left_out


class Scan:
    """A local directory, and what of it is taken in."""

    def __init__(self, root: str | os.PathLike[str], selection: Selection) -> None:
        """`root` is always followed. Raises: PathNotFound, PermissionDenied, InvalidArgument."""
        self._root = os.fspath(root)
        self._selection = selection
        with _opening(self._root):
            self._below = Below(open_directory(root), follow_links=selection.follow_links)

    def __iter__(self) -> Iterator[ScannedDirectory]:
        """Every directory from the root down, in name order, parents first.

        A mount of artfs below it is left out: what is in it is in a store. So is, where it is
        asked for, what is on another file system.
        Blocks: on the disk. Raises: PathNotFound, PermissionDenied, InvalidArgument for what is no
        file, directory or link, InvalidName for a name that a version cannot hold.
        """
        selection = self._selection
        mountpoints = artfs_mountpoints(self._root)
        device = os.fstat(self.open("").fd).st_dev
        waiting = [_Pending("", self._root, frozenset())]
        while waiting:
            pending = waiting.pop()
            if mountpoints and pending.path and os.path.realpath(pending.source) in mountpoints:
                selection.on_left_out(pending.source, _MOUNT)
                continue
            with _opening(pending.source):
                directory = self.open(pending.path)
            if selection.one_file_system and os.fstat(directory.fd).st_dev != device:
                selection.on_left_out(pending.source, _ELSEWHERE)
                continue
            if selection.follow_links:
                pending = _with_own_identity(pending, directory.fd)
            found, below = _scan_one(pending, directory.fd, selection)
            yield found
            waiting.extend(reversed(below))

    def open(self, path: str) -> SharedDescriptor:
        """A directory that was found; from any thread. Raises: OSError."""
        return self._below.open(local_name(path))[0]


def measured(source: str, selection: Selection) -> tuple[int, int]:
    """How many files a scan finds, and their bytes. Raises: as Scan does.

    What is left out is not said: that comes when the files are taken in.
    """
    files = size_bytes = 0
    for found in Scan(source, msgspec.structs.replace(selection, on_left_out=lambda *_: None)):
        files += len(found.files)
        size_bytes += sum(file.size_bytes for file in found.files)
    return files, size_bytes


def check_regular(source: str | os.PathLike[str], mode: int) -> None:
    """Check that a local path with this `st_mode` may become a file of a version.

    Raises: InvalidArgument.
    """
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
        raise InvalidArgument(
            os.fspath(source), f"is {kind}", hint="artifacts hold files, directories and links"
        )


def _with_own_identity(pending: _Pending, fd: int) -> _Pending:
    # A directory's inode outlives this call: it is compared with those of its descendants.
    status = os.fstat(fd)
    identity = (status.st_dev, status.st_ino)
    if identity in pending.ancestors:
        raise InvalidArgument(pending.source, "is a link that leads back to a directory above it")
    return _Pending(pending.path, pending.source, pending.ancestors | {identity})


def _scan_one(
    pending: _Pending, fd: int, selection: Selection
) -> tuple[ScannedDirectory, list[_Pending]]:
    follow_links = selection.follow_links
    files: list[ScannedFile] = []
    links: list[ScannedLink] = []
    below: list[_Pending] = []
    source = os.path.join(pending.source, "")  # noqa: PTH118 - strings, for speed
    found = ScannedDirectory(pending.path, source, fd, files, links, is_empty=False)
    prefix = f"{pending.path}/" if pending.path else ""
    for entry in _listed(pending.source, fd):
        name = _checked_name(entry, source)
        try:
            is_directory = entry.is_dir(follow_symlinks=follow_links)
            if selection.is_ignored(prefix + name, is_directory):
                continue
            if is_directory:
                below.append(_Pending(prefix + name, source + entry.name, pending.ancestors))
            elif not follow_links and entry.is_symlink():
                links.append(ScannedLink(name, name_of(os.readlink(entry.name, dir_fd=fd))))
            else:
                files.append(_scanned_file(entry, name, found, follow_links=follow_links))
        except OSError as error:
            raise translated(error, found.path_of(name)) from error
    is_empty = not (files or links or below)
    return msgspec.structs.replace(found, is_empty=is_empty), below


def _listed(source: str, fd: int) -> list[os.DirEntry[str]]:
    with translate_os_errors(source), os.scandir(fd) as entries:
        return sorted(entries, key=lambda entry: entry.name)


@contextmanager
def _opening(source: str) -> Iterator[None]:
    try:
        yield
    except NotADirectoryError:
        raise InvalidArgument(source, "is not a directory") from None
    except OSError as error:
        raise translated(error, source) from error


def _checked_name(entry: os.DirEntry[str], prefix: str) -> str:
    try:
        return check_entry_name(name_of(entry.name))
    except InvalidName as error:
        raise InvalidName(ascii(prefix + entry.name), error.reason, hint="rename it") from None


def _scanned_file(
    entry: os.DirEntry[str], name: str, directory: ScannedDirectory, *, follow_links: bool
) -> ScannedFile:
    try:
        status = entry.stat(follow_symlinks=follow_links)
    except FileNotFoundError:
        if not entry.is_symlink():
            raise
        path = directory.path_of(name)
        raise PathNotFound(path, "is a link that leads to nothing") from None
    if not stat.S_ISREG(status.st_mode):
        check_regular(directory.path_of(name), status.st_mode)
    return ScannedFile(name, status.st_size)
