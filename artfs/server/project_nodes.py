"""What GraphQL shows of projects, runs and what is being logged: all that leads to artifacts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from artfs.catalog.records import RunRecord, VersionRecord
from artfs.catalog.serving_records import Draft
from artfs.model import Metadata, VersionState
from artfs.repository.filters import run_view
from artfs.repository.runnames import run_name
from artfs.server import ids, lists
from artfs.server.artifact_nodes import (
    ArtifactNode,
    CollectionNode,
    MembershipNode,
    TypeNode,
    collection_page,
    pending_sequence,
)
from artfs.server.context import Context
from artfs.server.leaf_nodes import NO_TTL, entity_value, tag_value, time_text, user_value
from artfs.server.tokens import RunFileUpload


class ProjectNode:
    """A project; it need not hold anything yet."""

    def __init__(self, context: Context, name: str, created_at_ns: int | None = None) -> None:
        """Of one that the key is not for nothing is seen but its name, where a link leads there."""
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
        if not self._context.access.reads(self.name):
            return []
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
        if not self._context.access.reads(self.name):
            return []
        for each in self._context.repository.catalog.artifacts(project=self.name):
            oldest[each.type] = min(oldest.get(each.type, each.created_at_ns), each.created_at_ns)
        return [TypeNode(self._context, self, name, at) for name, at in sorted(oldest.items())]


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
            found = context.repository.catalog.run_details([record.id])
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
        return run_view(self.record, self._details)

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
    details = context.repository.catalog.run_details([each.id for each in shown])
    return [RunNode(context, each, details.get(each.id, {})) for each in shown]


class PendingNode:
    """A draft."""

    state = "PENDING"
    digest_algorithm = "MANIFEST_MD5"
    labels = commit_hash = history_step = version_index = current_manifest = created_by = None
    size = file_count = 0
    ttl_is_inherited = False

    def __init__(self, context: Context, draft: Draft, latest: VersionRecord | None) -> None:
        """`latest` is that of its artifact."""
        self._context = context
        self._draft = draft
        self._latest = latest
        request = draft.request
        self.id = ids.artifact_gid(draft.id)
        self.digest = request.digest
        self.description = request.description
        self.metadata = json.dumps(request.metadata)
        self.created_at = self.updated_at = time_text(0)
        self.ttl_duration_seconds = NO_TTL if request.ttl_s is None else request.ttl_s
        self.tags = [tag_value(name) for name in request.tags]
        self.aliases = [
            {"alias": alias, "artifactCollectionName": draft.name, "id": alias}
            for alias in request.aliases
        ]

    def artifact_type(self) -> TypeNode:
        project = ProjectNode(self._context, self._draft.project)
        return TypeNode(self._context, project, self._draft.request.type, 0)

    def artifact_sequence(self) -> Any:
        return pending_sequence(self._context, self._draft.project, self._draft.name, self._latest)


class StoreNodes:
    """`NodeMaker`."""

    def project(self, context: Context, name: str) -> ProjectNode:
        return ProjectNode(context, name)

    def runs(self, context: Context, records: Sequence[RunRecord]) -> list[RunNode]:
        return run_nodes(context, records)
