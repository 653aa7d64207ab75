"""What `artfs copy` is asked for, what that is in the source, and what it reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from artfs.catalog.records import ArtifactRecord, VersionRecord
from artfs.errors import (
    ArtfsError,
    ArtifactNotFound,
    DamagedRecord,
    IntegrityError,
    InvalidArgument,
    InvalidManifest,
    InvalidName,
    NotFound,
    ReferenceChanged,
    VersionExists,
)
from artfs.repository.facade import Repository

SKIPPED: tuple[type[ArtfsError], ...] = (
    DamagedRecord,
    IntegrityError,
    InvalidArgument,
    InvalidManifest,
    InvalidName,
    NotFound,
    ReferenceChanged,
    VersionExists,
)
"""What keeps one version from being copied; anything else ends it all."""


class CopyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is copied, and as what."""

    project: str | None = None
    """None: all projects."""
    name: str | None = None
    """None: all artifacts."""
    selector: str | None = None
    """An alias, `vN` or digest; None: `latest`, or all versions."""
    new_project: str | None = None
    new_name: str | None = None
    """What the project, and the artifact, is called in the target; None: the same."""
    all_versions: bool = False
    aliases: bool = False
    lineage: bool = False


class CopiedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that the target has now, or with a dry run would have."""

    source: str
    """`project/name:vN`."""
    target: str
    """The same, in the target; without a number where that is not known yet."""
    created: bool
    """Whether it was not there before."""
    id: str | None
    """In the target."""
    digest: str
    size_bytes: int
    file_count: int
    sent_blobs: int = 0
    """Contents and directories that the target did not have."""
    sent_bytes: int = 0


class CopyFailure(msgspec.Struct, frozen=True):
    """A version or run that could not be copied."""

    source: str
    error: ArtfsError


class CopyReport(msgspec.Struct):
    """What was copied so far, or would be."""

    dry_run: bool = False
    versions: list[CopiedVersion] = []
    aliases: list[str] = []
    """`project/name:ALIAS -> vN`, in the target: those that moved."""
    links: list[str] = []
    """`project/portfolio:vN`: what was put into portfolios of the target."""
    runs: int = 0
    """That are new in the target, or known better."""
    uses: int = 0
    """Inputs and outputs of runs."""
    unresolved: list[str] = []
    """Versions in the target that refer to versions which are not there: `path: id`."""
    failures: list[CopyFailure] = []

    @property
    def created(self) -> list[CopiedVersion]:
        """What was not there before."""
        return [each for each in self.versions if each.created]

    @property
    def sent_bytes(self) -> int:
        """All that was sent."""
        return sum(each.sent_bytes for each in self.versions)


class Group(msgspec.Struct, frozen=True):
    """Versions of one artifact, the oldest first, as seen through it."""

    project: str
    name: str
    new_project: str
    new_name: str
    versions: list[VersionRecord]

    @property
    def new_path(self) -> str:
        """`project/name` in the target."""
        return f"{self.new_project}/{self.new_name}"


class Selection(msgspec.Struct, frozen=True):
    """What is copied."""

    groups: list[Group]
    portfolios: list[tuple[Group, list[VersionRecord]]]
    """With their members, the oldest first; as seen through them."""


def select(source: Repository, request: CopyRequest, report: CopyReport) -> Selection:
    """Find what is asked for. What is damaged goes into the report.

    Blocks: on the catalog. Raises: ArtifactNotFound, VersionNotFound, AliasNotFound for what the
    source has not; BackendUnavailable.
    """
    return _Selecting(source, request, report).selected()


class _Selecting:
    def __init__(self, source: Repository, request: CopyRequest, report: CopyReport) -> None:
        self._source = source
        self._request = request
        self._report = report

    def selected(self) -> Selection:
        """See `select`.

        A version of a portfolio is copied as one of the artifact that it was made in.
        """
        groups: dict[tuple[str, str], Group] = {}
        portfolios = []
        for artifact in self._artifacts():
            versions = self._versions(artifact)
            if artifact.is_portfolio:
                portfolios.append((self._group(artifact.project, artifact.name), versions))
                versions = list(self._members(versions))
            for version in versions:
                key = (version.project, version.name)
                if key not in groups:
                    groups[key] = self._group(*key)
                groups[key].versions.append(version)
        for group in groups.values():
            unique = {version.index: version for version in group.versions}
            group.versions[:] = [unique[index] for index in sorted(unique)]
        return Selection(list(groups.values()), portfolios)

    def _artifacts(self) -> list[ArtifactRecord]:
        request, catalog = self._request, self._source.catalog
        if request.project is not None and request.name is not None:
            return [catalog.artifact(request.project, request.name)]
        found = catalog.artifacts(project=request.project, on_damage=self._note_damage)
        if request.project is not None and not found:
            known = {each.name for each in catalog.projects(on_damage=self._note_damage)}
            if request.project not in known:
                raise ArtifactNotFound(request.project, "no such project")
        return found

    def _note_damage(self, error: DamagedRecord) -> None:
        if all(str(each.error) != str(error) for each in self._report.failures):
            self._report.failures.append(CopyFailure("", error))

    def _versions(self, artifact: ArtifactRecord) -> list[VersionRecord]:
        """What is asked for of an artifact or portfolio, the oldest first."""
        request, catalog = self._request, self._source.catalog
        if request.selector is not None:
            return [catalog.version(artifact.project, artifact.name, request.selector)]
        if request.all_versions:
            return catalog.versions(artifact.id, on_damage=self._note_damage)[::-1]
        return [] if artifact.latest is None else [artifact.latest]

    def _members(self, versions: Iterable[VersionRecord]) -> Iterator[VersionRecord]:
        for version in versions:
            try:
                yield self._source.catalog.version_by_id(version.id)
            except SKIPPED as error:
                self._report.failures.append(CopyFailure(version.path, error))

    def _group(self, project: str, name: str) -> Group:
        request = self._request
        is_named = (project, name) == (request.project, request.name)
        new_name = request.new_name if is_named and request.new_name is not None else name
        return Group(project, name, new_project(request, project), new_name, [])


def new_project(request: CopyRequest, project: str) -> str:
    """What a project is called in the target."""
    is_renamed = request.new_project is not None and project == request.project
    return request.new_project if is_renamed and request.new_project else project
