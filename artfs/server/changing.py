"""What clients change of versions: aliases, what is said of them, links, uses; and deleting."""

from __future__ import annotations

from typing import Any

from artfs.catalog.records import VersionRecord, VersionUpdate
from artfs.errors import ArtifactNotFound, InvalidArgument
from artfs.model import Metadata, check_alias, check_name
from artfs.repository.facade import LATEST
from artfs.server import ids
from artfs.server.artifact_nodes import ArtifactNode, MembershipNode
from artfs.server.context import Context, as_json
from artfs.server.runs import required_run
from artfs.server.writing import checked_count, checked_tags, checked_ttl


class ChangeMutations:
    """Resolves the fields of `Mutation` that change what is there; blocks on the store."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def use_artifact(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - a field's argument
        context = self._context
        project = context.project(input.get("projectName"), input.get("entityName"))
        context.access.require_write(project)
        version = self._seen_version(input["artifactID"])
        run = required_run(context, project, input["runName"])
        context.repository.catalog.record_use(run.id, version.id, use_as=input.get("usedAs"))
        return {"artifact": ArtifactNode(context, version)}

    def update_artifact(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        version = self._own_version(input["artifactID"])
        changes: dict[str, Any] = {}
        if input.get("description") is not None:
            changes["description"] = input["description"]
        if input.get("metadata") is not None:
            metadata = as_json(input["metadata"])
            if not isinstance(metadata, dict):
                raise InvalidArgument("metadata", "is not a JSON object")
            changes["metadata"] = metadata
        if input.get("ttlDurationSeconds") is not None:
            changes["ttl_s"] = checked_ttl(input["ttlDurationSeconds"])
        added, gone = checked_tags(input.get("tagsToAdd")), checked_tags(input.get("tagsToDelete"))
        if added or gone:
            kept = (name for name in version.tags if name not in gone)
            changes["tags"] = tuple(dict.fromkeys((*kept, *added)))
        if input.get("aliases") is not None:
            wanted = {_alias(each["alias"]) for each in checked_count("aliases", input["aliases"])}
            changes["add_aliases"] = tuple(sorted(wanted - set(version.aliases)))
            changes["remove_aliases"] = tuple(sorted(set(version.aliases) - wanted - {LATEST}))
        if changes:
            update = VersionUpdate(**changes)
            version = self._context.repository.catalog.update_version(version.id, update)
        return {"artifact": ArtifactNode(self._context, version)}

    def add_aliases(self, input: Metadata) -> dict[str, bool]:  # noqa: A002 - as above
        version = self._seen_version(input["artifactID"])
        for holder, names in self._by_collection(version, input["aliases"]).items():
            self._move(version, holder, VersionUpdate(add_aliases=tuple(names)))
        return {"success": True}

    def delete_aliases(self, input: Metadata) -> dict[str, bool]:  # noqa: A002 - as above
        version = self._seen_version(input["artifactID"])
        for holder, names in self._by_collection(version, input["aliases"]).items():
            self._move(version, holder, VersionUpdate(remove_aliases=tuple(names)))
        return {"success": True}

    def _by_collection(
        self, version: VersionRecord, aliases: list[Metadata]
    ) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for each in checked_count("aliases", aliases):
            project = self._context.project(
                each.get("projectName") or version.source_project, each.get("entityName")
            )
            self._context.access.require_write(project)
            name = check_name(each["artifactCollectionName"], kind="artifact")
            found.setdefault((project, name), []).append(_alias(each["alias"]))
        return found

    def _move(self, version: VersionRecord, holder: tuple[str, str], update: VersionUpdate) -> None:
        own = (version.source_project, version.source_name)
        self._context.repository.catalog.update_version(
            version.id, update, portfolio=None if holder == own else holder
        )

    def delete_artifact(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        version = self._own_version(input["artifactID"])
        self._context.repository.catalog.delete_version(
            version.id, delete_aliases=bool(input.get("deleteAliases"))
        )
        self._context.contents.forget()
        return {"artifact": {"id": ids.artifact_gid(version.id)}}

    # --- portfolios ------------------------------------------------------------------------

    def link_artifact(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        context, catalog = self._context, self._context.repository.catalog
        if input.get("artifactID"):
            artifact_id = ids.artifact_id(input["artifactID"])
        else:
            artifact_id = catalog.serving.mapped_client_id(input.get("clientID") or "") or ""
        artifact_id = catalog.committed_with(artifact_id) or artifact_id
        version = context.version_by_id(artifact_id)
        if input.get("artifactPortfolioID"):
            project, name = context.collection_names(input["artifactPortfolioID"])
        else:
            project = context.project(input.get("projectName"), input.get("entityName"))
            name = check_name(input.get("artifactPortfolioName") or "", kind="portfolio")
        context.access.require_write(project)
        names = [_alias(each["alias"]) for each in checked_count("aliases", input.get("aliases"))]
        linked = catalog.link(version.id, project, name, [each for each in names if each != LATEST])
        membership = MembershipNode(context, linked)
        return {"versionIndex": linked.index, "artifactMembership": membership}

    def unlink_artifact(self, input: Metadata) -> dict[str, bool]:  # noqa: A002 - as above
        project, name = self._context.collection_names(input["artifactPortfolioID"])
        self._context.access.require_write(project)
        version_id = ids.artifact_id(input["artifactID"])
        self._context.repository.catalog.unlink(version_id, project, name)
        self._context.contents.forget()
        return {"success": True}

    # --- versions --------------------------------------------------------------------------

    def _seen_version(self, gid: str) -> VersionRecord:
        """A version that may be read. Raises: ArtifactNotFound, VersionNotFound."""
        artifact_id = ids.artifact_id(gid)
        committed = self._context.repository.catalog.committed_with(artifact_id)
        return self._context.version_by_id(committed or artifact_id)

    def _own_version(self, gid: str) -> VersionRecord:
        """A version that may be changed, as seen through its own artifact."""
        version = self._seen_version(gid)
        self._context.access.require_write(version.source_project)
        if version.is_linked:
            raise ArtifactNotFound(version.path, "is only linked here")
        return version


def _alias(text: str) -> str:
    return check_alias(text)
