"""Asking the sources of references whether they still are what was pinned; no content is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from artfs import forks
from artfs.catalog.records import VersionRecord
from artfs.errors import (
    Archived,
    ArtfsError,
    BackendUnavailable,
    BlobNotFound,
    PermissionDenied,
    ReferenceChanged,
    Unsupported,
)
from artfs.manifest.entries import FileEntry, Pin, ReferenceEntry
from artfs.manifest.tree import walk
from artfs.references.base import SourceGone
from artfs.references.retry import RetryPolicy, retrying
from artfs.repository.facade import Repository
from artfs.system.progress import ProgressMeter
from artfs.system.threads import in_parallel

_THREADS = 16
_MAX_SILENCES = 3
"""Of one server in a row; afterwards it is not asked any more."""


class SourceState(StrEnum):
    """What the source of a reference says of itself."""

    SAME = "same"
    UNPINNED = "unpinned"
    """It is there, and nothing says what it should be."""
    CHANGED = "changed"
    MISSING = "missing"
    REFUSED = "refused"
    """Not with these credentials."""
    ARCHIVED = "archived"
    """It is there as it was pinned, and must be restored before it can be read."""
    UNREACHABLE = "unreachable"
    UNREADABLE = "unreadable"
    """Of a scheme that cannot be read here."""


SOUND = frozenset({SourceState.SAME, SourceState.UNPINNED, SourceState.UNREADABLE})
"""What no reading of a version need fail by that did not fail from the beginning."""


class SourceFinding(msgspec.Struct, frozen=True):
    """A path of a version whose source is not what was pinned, or does not tell."""

    version: str
    """`project/name:vN`."""
    path: str
    uri: str
    state: SourceState
    reason: str


class SourcesReport(msgspec.Struct, frozen=True):
    """What sources said."""

    states: dict[SourceState, int]
    """How many distinct references were found in which state."""
    findings: tuple[SourceFinding, ...]
    """All paths of references that are not sound."""


_Key = tuple[str, int | None, Pin]
_Verdict = tuple[SourceState, str]


def check_sources(
    repository: Repository,
    versions: Iterable[VersionRecord],
    *,
    meter: ProgressMeter | None = None,
    policy: RetryPolicy | None = None,
) -> SourcesReport:
    """Ask each source that these versions refer to, once, for its size and pin.

    `meter` counts the references that were asked about as files.
    Blocks: on network and disk, in threads; of a server that does not answer three times in a
    row nothing more is asked. Raises: what reading the versions' directories raises.
    """
    surveyed = list(versions)
    distinct = {_key(entry): entry for _, _, entry in _references(repository, surveyed)}
    inquiry = _Inquiry(repository, policy or RetryPolicy.standard())
    meter = meter or ProgressMeter()
    meter.expect(files=len(distinct))
    verdicts: dict[_Key, _Verdict] = {}
    answers = in_parallel(inquiry.ask, distinct.values(), workers=_THREADS)
    for key, verdict in zip(distinct, answers, strict=True):
        verdicts[key] = verdict
        meter.advance(files=1)
    return SourcesReport(
        states=dict(Counter(state for state, _ in verdicts.values())),
        findings=tuple(_findings(repository, surveyed, verdicts)),
    )


def _findings(
    repository: Repository, versions: list[VersionRecord], verdicts: dict[_Key, _Verdict]
) -> Iterator[SourceFinding]:
    if all(state in SOUND for state, _ in verdicts.values()):
        return
    for version, path, entry in _references(repository, versions):
        state, reason = verdicts[_key(entry)]
        if state not in SOUND:
            yield SourceFinding(version, path, entry.uri, state, reason)


def _references(
    repository: Repository, versions: list[VersionRecord]
) -> Iterator[tuple[str, str, ReferenceEntry]]:
    for version in versions:
        for path, entry in walk(repository.directory, version.tree):
            if isinstance(entry, ReferenceEntry):
                yield version.path, path, entry


def _key(entry: ReferenceEntry) -> _Key:
    return entry.uri, entry.size_bytes, entry.pin


class _Inquiry:
    """Asks; thread-safe."""

    def __init__(self, repository: Repository, policy: RetryPolicy) -> None:
        self._repository = repository
        self._policy = policy
        self._lock = forks.lock()
        self._silences: Counter[str] = Counter()

    def ask(self, entry: ReferenceEntry) -> _Verdict:
        """What the source of one entry says."""
        server = _server(entry.uri)
        with self._lock:
            if self._silences[server] >= _MAX_SILENCES:
                return SourceState.UNREACHABLE, "not asked: its server did not answer before"
        try:
            state, reason = self._observe(entry), ""
        except SourceGone as error:
            state, reason = SourceState.MISSING, error.reason
        except ReferenceChanged as error:
            state, reason = SourceState.CHANGED, error.reason
        except PermissionDenied as error:
            state, reason = SourceState.REFUSED, error.reason
        except Archived as error:
            state, reason = SourceState.ARCHIVED, error.reason
        except Unsupported as error:
            state, reason = SourceState.UNREADABLE, error.reason
        except ArtfsError as error:
            state, reason = SourceState.UNREACHABLE, error.reason
        with self._lock:
            silent = state is SourceState.UNREACHABLE
            self._silences[server] = self._silences[server] + 1 if silent else 0
        return state, reason

    def _observe(self, entry: ReferenceEntry) -> SourceState:
        references = self._repository.references
        target = references.resolve(entry)
        if isinstance(target, FileEntry):
            try:
                self._repository.blobs.locate(target.sha256)
            except BlobNotFound as error:
                raise SourceGone(entry.uri, error.reason) from None
            return SourceState.SAME
        source = references.open(target)
        observed = retrying(
            self._policy, lambda deadline: source.observe(timeout_s=deadline.step_s)
        )
        if None not in {observed.size_bytes, target.size_bytes} and (
            observed.size_bytes != target.size_bytes
        ):
            raise ReferenceChanged(
                entry.uri,
                f"pinned at {target.size_bytes} bytes, it now says {observed.size_bytes}",
            )
        if observed.archived:
            raise Archived(entry.uri, observed.archived)
        return SourceState.UNPINNED if target.pin == Pin() else SourceState.SAME


def _server(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def exit_code(report: SourcesReport) -> int:
    """That of the worst finding; 0 where all is sound."""
    states = {finding.state for finding in report.findings}
    if states & {SourceState.CHANGED, SourceState.MISSING}:
        return ReferenceChanged.exit_code
    if states & {SourceState.UNREACHABLE, SourceState.ARCHIVED}:
        return BackendUnavailable.exit_code
    return PermissionDenied.exit_code if states else 0
