"""What GraphQL shows of a version before it is committed."""

from __future__ import annotations

import json
from typing import Any

from artfs.catalog.records import VersionRecord
from artfs.catalog.serving_records import Draft
from artfs.server import ids
from artfs.server.context import Context
from artfs.server.nodes import NO_TTL, ProjectNode, TypeNode, pending_sequence, tag_value, time_text


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
