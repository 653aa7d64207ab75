"""What GraphQL shows of a store: artifacts, collections, files, runs. Names are W&B's.

A node's methods and attributes are the fields of its type in `schema.graphql`.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from artfs.catalog.records import ArtifactRecord, RunRecord, VersionRecord
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.model import Metadata, VersionState
from artfs.server import ids, lists
from artfs.server.context import Context, run_name
from artfs.server.tokens import RunFileUpload

NO_TTL = -1


def time_text(at_ns: int | None) -> str | None:
    """A time as W&B writes it."""
    if at_ns is None:
        return None
    at = datetime.fromtimestamp(at_ns / 1e9, UTC).replace(tzinfo=None)
    return at.isoformat(timespec="seconds")


class ProjectNode:
    """A project; it need not hold anything yet."""

    def __init__(self, context: Context, name: str, created_at_ns: int | None = None) -> None:
        self._context = context
        self.name = name
        self.id = ids.named_gid("Project", "v1", name, context.entity)
        self.internal_id = ids.named_gid("ProjectInternalId", ids.number_of(name))
        self.entity_name = context.entity
        self.created_at = time_text(created_at_ns or 0)
        self.description = self.repo = self.docker_image = self.views = ""
        self.is_benchmark = False
        self.access = "PRIVATE"
        self.read_only = context.access.key.read_only or context.access.read_only

    def entity(self) -> dict[str, Any]:
        return entity_value(self._context)

    def run(self, name: str, desc: str | None = None) -> RunNode | None:
        del desc
        run = self._context.run(self.name, name)
        return None if run is None else RunNode(self._context, run)

    def bucket(self, name: str, desc: str | None = None, missing_ok: bool = False) -> Any:
        del missing_ok
        return self.run(name, desc)

    def runs(
        self,
        filters: str | None = None,
        first: int | None = None,
        after: str | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        found = self._runs(filters)
        found = lists.ordered(found, order, RunNode.view) if order else found
        return lists.connection(found, first, after, lambda run: {"node": run})

    def buckets(self, first: int | None = None, after: str | None = None) -> dict[str, Any]:
        return self.runs(None, first, after)

    def run_count(self, filters: str | None = None) -> int:
        return len(self._runs(filters))

    def _runs(self, filters: str | None) -> list[RunNode]:
        records = self._context.repository.catalog.runs(project=self.name)
        return lists.matching(run_nodes(self._context, records), filters, RunNode.view)

    def artifact(self, name: str) -> ArtifactNode | None:
        version = self._context.version(self.name, name)
        return None if version is None else ArtifactNode(self._context, version)

    def artifact_collection_membership(self, name: str) -> MembershipNode | None:
        version = self._context.version(self.name, name)
        return None if version is None else MembershipNode(self._context, version)

    def artifact_collection(self, name: str) -> CollectionNode | None:
        record = self._context.collection(self.name, name)
        return None if record is None else CollectionNode(self._context, record)

    def artifact_collections(
        self,
        first: int | None = None,
        after: str | None = None,
        filters: str | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        return collection_page(self._context, self.name, None, first, after, filters, order)

    def artifact_type(self, name: str) -> TypeNode | None:
        found = {each.name: each for each in self._types()}
        return found.get(name)

    def artifact_types(self, first: int | None = None, after: str | None = None) -> dict[str, Any]:
        return lists.connection(self._types(), first, after, lambda node: {"node": node})

    def _types(self) -> list[TypeNode]:
        oldest: dict[str, int] = {}
        for each in self._context.repository.catalog.artifacts(project=self.name):
            oldest[each.type] = min(oldest.get(each.type, each.created_at_ns), each.created_at_ns)
        return [TypeNode(self._context, self, name, at) for name, at in sorted(oldest.items())]


class TypeNode:
    """A type of artifacts in a project."""

    description = ""

    def __init__(
        self, context: Context, project: ProjectNode, name: str, created_at_ns: int
    ) -> None:
        self._context = context
        self.project = project
        self.name = name
        self.id = ids.named_gid("ArtifactType", project.name, name)
        self.created_at = time_text(created_at_ns)

    def artifact(self, name: str) -> ArtifactNode | None:
        return self.project.artifact(name)

    def artifact_collection(self, name: str) -> CollectionNode | None:
        found = self.project.artifact_collection(name)
        return found if found is not None and found.type_name == self.name else None

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

    description = ""
    updated_at = None
    digest_algorithm = "MANIFEST_MD5"
    state = "READY"

    def __init__(self, context: Context, record: ArtifactRecord) -> None:
        self._context = context
        self.record = record
        self.graphql_type = "ArtifactPortfolio" if record.is_portfolio else "ArtifactSequence"
        self.id = ids.collection_gid(record.project, record.name)
        self.name = record.name
        self.type_name = record.type
        self.created_at = time_text(record.created_at_ns)
        self.tags: dict[str, Any] = {"edges": []}

    def view(self) -> Metadata:
        """What filters and orders see."""
        record = self.record
        kind = "PORTFOLIO" if record.is_portfolio else "SEQUENCE"
        shown = {"name": record.name, "type": record.type, "createdAt": self.created_at}
        return {**shown, "created_at": self.created_at, "collection_type": kind}

    def project(self) -> ProjectNode:
        return ProjectNode(self._context, self.record.project)

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
    """A page of the collections of a project, or of one type in it."""
    records = context.repository.catalog.artifacts(project=project, type_name=type_name)
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
        project = ProjectNode(self._context, record.source_project)
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
        if names:
            found = contents.named(record, names)[start : start + count + 1]
        else:
            found = contents.page(record, start, count + 1)
        shown = [{"node": FileNode(self._context, *each, record)} for each in found[:count]]
        return lists.edges(shown, start, more=len(found) > count, total=record.file_count)

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
        shown = [{"node": FileNode(self._context, *each, self.record)} for each in found]
        return lists.edges(shown, 0, more=False, total=len(shown))

    def used_by(self, **_page: Any) -> dict[str, Any]:
        records = self._context.repository.catalog.users_of(self.record.id)
        found = run_nodes(self._context, records)
        return lists.edges(lists.nodes(found), 0, more=False, total=len(found))

    def created_by(self) -> RunNode | None:
        maker = self._context.repository.catalog.maker_of(self.record.id)
        found = run_nodes(self._context, [maker] if maker else [])
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


class FileNode:
    """A file or reference of a version."""

    upload_url = None
    upload_multipart_urls = None

    def __init__(
        self, context: Context, path: str, entry: FileEntry | ReferenceEntry, version: VersionRecord
    ) -> None:
        self._context = context
        self._path = path
        self._entry = entry
        self._version = version
        self.id = ids.named_gid("File", version.id, path)
        self.name = self.display_name = path
        self.size_bytes = entry.size_bytes or 0
        self.digest = entry.digest
        self.md5 = entry.digest if isinstance(entry, FileEntry) else None
        self.storage_path = f"contents/{entry.digest}"
        self.updated_at = time_text(version.created_at_ns)
        self.upload_headers: list[str] = []

    def mimetype(self) -> str:
        return mimetypes.guess_type(self._path)[0] or "application/octet-stream"

    def direct_url(self) -> str:
        if isinstance(self._entry, ReferenceEntry):
            # Clients go there themselves.
            return self._entry.uri
        return self._context.content_url(self._path, self._entry)

    def url(self, upload: bool = False) -> str:
        del upload
        return self.direct_url()

    def artifact(self) -> ArtifactNode:
        return ArtifactNode(self._context, self._version)


class RunNode:
    """A run."""

    graphql_type = "Run"
    sweep_name = commit = None
    read_only = stopped = False
    history_line_count = log_line_count = events_line_count = file_count = 0
    history_tail = events_tail = "[]"
    system_metrics = "{}"
    run_info = None

    def __init__(
        self, context: Context, record: RunRecord, details: Metadata | None = None
    ) -> None:
        self._context = context
        self.record = record
        if details is None:
            found = context.repository.catalog.serving.run_details([record.id])
            details = found.get(record.id, {})
        self._details = details
        self.id = ids.run_gid(record.id)
        self.name = run_name(record)
        self.display_name = record.name
        self.description = self.notes = details.get("notes")
        self.tags = details.get("tags") or []
        self.group = details.get("group")
        self.job_type = record.job_type
        self.state = record.state.value
        self.created_at = time_text(record.created_at_ns)
        self.heartbeat_at = self.updated_at = time_text(
            record.finished_at_ns or record.created_at_ns
        )
        self.project_id = ids.number_of(record.project)
        self.history_keys: Metadata = {}
        self.summary_metrics = json.dumps(details.get("summary") or {})
        self.user = user_value(context)

    def view(self) -> Metadata:
        """What filters and orders see."""
        record = self.record
        return {
            "name": self.name,
            "display_name": record.name,
            "displayName": record.name,
            "state": self.state,
            "jobType": record.job_type,
            "job_type": record.job_type,
            "group": self.group,
            "tags": self.tags,
            "createdAt": self.created_at,
            "created_at": self.created_at,
            "config": {key: {"value": value} for key, value in record.config.items()}
            | record.config,
            "summary_metrics": self._details.get("summary") or {},
        }

    def config(self) -> str:
        raw = self._details.get("config")
        if raw is None:
            raw = {key: {"value": value} for key, value in self.record.config.items()}
        return json.dumps(raw)

    def wandb_config(self, keys: list[str] | None = None) -> str:
        del keys
        return json.dumps((self._details.get("config") or {}).get("_wandb", {}))

    def project(self) -> ProjectNode:
        return ProjectNode(self._context, self.record.project)

    def files(self, names: list[str] | None = None, **_page: Any) -> dict[str, Any]:
        url = self._context.upload_url(RunFileUpload(self.record.id))
        found = [
            {"id": ids.named_gid("RunFile", self.record.id, name), "name": name, "url": url}
            for name in names or ()
        ]
        page = lists.edges(lists.nodes(found), 0, more=False, total=len(found))
        return {**page, "uploadHeaders": []}

    def input_artifacts(self, first: int | None = None, after: str | None = None) -> Any:
        return self._artifacts(self._context.repository.catalog.inputs_of, first, after)

    def output_artifacts(self, first: int | None = None, after: str | None = None) -> Any:
        return self._artifacts(self._context.repository.catalog.outputs_of, first, after)

    def history(self, **_span: Any) -> list[str]:
        return []

    def sampled_history(self, specs: list[str]) -> list[Any]:
        return [[] for _ in specs]

    def _artifacts(self, records_of: Any, first: int | None, after: str | None) -> dict[str, Any]:
        reads = self._context.access.reads
        found = [
            ArtifactNode(self._context, record)
            for record in records_of(self.record.id)
            if record.state is VersionState.COMMITTED and reads(record.project)
        ]
        return lists.connection(found, first, after, lambda node: {"node": node})


def run_nodes(context: Context, records: Sequence[RunRecord]) -> list[RunNode]:
    """The runs that may be seen, with what they say of themselves."""
    shown = [each for each in records if context.access.reads(each.project)]
    details = context.repository.catalog.serving.run_details([each.id for each in shown])
    return [RunNode(context, each, details.get(each.id, {})) for each in shown]


class _PendingSequence(msgspec.Struct, frozen=True):
    """A collection that has no version yet, or none that may be seen."""

    graphql_type: str
    id: str
    name: str
    project: ProjectNode
    latest_artifact: ArtifactNode | None


def pending_sequence(
    context: Context, project: str, name: str, latest: VersionRecord | None
) -> _PendingSequence:
    """The collection of a draft."""
    return _PendingSequence(
        "ArtifactSequence",
        ids.collection_gid(project, name),
        name,
        ProjectNode(context, project),
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


def tag_value(name: str) -> dict[str, Any]:
    """A tag."""
    return {"id": ids.named_gid("Tag", name), "name": name}


def entity_value(context: Context) -> dict[str, Any]:
    """The entity that the store belongs to."""
    name = context.entity
    return {"id": ids.named_gid("Entity", name), "name": name, "isTeam": True, "available": True}


def user_value(context: Context) -> dict[str, Any]:
    """Who asks, as far as a key tells."""
    name = context.access.key.name
    return {
        "id": ids.named_gid("User", name),
        "name": name,
        "username": name,
        "email": "",
        "entity": context.entity,
        "admin": False,
        "flags": "{}",
        "teams": {"edges": lists.nodes([entity_value(context)])},
        "apiKeys": {"edges": []},
    }
