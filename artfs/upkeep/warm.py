"""Fetching a version, or a part of it, into the block cache before it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from artfs import forks
from artfs.content.base import RemoteContent
from artfs.errors import ArtfsError, InvalidArgument, PathNotFound
from artfs.manifest.entries import DirectoryEntry, FileEntry, ReferenceEntry
from artfs.manifest.tree import walk
from artfs.model import Digest, block_count, block_range
from artfs.repository.facade import Repository
from artfs.repository.path_filter import PathFilter
from artfs.system.oserrors import reach_step
from artfs.system.progress import ProgressMeter
from artfs.system.threads import in_parallel

_THREADS = 8
_RUN_BLOCKS = 4


class WarmFailure(msgspec.Struct, frozen=True):
    """A path that could not be fetched."""

    path: str
    error: ArtfsError


class WarmReport(msgspec.Struct, frozen=True):
    """What is in the cache now."""

    files: int
    """Files and references that were looked at."""
    local: int
    """Those of them that are on local disk anyway, and need no cache."""
    cached_bytes: int
    """Of blocks that were in the cache before."""
    fetched_bytes: int
    failures: tuple[WarmFailure, ...]


def warm(
    repository: Repository,
    tree: Digest,
    path: str = "",
    *,
    meter: ProgressMeter,
    pin: str | None = None,
) -> WarmReport:
    """Fetch what is at or below `path`, or what it matches as a pattern, into the cache.

    In a pattern `*` also matches slashes. What is there already is not fetched again, so an
    interrupted call is resumed by the next one. `pin` keeps the blocks under that label.
    Blocks: network and disk. Raises: PathNotFound, InvalidArgument; BackendUnavailable and the
    like for directories. What goes wrong with a file is in the report.
    """
    run = _Warming(repository, meter)
    entries = list(_selected(repository, tree, path))
    if not entries:
        raise PathNotFound(path, "nothing matches")
    meter.expect(size_bytes=sum(entry.size_bytes or 0 for _, entry in entries))
    for _ in in_parallel(lambda job: job(), run.jobs(entries), workers=_THREADS):
        pass
    reach_step("warm.filled", path)
    if pin is not None:
        _pin(repository, pin, [*run.keys, *_directories(repository, tree)])
    return run.report()


_Entries = list[tuple[str, FileEntry | ReferenceEntry]]


def _selected(
    repository: Repository, tree: Digest, path: str
) -> Iterator[tuple[str, FileEntry | ReferenceEntry]]:
    for where, entry in PathFilter(path).select(repository.directory, tree):
        if isinstance(entry, (FileEntry, ReferenceEntry)):
            yield where, entry
        elif where == path:
            raise InvalidArgument(path, "is a symbolic link")


def _directories(repository: Repository, tree: Digest) -> Iterator[Digest]:
    """The directory objects and block lists of a tree, which reading it offline needs."""
    yield tree
    for _, entry in walk(repository.directory, tree):
        if isinstance(entry, DirectoryEntry):
            yield entry.sha256
        elif isinstance(entry, FileEntry) and entry.block_list is not None:
            yield entry.block_list


def _pin(repository: Repository, label: str, keys: list[Digest]) -> None:
    try:
        repository.cache.pin(label, keys)
    except OSError as error:
        raise InvalidArgument(
            str(repository.cache.layout.pins), f"cannot be written ({error.strerror})"
        ) from error


class _Warming:
    """What is done for one call."""

    def __init__(self, repository: Repository, meter: ProgressMeter) -> None:
        self._repository = repository
        self._meter = meter
        self._lock = forks.lock()
        self._failures: list[WarmFailure] = []
        self._files = self._local = 0
        self._cached_bytes = self._fetched_bytes = 0
        self.keys: set[Digest] = set()

    def jobs(self, entries: _Entries) -> Iterator[Callable[[], None]]:
        """Everything that is to be done: a few adjacent blocks at a time."""
        # What is missing is looked up before anything is fetched: that brings neighbours, too.
        return iter(list(self._jobs(entries)))

    def _jobs(self, entries: _Entries) -> Iterator[Callable[[], None]]:
        for path, entry in entries:
            self._files += 1
            try:
                content = self._repository.content(entry)
            except ArtfsError as error:
                self._fail(path, error)
                continue
            remote = content.remote
            if remote is None:
                self._local += 1
                self._meter.advance_bytes(content.size_bytes)
                continue
            self.keys.add(remote.cache_key)
            count = block_count(remote.size_bytes)
            for first in range(0, count, _RUN_BLOCKS):
                yield self._job(path, remote, first, min(_RUN_BLOCKS, count - first))

    def report(self) -> WarmReport:
        """The result."""
        return WarmReport(
            self._files,
            self._local,
            self._cached_bytes,
            self._fetched_bytes,
            tuple(sorted(self._failures, key=lambda failure: failure.path)),
        )

    def _job(self, path: str, content: RemoteContent, first: int, count: int) -> Callable[[], None]:
        wanted = range(first, first + count)
        missing = [index for index in wanted if not content.is_cached(index)]
        size_bytes = sum(block_range(index, content.size_bytes).length for index in wanted)
        fetched = sum(block_range(index, content.size_bytes).length for index in missing)

        def fetch() -> None:
            try:
                if missing:
                    for _ in content.load_run(missing[0], missing[-1] - missing[0] + 1):
                        reach_step("warm.fetched", path)
            except ArtfsError as error:
                self._fail(path, error)
                return
            with self._lock:
                self._fetched_bytes += fetched
                self._cached_bytes += size_bytes - fetched
            self._meter.advance_bytes(size_bytes)

        return fetch

    def _fail(self, path: str, error: ArtfsError) -> None:
        with self._lock:
            if not any(failure.path == path for failure in self._failures):
                self._failures.append(WarmFailure(path, error))
