"""Comparing a local directory with a version: verify it, or prune it for a checkout."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from artfs.errors import InvalidArgument
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry, SymlinkEntry
from artfs.manifest.tree import walk
from artfs.model import Digest
from artfs.repository.facade import Repository
from artfs.sdk.placing import file_has_content
from artfs.system.names import local_name, name_of
from artfs.system.oserrors import translate_os_errors

logger = logging.getLogger(__name__)

_MAX_NAMED = 10


def verify_directory(repository: Repository, tree: Digest, root: Path) -> None:
    """Check that `root` holds exactly the files of a version. References are not verified.

    Blocks: reads every file. Raises: InvalidArgument (a ValueError) that names what is missing,
    additional or different; PathNotFound, PermissionDenied, BackendUnavailable.
    """
    entries = dict(walk(repository.directory, tree))
    faults = [*_additional(root, entries), *_different(root, entries)]
    if faults:
        named = ", ".join(faults[:_MAX_NAMED])
        more = f" and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
        raise InvalidArgument(str(root), f"does not match the artifact: {named}{more}")


def prune_directory(repository: Repository, tree: Digest, root: Path) -> None:
    """Remove everything below `root` that a version does not have; no link is followed.

    Blocks: on the disk. Raises: PermissionDenied, BackendUnavailable.
    """
    entries = dict(walk(repository.directory, tree))
    for directory, names, files in os.walk(root, topdown=False, followlinks=False):
        for name in (*names, *files):
            path = Path(directory, name)
            with translate_os_errors(path):
                _prune(path, entries.get(name_of(path.relative_to(root).as_posix())))


def _prune(path: Path, entry: Entry | None) -> None:
    if path.is_dir() and not path.is_symlink():
        if not isinstance(entry, DirectoryEntry):
            path.rmdir()
    elif entry is None or isinstance(entry, DirectoryEntry):
        path.unlink()


def _additional(root: Path, entries: dict[str, Entry]) -> Iterator[str]:
    with translate_os_errors(root):
        root.stat()
    for directory, names, files in os.walk(root, followlinks=False):
        links = [name for name in names if Path(directory, name).is_symlink()]
        for name in (*links, *files):
            path = name_of(Path(directory, name).relative_to(root).as_posix())
            if path not in entries:
                yield f"{path!r} is not in it"


def _different(root: Path, entries: dict[str, Entry]) -> Iterator[str]:
    for path, entry in entries.items():
        if isinstance(entry, ReferenceEntry):
            logger.warning("%s: references are not verified", path)
        elif isinstance(entry, FileEntry) and not _is_right(root / local_name(path), entry):
            yield f"{path!r} is missing or has other content"
        elif isinstance(entry, SymlinkEntry) and not _leads_to(
            root / local_name(path), entry.target
        ):
            yield f"{path!r} is missing or leads elsewhere"


def _is_right(path: Path, entry: FileEntry) -> bool:
    if not path.is_file():
        return False
    with translate_os_errors(path), path.open("rb") as file:
        return file_has_content(file.fileno(), entry)


def _leads_to(path: Path, target: str) -> bool:
    return path.is_symlink() and name_of(str(path.readlink())) == target
