"""Comparing a local directory with a version: verify it, prune it, say what a download would do."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from artfs.errors import InvalidArgument
from artfs.manifest.entries import (
    DirectoryEntry,
    Entry,
    FileEntry,
    LeafEntry,
    ReferenceEntry,
    SymlinkEntry,
)
from artfs.manifest.tree import walk
from artfs.model import Digest
from artfs.repository.facade import Repository
from artfs.repository.path_filter import PathFilter
from artfs.sdk.materialize import file_has_content
from artfs.system.files import SharedDescriptor
from artfs.system.mountinfo import artfs_mountpoints
from artfs.system.oserrors import translate_os_errors
from artfs.system.paths import Below, is_own_path, local_name, name_of, open_directory

logger = logging.getLogger(__name__)

_MAX_NAMED = 10


def verify_directory(repository: Repository, tree: Digest, root: Path) -> None:
    """Check that `root` holds exactly the files of a version. References are not verified.

    Blocks: reads every file. Raises: InvalidArgument (a ValueError) that names what is missing,
    additional or different; PathNotFound, PermissionDenied, BackendUnavailable.
    """
    entries = dict(walk(repository.directory, tree))
    with translate_os_errors(root):
        # Somebody may have put a link to another disk where a directory was.
        below = Below(open_directory(root), follow_links=True)
        faults = [*_additional(below, _not_theirs(root), entries), *_different(below, entries)]
    if faults:
        named = ", ".join(faults[:_MAX_NAMED])
        more = f" and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
        raise InvalidArgument(str(root), f"does not match the artifact: {named}{more}")


class Comparison(msgspec.Struct, frozen=True):
    """How a directory differs from what is chosen of a version; all are paths below it."""

    to_write: list[tuple[str, LeafEntry]]
    """What is missing or different, and references: what they lead to is not looked at."""
    right: int
    """How many files and links are as they should be."""
    surplus: list[str]
    """Chosen files and links that the version does not have."""


def compare_directory(
    repository: Repository, tree: Digest, root: Path, chosen: PathFilter
) -> Comparison:
    """Say what a download would write to `root`, which need not exist, and what is there besides.

    Blocks: reads every file that is there. Raises: PathNotFound where nothing is chosen,
    PermissionDenied, BackendUnavailable.
    """
    wanted = dict(chosen.select(repository.directory, tree))
    with translate_os_errors(root):
        try:
            below = Below(open_directory(root))
        except FileNotFoundError:
            return Comparison(list(wanted.items()), 0, [])
        missing = [
            (path, entry)
            for path, entry in wanted.items()
            if isinstance(entry, ReferenceEntry) or not _is_there(below, path, entry)
        ]
        surplus = [
            path
            for directory, _, others in below.walk(leave_out=_not_theirs(root))
            for name in others
            if (path := name_of(f"{directory}/{name}" if directory else name)) not in wanted
            and chosen.takes(path)
        ]
    return Comparison(missing, len(wanted) - len(missing), sorted(surplus))


def _is_there(below: Below, path: str, entry: FileEntry | SymlinkEntry) -> bool:
    if isinstance(entry, SymlinkEntry):
        return _leads_to(below, path, entry.target)
    return _is_right(below, path, entry)


def prune_directory(
    repository: Repository, tree: Digest, root: Path, chosen: PathFilter | None = None
) -> None:
    """Remove everything below `root`, or what is `chosen` there, that a version does not have.

    No link is followed. Blocks: on the disk. Raises: PermissionDenied, BackendUnavailable.
    """
    chosen = PathFilter() if chosen is None else chosen
    entries = dict(walk(repository.directory, tree))
    with translate_os_errors(root):
        below = Below(open_directory(root))
        # What is in a directory goes before it does.
        for directory, names, others in reversed(list(below.walk(leave_out=_not_theirs(root)))):
            prefix = f"{directory}/" if directory else ""
            fd = below.open(directory)[0].fd
            for name in others:
                entry = entries.get(name_of(prefix + name))
                is_theirs = entry is not None and not isinstance(entry, DirectoryEntry)
                if not is_theirs and chosen.takes(name_of(prefix + name)):
                    with translate_os_errors(f"{root}/{prefix}{name}"):
                        os.unlink(name, dir_fd=fd)
            for name in names:
                path = name_of(prefix + name)
                if not isinstance(entries.get(path), DirectoryEntry) and chosen.may_hold(path):
                    _remove_directory(fd, name, f"{root}/{prefix}{name}", chosen)


def _remove_directory(fd: int, name: str, subject: str, chosen: PathFilter) -> None:
    with translate_os_errors(subject):
        try:
            os.rmdir(name, dir_fd=fd)
        except OSError as error:
            # What was not chosen is still in it.
            if chosen.takes_all or error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise


def _not_theirs(root: Path) -> Callable[[str], bool]:
    """What below a root is not compared with a version, nor pruned: what artfs writes or mounts."""
    place = os.path.realpath(root)
    mountpoints = {os.path.relpath(path, place) for path in artfs_mountpoints(place)}
    return lambda path: path in mountpoints or is_own_path(path)


def _additional(
    below: Below, leave_out: Callable[[str], bool], entries: dict[str, Entry]
) -> Iterator[str]:
    for directory, _, others in below.walk(leave_out=leave_out):
        prefix = f"{directory}/" if directory else ""
        for name in others:
            path = name_of(prefix + name)
            if path not in entries:
                yield f"{path!r} is not in it"


def _different(below: Below, entries: dict[str, Entry]) -> Iterator[str]:
    for path, entry in entries.items():
        if isinstance(entry, ReferenceEntry):
            logger.warning("%s: references are not verified", path)
        elif isinstance(entry, FileEntry) and not _is_right(below, path, entry):
            yield f"{path!r} is missing or has other content"
        elif isinstance(entry, SymlinkEntry) and not _leads_to(below, path, entry.target):
            yield f"{path!r} is missing or leads elsewhere"


def _is_right(below: Below, path: str, entry: FileEntry) -> bool:
    try:
        directory, name = _place(below, path)
        if not stat.S_ISREG(os.stat(name, dir_fd=directory.fd).st_mode):
            return False
        file = SharedDescriptor(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory.fd))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return file_has_content(file.fd, entry)


def _leads_to(below: Below, path: str, target: str) -> bool:
    try:
        directory, name = _place(below, path)
        return name_of(os.readlink(name, dir_fd=directory.fd)) == target
    except OSError:
        return False


def _place(below: Below, path: str) -> tuple[SharedDescriptor, str]:
    directory, _, name = local_name(path).rpartition("/")
    return below.open(directory)[0], name
