"""What clients change of artifacts and portfolios as a whole: names, types, tags; and deleting."""

from __future__ import annotations

from typing import Any

from artfs.catalog.records import ArtifactChange, ArtifactRecord
from artfs.errors import ArtifactNotFound
from artfs.model import Metadata, check_name, check_type
from artfs.server import ids
from artfs.server.artifact_nodes import CollectionNode
from artfs.server.context import Context
from artfs.server.leaf_nodes import tag_value
from artfs.server.writing import checked_tags


class CollectionMutations:
    """Resolves the fields of `Mutation` about collections, as W&B calls both; blocks."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def update_artifact_sequence(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - a field's argument
        return self._update(input["artifactSequenceID"], input, is_portfolio=False)

    def update_artifact_portfolio(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        return self._update(input["artifactPortfolioID"], input, is_portfolio=True)

    def _update(self, gid: str, said: Metadata, *, is_portfolio: bool) -> dict[str, Any]:
        record = self._own(gid, is_portfolio=is_portfolio)
        changes: dict[str, Any] = {}
        if said.get("name") is not None:
            kind = "portfolio" if is_portfolio else "artifact"
            changes["name"] = check_name(said["name"], kind=kind)
        if "description" in said:
            changes["description"] = said["description"] or None
        return self._changed(record, ArtifactChange(**changes))

    def move_artifact_sequence(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        record = self._own(input["artifactSequenceID"], is_portfolio=False)
        wanted = check_type(input["destinationArtifactTypeName"])
        return self._changed(record, ArtifactChange(type=wanted))

    def _changed(self, record: ArtifactRecord, change: ArtifactChange) -> dict[str, Any]:
        catalog = self._context.repository.catalog
        changed = catalog.change_artifact(record.id, change)
        self._context.contents.forget()
        return {"artifactCollection": CollectionNode(self._context, changed)}

    def create_artifact_collection_tag_assignments(self, input: Metadata) -> dict[str, Any]:  # noqa: A002
        names = checked_tags(input["tags"])
        self._changed(self._named(input), ArtifactChange(add_tags=names))
        return {"tags": [tag_value(name) for name in names]}

    def delete_artifact_collection_tag_assignments(self, input: Metadata) -> dict[str, bool]:  # noqa: A002
        names = checked_tags(input["tags"])
        self._changed(self._named(input), ArtifactChange(remove_tags=names))
        return {"success": True}

    def delete_artifact_sequence(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        return self._delete(input["artifactSequenceID"], is_portfolio=False)

    def delete_artifact_portfolio(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        return self._delete(input["artifactPortfolioID"], is_portfolio=True)

    def _delete(self, gid: str, *, is_portfolio: bool) -> dict[str, Any]:
        record = self._own(gid, is_portfolio=is_portfolio)
        self._context.repository.catalog.delete_artifact(record.id)
        self._context.contents.forget()
        node = CollectionNode(self._context, record)
        node.state = "DELETED"
        return {"artifactCollection": node}

    # --- which one -------------------------------------------------------------------------

    def _own(self, gid: str, *, is_portfolio: bool) -> ArtifactRecord:
        """What has this id, and may be changed. Raises: ArtifactNotFound, PermissionDenied."""
        self._context.access.require_write(ids.collection_project(gid))
        found = self._context.collection_by_id(gid)
        if found is None or found.is_portfolio != is_portfolio:
            kind = "portfolio" if is_portfolio else "artifact"
            raise ArtifactNotFound(kind, "there is none of this id (any more)")
        return found

    def _named(self, said: Metadata) -> ArtifactRecord:
        context = self._context
        project = context.project(said["projectName"], said["entityName"])
        context.access.require_write(project)
        name = check_name(said["artifactCollectionName"], kind="artifact")
        return context.repository.catalog.artifact(project, name)
