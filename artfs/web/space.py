"""The page of what takes space: by artifact, shared bytes counted once."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from starlette.responses import Response

from artfs import forks
from artfs.catalog.records import ArtifactRecord, StoreTotals, VersionRecord
from artfs.errors import ArtfsError
from artfs.manifest.entries import DirectoryEntry, FileEntry
from artfs.model import Digest
from artfs.repository.facade import Repository
from artfs.web.context import Asked

MAX_ENTRIES = 300_000
_MAX_S = 3.0
_VERSIONS_EACH = 500
_KEPT_S = 60.0
_SHARED = -1


class Use(msgspec.Struct, frozen=True):
    """What one artifact takes."""

    artifact: ArtifactRecord
    own_bytes: int
    """Of content that no other artifact has."""
    shared_bytes: int
    """Of content that another one has, too."""
    listed_bytes: int
    """The sizes of all its versions together, as if nothing were shared."""

    @property
    def size_bytes(self) -> int:
        """All that it refers to, each content once."""
        return self.own_bytes + self.shared_bytes


class Measured(msgspec.Struct, frozen=True):
    """What all artifacts take, the largest first."""

    uses: list[Use]
    total_bytes: int
    """Each content once."""
    is_cut: bool
    """Whether there was too much to look at all of it."""
    problems: list[str]


class _Survey:
    """Goes through the trees of artifacts; nothing is looked at twice for one of them."""

    def __init__(self, repository: Repository, clock: Callable[[], float]) -> None:
        self._repository = repository
        self._clock = clock
        self._until = clock() + _MAX_S
        self._left = MAX_ENTRIES
        self._owners: dict[Digest, int] = {}
        self._sizes: dict[Digest, int] = {}
        self._of: dict[int, set[Digest]] = {}
        self.is_cut = False
        self.problems: list[str] = []

    def add(self, artifact: ArtifactRecord) -> int:
        """Look at an artifact; what its versions are said to take."""
        self._of[artifact.id] = set()
        if self._clock() > self._until:
            self.is_cut = True
            return 0
        versions = self._repository.catalog.versions(
            artifact.id, limit=_VERSIONS_EACH, on_damage=self._note
        )
        self.is_cut |= artifact.version_count > len(versions)
        seen: set[Digest] = set()
        for version in versions:
            try:
                self._walk(artifact.id, version, seen)
            except ArtfsError as error:
                self._note(error)
        return sum(version.size_bytes for version in versions)

    def _note(self, error: ArtfsError) -> None:
        self.problems.append(f"{error.subject}: {error.reason}")

    def _walk(self, artifact_id: int, version: VersionRecord, seen: set[Digest]) -> None:
        waiting = [version.tree]
        while waiting:
            tree = waiting.pop()
            if tree in seen:
                continue
            seen.add(tree)
            directory = self._repository.directory(tree)
            if self._left < len(directory) or self._clock() > self._until:
                self.is_cut = True
                return
            self._left -= len(directory)
            for entry in directory.entries():
                if isinstance(entry, DirectoryEntry):
                    waiting.append(entry.sha256)
                elif isinstance(entry, FileEntry):
                    self._count(artifact_id, entry)

    def _count(self, artifact_id: int, entry: FileEntry) -> None:
        if self._owners.setdefault(entry.sha256, artifact_id) != artifact_id:
            self._owners[entry.sha256] = _SHARED
        self._sizes[entry.sha256] = entry.size_bytes
        self._of[artifact_id].add(entry.sha256)

    def use(self, artifact: ArtifactRecord, listed_bytes: int) -> Use:
        """What an artifact takes, once all were looked at."""
        own = shared = 0
        for digest in self._of[artifact.id]:
            if self._owners[digest] == _SHARED:
                shared += self._sizes[digest]
            else:
                own += self._sizes[digest]
        return Use(artifact, own, shared, listed_bytes)

    @property
    def total_bytes(self) -> int:
        """Each content once."""
        return sum(self._sizes.values())


class SpaceView:
    """Measures, and remembers for a minute. Thread-safe; blocks on the store."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = forks.lock()
        self._kept: dict[tuple[str, ...], tuple[float, Measured]] = {}

    def page(self, asked: Asked) -> Response:
        """The page."""
        access = asked.visitor.access
        measured = self._measured(asked.repository, access.key.projects)
        totals: StoreTotals | None = None
        if not access.key.projects and not asked.repository.is_server:
            totals = asked.repository.catalog.totals()
        largest = max((use.size_bytes for use in measured.uses), default=0)
        return asked.page(
            "space.html",
            measured=measured,
            largest=max(1, largest),
            totals=totals,
            problems=measured.problems[:5],
        )

    def _measured(self, repository: Repository, projects: tuple[str, ...]) -> Measured:
        # One at a time: it takes long, and whoever waited gets what was found meanwhile.
        with self._lock:
            kept = self._kept.get(projects)
            if kept is not None and self._clock() - kept[0] < _KEPT_S:
                return kept[1]
            measured = self._measure(repository, projects)
            if len(self._kept) > 100:
                self._kept.clear()
            self._kept[projects] = (self._clock(), measured)
            return measured

    def _measure(self, repository: Repository, projects: tuple[str, ...]) -> Measured:
        survey = _Survey(repository, self._clock)
        found = repository.catalog.artifacts(on_damage=lambda _error: None, finds_lost=False)
        artifacts = [
            each
            for each in found
            if not each.is_portfolio and (not projects or each.project in projects)
        ]
        listed = [(each, survey.add(each)) for each in artifacts]
        uses = [survey.use(artifact, size) for artifact, size in listed]
        largest_first = sorted(uses, key=lambda use: (-use.size_bytes, use.artifact.path))
        return Measured(largest_first, survey.total_bytes, survey.is_cut, survey.problems)
