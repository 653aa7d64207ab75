"""What clients ask of a server: the fields of `Query`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from artfs.errors import NotFound
from artfs.server import ids, lists
from artfs.server.artifact_nodes import ArtifactNode, CollectionNode
from artfs.server.context import Context, awaited
from artfs.server.leaf_nodes import entity_value, user_value
from artfs.server.project_nodes import PendingNode, ProjectNode

MAX_CLIENT = "0.99.0"
"""The newest client that need not be told to look for a newer server."""

FEATURES = ("TOTAL_COUNT_IN_FILE_CONNECTION",)
"""What clients may rely on; most features make them send more, and nothing here needs it.

Without this one `list(artifact.files())` fails in clients of today.
"""


class Queries:
    """Resolves the fields of `Query` in one request; blocks on the store."""

    _has_waited = False

    def __init__(self, context: Context) -> None:
        self._context = context

    def viewer(self) -> dict[str, Any]:
        return user_value(self._context)

    def server_info(self) -> dict[str, Any]:
        return {
            "cliVersionInfo": {"max_cli_version": MAX_CLIENT},
            "latestLocalVersionInfo": {"outOfDate": False, "latestVersionString": MAX_CLIENT},
            "features": [{"name": name, "isEnabled": True} for name in FEATURES],
        }

    def entity(self, name: str | None = None) -> dict[str, Any] | None:
        if name not in {None, self._context.entity}:
            return None
        return {
            **entity_value(self._context),
            "projects": lambda _info, **page: self.models(**page),
        }

    def organization(self, name: str) -> None:
        """There are none."""

    def project(self, name: str | None = None, entity_name: str | None = None) -> Any:
        project = self._context.readable_project(name, entity_name)
        return None if project is None else ProjectNode(self._context, project)

    def model(self, name: str | None = None, entity_name: str | None = None) -> Any:
        return self.project(name, entity_name)

    def models(
        self,
        entity_name: str | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        self._context.require_entity(entity_name)
        found = [
            ProjectNode(self._context, each.name, each.created_at_ns)
            for each in self._context.repository.catalog.projects()
            if self._context.access.reads(each.name)
        ]
        return lists.connection(found, first, after, lambda node: {"node": node})

    def artifact(self, id: str) -> Any:  # noqa: A002 - a field's argument
        return find_artifact(self._context, ids.artifact_id(id))

    def artifact_collection(self, id: str) -> CollectionNode | None:  # noqa: A002 - as above
        found = self._context.collection_by_id(id)
        return None if found is None else CollectionNode(self._context, found)

    def client_id_mapping(self, client_id: str) -> dict[str, str] | None:
        serving = self._context.repository.catalog.serving
        # The artifact may be about to be made, by a request on another connection; of several in
        # one query only the first is waited for.
        if not self._has_waited:
            self._has_waited = True
            awaited(lambda: serving.mapped_client_id(client_id) is not None)
        found = serving.mapped_client_id(client_id)
        with suppress(NotFound):
            if found is not None:
                find_artifact(self._context, found)
                return {"serverID": ids.artifact_gid(found)}
        return None


def find_artifact(context: Context, artifact_id: str) -> ArtifactNode | PendingNode:
    """A version, or a draft, by its id. Raises: ArtifactNotFound."""
    draft = context.repository.catalog.serving.draft(artifact_id)
    if draft is not None and context.access.reads(draft.project):
        return PendingNode(context, draft, context.latest(draft.project, draft.name))
    committed = context.repository.catalog.committed_with(artifact_id)
    return ArtifactNode(context, context.version_by_id(committed or artifact_id))
