"""What GraphQL shows of artifacts: types, collections, versions, aliases. Names are W&B's.

Projects and runs, which these lead to, lead to these: `Context.nodes` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from artfs.catalog.records import ArtifactRecord, VersionRecord
from artfs.model import Metadata
from artfs.server import ids, lists
from artfs.server.context import Context, NamedNode
from artfs.server.leaf_nodes import NO_TTL, FileNode, tag_value, time_text


class TypeNode:
    """A type of artifacts in a project."""

    description = ""

    def __init__(self, context: Context, project: NamedNode, name: str, created_at_ns: int) -> None:
        self._context = context
        self.project = project
        self.name = name
        self.id = ids.named_gid("ArtifactType", project.name, name)
        self.created_at = time_text(created_at_ns)

    def artifact(self, name: str) -> ArtifactNode | None:
        version = self._context.version(self.project.name, name)
        return None if version is None else ArtifactNode(self._context, version)

    def artifact_collection(self, name: str) -> CollectionNode | None:
        record = self._context.collection(self.project.name, name)
        if record is None or record.type != self.name:
            return None
        return CollectionNode(self._context, record)

    def artifact_sequence(self, name: str) -> CollectionNode | None:
        found = self.artifact_collection(name)
        return found if found is not None and not found.record.is_portfolio else None

    def artifact_collections(
        self,
        first: int | None = None,
        after: str | None = None,
        filters: str | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        project = self.project.name
        return collection_page(self._context, project, self.name, first, after, filters, order)

    def artifact_sequences(
        self, first: int | None = None, after: str | None = None
    ) -> dict[str, Any]:
        return self.artifact_collections(first, after)


class CollectionNode:
    """An artifact with all its versions, or a portfolio."""

    digest_algorithm = "MANIFEST_MD5"
    state = "READY"

    def __init__(self, context: Context, record: ArtifactRecord) -> None:
        self._context = context
        self.record = record
        self.graphql_type = "ArtifactPortfolio" if record.is_portfolio else "ArtifactSequence"
        self.id = ids.collection_gid(record.project, record.name, record.id)
        self.name = record.name
        self.type_name = record.type
        # The time of later changes is not kept.
        self.created_at = self.updated_at = time_text(record.created_at_ns)
        self.description = record.description
        self.tags = {"edges": lists.nodes(map(tag_value, record.tags))}

    def view(self) -> Metadata:
        """What filters and orders see."""
        record = self.record
        kind = "PORTFOLIO" if record.is_portfolio else "SEQUENCE"
        shown = {"name": record.name, "type": record.type, "createdAt": self.created_at}
        tags = list(record.tags)
        return {
            **shown,
            "created_at": self.created_at,
            "collection_type": kind,
            "description": record.description,
            "tag": tags,
            "tags": tags,
        }

    def project(self) -> NamedNode:
        return self._context.nodes.project(self._context, self.record.project)

    def default_artifact_type(self) -> TypeNode:
        created_at_ns = self.record.created_at_ns
        return TypeNode(self._context, self.project(), self.type_name, created_at_ns)

    def latest_artifact(self) -> ArtifactNode | None:
        latest = self.record.latest
        return None if latest is None else ArtifactNode(self._context, latest)

    def aliases(self, first: int | None = None, after: str | None = None) -> dict[str, Any]:
        names = [
            AliasNode(self._context, version, name)
            for version in self._versions()
            for name in version.aliases
        ]
        return lists.connection(names, first, after, lambda value: {"node": value})

    def artifacts(
        self,
        filters: str | None = None,
        first: int | None = None,
        after: str | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        found = [ArtifactNode(self._context, each) for each in self._versions()]
        found = lists.matching(found, filters, ArtifactNode.view)
        found = lists.ordered(found, order, ArtifactNode.view) if order else found
        return lists.connection(
            found, first, after, lambda node: {"node": node, "version": node.record.version}
        )

    def artifact_membership(self, alias_name: str) -> MembershipNode | None:
        version = self._context.version(self.record.project, f"{self.name}:{alias_name}")
        return None if version is None else MembershipNode(self._context, version)

    def artifact_memberships(
        self, first: int | None = None, after: str | None = None
    ) -> dict[str, Any]:
        found = [MembershipNode(self._context, each) for each in self._versions()]
        return lists.connection(found, first, after, lambda node: {"node": node})

    def _versions(self) -> list[VersionRecord]:
        return self._context.repository.catalog.versions(self.record.id)


def collection_page(
    context: Context,
    project: str,
    type_name: str | None,
    first: int | None,
    after: str | None,
    filters: str | None,
    order: str | None,
) -> dict[str, Any]:
    """A page of the collections of a readable project, or of one type in it."""
    is_readable = context.access.reads(project)
    records = (
        []
        if not is_readable
        else context.repository.catalog.artifacts(project=project, type_name=type_name)
    )
    found = [CollectionNode(context, each) for each in records]
    found = lists.matching(found, filters, CollectionNode.view)
    found = lists.ordered(found, order, CollectionNode.view) if order else found
    return lists.connection(found, first, after, lambda node: {"node": node})


class ArtifactNode:
    """A version, in whichever collection it was asked of."""

    digest_algorithm = "MANIFEST_MD5"
    state = "COMMITTED"
    labels = None
    history_step = None
    ttl_is_inherited = False

    def __init__(self, context: Context, record: VersionRecord) -> None:
        self._context = context
        self.record = record
        self.id = ids.artifact_gid(record.id)
        self.digest = record.digest
        self.description = record.description
        self.metadata = json.dumps(record.metadata)
        self.size = record.size_bytes
        self.file_count = record.file_count
        self.version_index = record.source_index
        self.commit_hash = record.id[:20]
        self.created_at = self.updated_at = time_text(record.created_at_ns)
        self.ttl_duration_seconds = NO_TTL if record.ttl_s is None else record.ttl_s
        self.tags = [tag_value(name) for name in record.tags]

    def view(self) -> Metadata:
        """What filters and orders see."""
        record = self.record
        return {
            "versionIndex": record.index,
            "version_index": record.index,
            "createdAt": self.created_at,
            "created_at": self.created_at,
            "state": self.state,
            "digest": self.digest,
            "size": self.size,
            "description": self.description,
            "metadata": record.metadata,
            "alias": list(record.aliases),
            "aliases": list(record.aliases),
            "tag": list(record.tags),
            "tags": list(record.tags),
        }

    def aliases(self) -> list[AliasNode]:
        return [
            AliasNode(self._context, seen, name)
            for seen in self._context.memberships(self.record.id)
            for name in (*seen.aliases, seen.version)
        ]

    def artifact_type(self) -> TypeNode:
        record = self.record
        project = self._context.nodes.project(self._context, record.source_project)
        return TypeNode(self._context, project, record.type, record.created_at_ns)

    def artifact_sequence(self) -> Any:
        record = self.record
        if self._context.access.reads(record.source_project):
            found = self._context.collection(record.source_project, record.source_name)
            if found is not None:
                return CollectionNode(self._context, found)
        return pending_sequence(self._context, record.source_project, record.source_name, None)

    def artifact_memberships(self) -> dict[str, Any]:
        found = self._context.memberships(self.record.id)
        shown = lists.nodes(MembershipNode(self._context, each) for each in found)
        return lists.edges(shown, 0, more=False, total=len(shown))

    def current_manifest(self) -> dict[str, Any]:
        file = {
            "id": self.id,
            "name": "wandb_manifest.json",
            "displayName": "wandb_manifest.json",
            "directUrl": self._context.manifest_url(self.record.id),
        }
        return {"id": ids.manifest_gid(self.record.id), "file": file}

    def files(
        self,
        names: Sequence[str] | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        start, count = lists.page_bounds(first, after)
        contents, record = self._context.contents, self.record
        total = record.file_count
        if names:
            named = contents.named(record, names)
            total = len(named)
            found = named[start : start + count + 1]
        else:
            found = contents.page(record, start, count + 1)
        shown = [{"node": FileNode(self._context, *each, self)} for each in found[:count]]
        return lists.edges(shown, start, more=len(found) > count, total=total)

    def files_by_manifest_entries(
        self,
        storage_layout: str,
        manifest_version: str,
        entries: list[dict[str, Any]] | None = None,
        storage_region: str | None = None,
    ) -> dict[str, Any]:
        del storage_layout, manifest_version, storage_region
        wanted = [each["name"] for each in entries or ()]
        found = self._context.contents.named(self.record, wanted)
        shown = [{"node": FileNode(self._context, *each, self)} for each in found]
        return lists.edges(shown, 0, more=False, total=len(shown))

    def used_by(self, **_page: Any) -> dict[str, Any]:
        records = self._context.repository.catalog.users_of(self.record.id)
        found = self._context.nodes.runs(self._context, records)
        return lists.edges(lists.nodes(found), 0, more=False, total=len(found))

    def created_by(self) -> Any:
        maker = self._context.repository.catalog.maker_of(self.record.id)
        found = self._context.nodes.runs(self._context, [maker] if maker else [])
        return found[0] if found else None


class MembershipNode:
    """A version in one collection."""

    def __init__(self, context: Context, record: VersionRecord) -> None:
        self._context = context
        self.record = record
        self.id = ids.named_gid("Membership", record.project, record.name, record.id)
        self.version_index = record.index
        self.created_at = time_text(record.created_at_ns)
        self.aliases = [AliasNode(context, record, name) for name in record.aliases]

    def artifact_collection(self) -> CollectionNode | None:
        found = self._context.collection(self.record.project, self.record.name)
        return None if found is None else CollectionNode(self._context, found)

    def artifact(self) -> ArtifactNode:
        return ArtifactNode(self._context, self.record)

    def files(self, **page: Any) -> dict[str, Any]:
        return self.artifact().files(**page)


class _PendingSequence(msgspec.Struct, frozen=True):
    """A collection that has no version yet, or none that may be seen."""

    graphql_type: str
    id: str
    name: str
    project: NamedNode
    latest_artifact: ArtifactNode | None


def pending_sequence(
    context: Context, project: str, name: str, latest: VersionRecord | None
) -> _PendingSequence:
    """The collection of a draft."""
    return _PendingSequence(
        "ArtifactSequence",
        ids.collection_gid(project, name),
        name,
        context.nodes.project(context, project),
        None if latest is None else ArtifactNode(context, latest),
    )


class AliasNode:
    """An alias of a version in one collection."""

    def __init__(self, context: Context, seen: VersionRecord, name: str) -> None:
        self._context = context
        self._seen = seen
        self.id = ids.named_gid("ArtifactAlias", seen.project, seen.name, name)
        self.alias = name
        self.artifact_collection_name = seen.name

    def artifact_collection(self) -> CollectionNode | None:
        found = self._context.collection(self._seen.project, self._seen.name)
        return None if found is None else CollectionNode(self._context, found)
