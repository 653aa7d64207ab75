"""Writing a version, or part of it, to a local directory.

Every file is written aside and renamed to its place, so that whatever ends a download leaves
whole files only, and the next one keeps those that are right. All places are reached through
directory descriptors that follow no link: neither a name nor a link of a version can make a
download write outside its root (promise R8).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from artfs.errors import (
    ArtfsError,
    Conflict,
    NotFound,
    PathNotFound,
    PermissionDenied,
    ReferenceChanged,
)
from artfs.manifest.entries import DirectoryEntry, LeafEntry, ReferenceEntry, SymlinkEntry
from artfs.model import Digest
from artfs.repository.facade import Repository
from artfs.repository.path_filter import PathFilter
from artfs.sdk.materialize import PartialFiles, Placements, Placer, opened_root
from artfs.system.files import SharedDescriptor
from artfs.system.oserrors import translate_os_errors, translated
from artfs.system.paths import Below, local_name, name_of
from artfs.system.progress import ProgressMeter
from artfs.system.threads import Workers

logger = logging.getLogger(__name__)

_CHUNK_FILES = 64
_CHUNK_BYTES = 4 * 1024 * 1024


class _Chunk(msgspec.Struct, frozen=True):
    """Some entries of one directory, written by one worker."""

    directory: str
    entries: list[LeafEntry]
    is_new: bool
    """Whether the directory was made for this download, and so is empty but for its files."""


def download_tree(
    repository: Repository,
    tree: Digest,
    root: Path,
    *,
    path_prefix: str = "",
    chosen: PathFilter | None = None,
    skip_missing: bool = False,
    link: bool = False,
    meter: ProgressMeter | None = None,
) -> Placements:
    """Write a version's tree below `root`; files that are right already and others stay.

    Only paths that begin with `path_prefix`, which may end within a name, and those that are
    `chosen` are written, to the places that they have in the whole. With
    `link`, large files of an embedded store on the same file system become hard links to it; with
    `skip_missing`, references that lead to nothing, or to something else, are left out.
    Blocks: on network and disk. Raises: IntegrityError, BlobNotFound, ReferenceChanged,
    Unsupported, Conflict where something of another kind is in the way, PermissionDenied,
    OutOfSpace, BackendUnavailable.
    """
    with opened_root(root) as (directory, aside):
        target = _DownloadRoot(
            repository, root, opened=directory, aside=aside, link=link, meter=meter
        )
        target.skip_missing = skip_missing
        filtered = PathFilter() if chosen is None else chosen
        return target.write(_chunks(repository, target, tree, path_prefix, filtered))


def download_one(
    repository: Repository, tree: Digest, root: Path, path: str, *, link: bool = False
) -> Placements:
    """Write the one file, reference or link at `path` below `root`.

    Blocks and raises: as `download_tree`; PathNotFound, also for a directory.
    """
    entry = repository.find(tree, path)
    if isinstance(entry, DirectoryEntry):
        raise PathNotFound(path, "is a directory")
    with opened_root(root) as (directory, aside):
        target = _DownloadRoot(
            repository, root, opened=directory, aside=aside, link=link, meter=None
        )
        return target.write(iter([_Chunk(path.rpartition("/")[0], [entry], is_new=False)]))


def _chunks(
    repository: Repository,
    target: _DownloadRoot,
    tree: Digest,
    path_prefix: str,
    chosen: PathFilter,
) -> Iterator[_Chunk]:
    """The entries to write, directory by directory; directories are made on the way."""
    stack = [("", tree)]
    while stack:
        directory, digest = stack.pop()
        prefix = f"{directory}/" if directory else ""
        entries: list[LeafEntry] = []
        size_bytes = 0
        # Of a selection, a directory is made for what comes into it.
        is_whole = prefix.startswith(path_prefix) and chosen.takes_all
        is_new = is_whole and target.make_directory(directory)
        for entry in repository.directory(digest).entries():
            path = prefix + entry.name
            if isinstance(entry, DirectoryEntry):
                is_near = f"{path}/".startswith(path_prefix) or path_prefix.startswith(f"{path}/")
                if is_near and chosen.may_hold(path):
                    stack.append((path, entry.sha256))
            elif path.startswith(path_prefix) and chosen.takes(path):
                entries.append(entry)
                size_bytes += 0 if isinstance(entry, SymlinkEntry) else entry.size_bytes or 0
                if len(entries) >= _CHUNK_FILES or size_bytes >= _CHUNK_BYTES:
                    yield _Chunk(directory, entries, is_new)
                    entries, size_bytes = [], 0
        if entries:
            yield _Chunk(directory, entries, is_new)


class _DownloadRoot:
    """The directory that is written to."""

    def __init__(
        self,
        repository: Repository,
        root: Path,
        *,
        opened: SharedDescriptor,
        aside: PartialFiles,
        link: bool,
        meter: ProgressMeter | None,
    ) -> None:
        self._repository = repository
        self._root = root
        self._below = Below(opened)
        self._aside = aside
        self._meter = ProgressMeter() if meter is None else meter
        self.skip_missing = False
        self._workers = Workers("artfs-download")
        self._placer = Placer(
            repository, aside, link=link, meter=self._meter, workers=self._workers
        )

    def write(self, chunks: Iterator[_Chunk]) -> Placements:
        """Write all chunks, several at a time."""
        self._workers.run(self._write_chunk, chunks, on_failure=self._meter.stop)
        return self._placer.report()

    def make_directory(self, directory: str) -> bool:
        """Make a directory, which may stay empty; whether it was not there."""
        return self._directory(directory)[1]

    def _write_chunk(self, chunk: _Chunk) -> None:
        self._repository.prepare(chunk.entries)
        directory, _ = self._directory(chunk.directory)
        for entry in chunk.entries:
            try:
                self._write_entry(directory.fd, entry, is_new=chunk.is_new)
            except (NotFound, ReferenceChanged, PermissionDenied) as error:
                if not (self.skip_missing and isinstance(entry, ReferenceEntry)):
                    raise
                logger.warning("%s is left out: %s", entry.name, error)
            except OSError as error:
                raise self._translated(error, chunk.directory, entry.name) from error
            self._meter.advance(files=1)

    def _translated(self, error: OSError, directory: str, name: str) -> ArtfsError:
        subject = "/".join(part for part in (str(self._root), directory, name) if part)
        if isinstance(error, IsADirectoryError):
            return _in_the_way(subject, "a directory", "a file")
        return translated(error, subject)

    def _directory(self, directory: str) -> tuple[SharedDescriptor, bool]:
        """A directory below the root, and whether it was made for this.

        It is made if need be; no link is followed.
        """
        subject = f"{self._root}/{directory}"
        with translate_os_errors(subject):
            try:
                return self._below.open(local_name(directory), create=True)
            except NotADirectoryError:
                raise _in_the_way(subject, "a file or link", "a directory") from None

    def _write_entry(self, directory_fd: int, entry: LeafEntry, *, is_new: bool) -> None:
        if not isinstance(entry, SymlinkEntry):
            self._placer.place(directory_fd, entry, is_new=is_new)
        elif not _same_link(directory_fd, entry):
            name = self._aside.name()
            os.symlink(local_name(entry.target), name, dir_fd=self._aside.fd)
            self._aside.install(name, directory_fd, entry.name)


def _same_link(directory_fd: int, entry: SymlinkEntry) -> bool:
    try:
        return name_of(os.readlink(local_name(entry.name), dir_fd=directory_fd)) == entry.target
    except OSError:
        return False


def _in_the_way(subject: str, found: str, wanted: str) -> Conflict:
    return Conflict(
        subject,
        f"there is {found} where the version has {wanted}",
        hint="remove it, or name another root",
    )
