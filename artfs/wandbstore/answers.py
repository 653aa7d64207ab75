"""What a W&B server answers to the queries of artfs, as far as artfs reads it."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class _Base(msgspec.Struct, rename="camel", kw_only=True):
    """Names are those of GraphQL in Python's spelling; what else is answered is not read."""


class PageInfo(_Base, kw_only=True):
    """Where the next page begins."""

    end_cursor: str | None = None
    has_next_page: bool = False


class Edge(_Base, Generic[T], kw_only=True):
    """One item of a page."""

    node: T | None = None
    version: str | None = None
    """Of a version in a collection: `v3`."""


class Page(_Base, Generic[T], kw_only=True):
    """A part of a list."""

    edges: list[Edge[T]] = []
    page_info: PageInfo = msgspec.field(default_factory=PageInfo)
    total_count: int | None = None


class Named(_Base, kw_only=True):
    """Something with a name."""

    name: str


class ProjectName(_Base, kw_only=True):
    """A project, as others name it."""

    name: str
    entity: Named | None = None


class CollectionName(_Base, kw_only=True):
    """A collection, as others name it."""

    name: str
    project: ProjectName | None = None


class AliasAnswer(_Base, kw_only=True):
    """An alias in one of the collections that a version is in."""

    alias: str
    artifact_collection: CollectionName | None = None


class ArtifactAnswer(_Base, kw_only=True):
    """A version."""

    id: str
    digest: str
    artifact_type: Named
    artifact_sequence: CollectionName
    state: str
    size: int = 0
    file_count: int = 0
    created_at: str = ""
    version_index: int | None = None
    description: str | None = None
    metadata: str | dict[str, Any] | None = None
    ttl_duration_seconds: int | None = None
    tags: list[Named] | None = None
    aliases: list[AliasAnswer] | None = None


class CollectionAnswer(_Base, kw_only=True):
    """An artifact with its versions, or a portfolio."""

    typename: str = msgspec.field(default="ArtifactSequence", name="__typename")
    name: str
    created_at: str = ""
    default_artifact_type: Named | None = None
    artifacts: Page[ArtifactAnswer] = msgspec.field(default_factory=Page[ArtifactAnswer])


class MembershipAnswer(_Base, kw_only=True):
    """A version in a collection."""

    version_index: int | None = None
    aliases: list[AliasAnswer] | None = None
    artifact_collection: CollectionName | None = None
    artifact: ArtifactAnswer | None = None


class RunAnswer(_Base, kw_only=True):
    """A run; or a user, who has nothing of all this, where either can be."""

    typename: str = msgspec.field(default="Run", name="__typename")
    name: str = ""
    display_name: str | None = None
    job_type: str | None = None
    state: str | None = None
    created_at: str = ""
    heartbeat_at: str | None = None
    config: str | None = None
    project: Named | None = None
    input_artifacts: Page[ArtifactAnswer] | None = None
    output_artifacts: Page[ArtifactAnswer] | None = None


class TypeAnswer(_Base, kw_only=True):
    """A type of artifacts."""

    name: str
    artifact_collections: Page[CollectionAnswer] | None = None


class ProjectAnswer(_Base, kw_only=True):
    """A project; what a query does not ask for is not there."""

    name: str = ""
    created_at: str | None = None
    artifact_types: Page[TypeAnswer] | None = None
    artifact_type: TypeAnswer | None = None
    artifact_collection: CollectionAnswer | None = None
    artifact_collection_membership: MembershipAnswer | None = None
    run: RunAnswer | None = None
    runs: Page[RunAnswer] | None = None


class ProjectOnly(_Base, kw_only=True):
    """`project(…)`."""

    project: ProjectAnswer | None = None


class EntityAnswer(_Base, kw_only=True):
    """Who owns projects."""

    name: str
    projects: Page[ProjectAnswer] | None = None


class EntityOnly(_Base, kw_only=True):
    """`entity(…)`."""

    entity: EntityAnswer | None = None


class Models(_Base, kw_only=True):
    """`models(…)`: projects."""

    models: Page[ProjectAnswer] | None = None


class ArtifactOnly(_Base, kw_only=True):
    """`artifact(id: …)`."""

    artifact: ArtifactAnswer | None = None


class _ManifestFile(_Base, kw_only=True):
    direct_url: str


class _CurrentManifest(_Base, kw_only=True):
    file: _ManifestFile


class _ArtifactManifest(_Base, kw_only=True):
    current_manifest: _CurrentManifest | None = None


class ManifestAnswer(_Base, kw_only=True):
    """`artifact(id: …) { currentManifest … }`."""

    artifact: _ArtifactManifest | None = None


class LineageOf(_Base, kw_only=True):
    """What a query asked for of these."""

    created_by: RunAnswer | None = None
    used_by: Page[RunAnswer] | None = None
    artifact_memberships: Page[MembershipAnswer] | None = None


class LineageAnswer(_Base, kw_only=True):
    """`artifact(id: …)` with who made and used it, and what holds it."""

    artifact: LineageOf | None = None
