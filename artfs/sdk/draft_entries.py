"""What a version under construction holds: paths and entries, checked as they are added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from artfs import forks
from artfs.catalog.records import CommitRequest, CommitResult, VersionRecord
from artfs.errors import AliasMoved, InvalidArgument, InvalidName, NotFound, PathNotFound
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import FileEntry, LeafEntry, ReferenceEntry, SymlinkEntry
from artfs.manifest.wandb import ManifestEntry, manifest_digest
from artfs.model import split_entry_path
from artfs.repository.facade import LATEST, Repository
from artfs.repository.ingest import Ingest

_MAX_ATTEMPTS = 20


class DraftEntries:
    """Entries by path, and directories that may be empty. Thread-safe."""

    def __init__(self) -> None:
        self._lock = forks.lock()
        self._leaves: dict[str, LeafEntry] = {}
        self._directories: set[str] = {""}
        self._removed: list[str] = []

    @property
    def size_bytes(self) -> int:
        """The sum over all files and references; those of unknown size count 0."""
        with self._lock:
            leaves = list(self._leaves.values())
        return sum(leaf.size_bytes or 0 for leaf in leaves if not isinstance(leaf, SymlinkEntry))

    def add(self, path: str, entry: LeafEntry, *, overwrite: bool = False) -> None:
        """Put `entry` at `path`; one that says the same and stands there already is replaced.

        With `overwrite` one that says something else is replaced as well.

        Raises: InvalidName for a bad path, or where a file and a directory would share a name;
        InvalidArgument where another content has that path.
        """
        directory = "/".join(split_entry_path(path)[:-1])
        with self._lock:
            self._make_directory(directory)
            self._put(path, entry, overwrite=overwrite)

    def add_all(
        self, directory: str, entries: Sequence[LeafEntry], *, overwrite: bool = False
    ) -> None:
        """Put entries, whose names were checked, into one directory; make it if need be.

        Raises: as `add` does.
        """
        if directory:
            split_entry_path(directory)
        prefix = f"{directory}/" if directory else ""
        with self._lock:
            self._make_directory(directory)
            for entry in entries:
                self._put(prefix + entry.name, entry, overwrite=overwrite)

    def get(self, path: str) -> LeafEntry | None:
        """The entry at exactly this path."""
        return self._leaves.get(path)

    def remove(self, path: str) -> bool:
        """Take out what is at, or below, a path; whether there was anything."""
        below = f"{path}/"
        with self._lock:
            leaves = [each for each in self._leaves if each == path or each.startswith(below)]
            for each in leaves:
                del self._leaves[each]
            gone = {each for each in self._directories if each == path or each.startswith(below)}
            self._directories -= gone
            if leaves or gone:
                self._prune(path.rpartition("/")[0])
            return bool(leaves or gone)

    def hide(self, path: str) -> None:
        """Remove what the base has at a path; what is added there later comes in its place."""
        with self._lock:
            self._removed.append(path)

    def hides(self, path: str) -> bool:
        """Whether what the base has at this path was removed."""
        with self._lock:
            return any(path == each or path.startswith(f"{each}/") for each in self._removed)

    def leaves(self) -> list[tuple[str, LeafEntry]]:
        """Everything with its path, in the order of a W&B manifest."""
        with self._lock:
            return sorted(self._leaves.items(), key=lambda item: item[0])

    def entries(self) -> Iterator[tuple[str, FileEntry | ReferenceEntry]]:
        """Files and references with their paths, in path order."""
        for path, leaf in self.leaves():
            if not isinstance(leaf, SymlinkEntry):
                yield path, leaf

    def digest(self) -> str:
        """The W&B digest."""
        return manifest_digest((path, leaf.digest) for path, leaf in self.entries())

    def fill(self, builder: TreeBuilder) -> None:
        """Put everything into a tree. Raises: InvalidName where it clashes with its base."""
        for path in self._removed:
            # Where somebody else removed it meanwhile, all is as it should be.
            with suppress(PathNotFound):
                builder.remove(path)
        for directory in sorted(self._directories - {""}):
            builder.make_directory(directory)
        for path, leaf in self._leaves.items():
            builder.put(path, leaf)

    def _make_directory(self, directory: str) -> None:
        if directory in self._directories:
            return
        missing: list[str] = []
        above = directory
        while above not in self._directories:
            if above in self._leaves:
                raise InvalidName(directory, f"{above!r} is a file in this artifact")
            missing.append(above)
            above = above.rpartition("/")[0]
        self._directories.update(missing)

    def _prune(self, directory: str) -> None:
        """Take out directories that hold nothing any more, from here upwards."""
        while directory:
            below = f"{directory}/"
            if any(each.startswith(below) for each in (*self._leaves, *self._directories)):
                return
            self._directories.discard(directory)
            directory = directory.rpartition("/")[0]

    def _put(self, path: str, entry: LeafEntry, *, overwrite: bool) -> None:
        old = self._leaves.get(path)
        if old is not None and not overwrite and not _agree(old, entry):
            raise InvalidArgument(
                path, "cannot add the same path twice", hint="it holds another content already"
            )
        if old is None and path in self._directories:
            raise InvalidName(path, "is a directory in this artifact")
        self._leaves[path] = entry


def manifest_entry(path: str, leaf: FileEntry | ReferenceEntry) -> ManifestEntry:
    """What the W&B manifest says of a file or reference."""
    if isinstance(leaf, FileEntry):
        return ManifestEntry(path, leaf.digest, size_bytes=leaf.size_bytes)
    return ManifestEntry(
        path, leaf.digest, ref=leaf.uri, size_bytes=leaf.manifest_size_bytes, extra=leaf.extra
    )


def _agree(old: LeafEntry, new: LeafEntry) -> bool:
    if isinstance(old, FileEntry) and isinstance(new, FileEntry):
        return old.sha256 == new.sha256
    if isinstance(old, SymlinkEntry) or isinstance(new, SymlinkEntry):
        return old == new
    return old.digest == new.digest


def commit_contents(
    repository: Repository,
    ingest: Ingest,
    contents: DraftEntries,
    request: CommitRequest,
    *,
    base: VersionRecord | None = None,
    incremental: bool = False,
) -> CommitResult:
    """Make what `contents` holds a version; on top of `base`, with `incremental` of `latest`.

    What is as in `latest` but for its mtime keeps its entry there, so that directories in which
    nothing changed are shared. Raises: what Repository.commit raises.
    """
    if incremental:
        return _commit_on_latest(repository, ingest, contents, request)
    builder = _builder(repository, ingest, base)
    contents.fill(builder)
    if base is None:
        base = latest(repository, request.project, request.name)
        if base is not None:
            builder.adopt(base.root)
    if base is not None:
        request = msgspec.structs.replace(request, base_ids=(base.id,))
    return repository.commit(ingest, builder.build(ingest.add_directory), request)


def _commit_on_latest(
    repository: Repository, ingest: Ingest, contents: DraftEntries, request: CommitRequest
) -> CommitResult:
    for attempt in range(_MAX_ATTEMPTS):
        base = latest(repository, request.project, request.name)
        builder = _builder(repository, ingest, base)
        contents.fill(builder)
        attempted = msgspec.structs.replace(
            request,
            base_ids=(base.id,) if base else (),
            expect_latest=base.id if base else "",
        )
        try:
            return repository.commit(ingest, builder.build(ingest.add_directory), attempted)
        except AliasMoved:
            # Somebody else made a version meanwhile: ours shall be built on that one.
            if attempt == _MAX_ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _builder(
    repository: Repository, ingest: Ingest, base: VersionRecord | None = None
) -> TreeBuilder:
    load = ingest.directory_loader(repository.directory)
    return TreeBuilder(load, None if base is None else base.root)


def latest(repository: Repository, project: str, name: str) -> VersionRecord | None:
    """The version called `latest`, if there is one. Raises: BackendUnavailable."""
    try:
        return repository.catalog.version(project, name, LATEST)
    except NotFound:
        return None
