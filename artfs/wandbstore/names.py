"""Names on a W&B server: its answers become records.

The queries are those of W&B's own clients, so that any server answers them. Whatever an answer
says is checked: a name becomes a directory, an index a version. A name that artfs cannot have (W&B
lets projects have spaces) is left out of listings, with a warning.
"""

from __future__ import annotations

import binascii
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import TypeVar

from artfs.catalog.records import ArtifactRecord, ProjectRecord, VersionRecord
from artfs.errors import (
    AliasNotFound,
    ArtifactNotFound,
    InvalidName,
    StoreNotFound,
    VersionNotFound,
)
from artfs.model import (
    check_name,
    check_type,
    is_wandb_digest,
    version_index,
)
from artfs.wandbstore import queries
from artfs.wandbstore.address import FileAddress
from artfs.wandbstore.answers import (
    AliasAnswer,
    ArtifactAnswer,
    ArtifactOnly,
    CollectionAnswer,
    EntityOnly,
    MembershipAnswer,
    Models,
    Page,
    ProjectAnswer,
    ProjectName,
    ProjectOnly,
    TypeAnswer,
)
from artfs.wandbstore.client import QueryRefused, WandbServer, nonsense
from artfs.wandbstore.conversions import (
    aliases_in,
    artifact_number,
    json_object,
    time_ns,
    version_state,
)
from artfs.wandbstore.trees import TreeOf, Trees

logger = logging.getLogger(__name__)

T = TypeVar("T")

LATEST = "latest"
_PAGE_ITEMS = 500
_MAX_ITEMS = 1_000_000
_COMMITTED = "COMMITTED"
_PORTFOLIO = "ArtifactPortfolio"
_MAX_DIGEST_CHARS = 128
_MAX_NUMBER = 2**62


class Names:
    """What one server says of names, asked anew each time. Thread-safe."""

    def __init__(self, server: WandbServer, trees: Trees) -> None:
        self._server = server
        self._trees = trees

    # --- listings ----------------------------------------------------------------------------

    def require_entity(self, entity: str) -> None:
        """Raises: StoreNotFound where the server has no such entity."""
        found = self._server.ask(queries.ENTITY, EntityOnly, entity=entity).entity
        if found is None:
            raise StoreNotFound(
                f"{self._server.address}/{entity}",
                "the server has no such entity, or not for you",
                hint=self._server.key_hint,
            )

    def projects(self, entity: str) -> list[ProjectRecord]:
        """All projects, by name."""

        def models(cursor: str | None) -> Page[ProjectAnswer] | None:
            asked = {"entity": entity, "cursor": cursor, "perPage": _PAGE_ITEMS}
            return self._server.ask(queries.PROJECTS, Models, **asked).models

        def of_entity(cursor: str | None) -> Page[ProjectAnswer] | None:
            asked = {"entity": entity, "cursor": cursor, "perPage": _PAGE_ITEMS}
            found = self._server.ask(queries.ENTITY_PROJECTS, EntityOnly, **asked).entity
            return None if found is None else found.projects

        try:
            answers = list(self.pages(models))
        except QueryRefused:
            answers = list(self.pages(of_entity))
        found = {}
        for each in answers:
            if self._is_usable(each.name, "project"):
                count = sum(
                    kind.artifact_collections.total_count or 0
                    for kind in _nodes(each.artifact_types)
                    if kind.artifact_collections is not None
                )
                found[each.name] = ProjectRecord(each.name, time_ns(each.created_at), count)
        return [found[name] for name in sorted(found)]

    def artifacts(
        self, entity: str, project: str, *, type_name: str | None = None
    ) -> list[ArtifactRecord]:
        """A project's artifacts and portfolios, by name; none where there is no such project."""
        asked = {"entity": entity, "project": project, "perPage": _PAGE_ITEMS}
        types = [type_name] if type_name is not None else self._types(asked)
        found: dict[str, ArtifactRecord] = {}
        for kind in types:

            def page(cursor: str | None, kind: str = kind) -> Page[CollectionAnswer] | None:
                answer = self._server.ask(
                    queries.COLLECTIONS, ProjectOnly, **asked, type=kind, cursor=cursor
                ).project
                of_type = None if answer is None else answer.artifact_type
                return None if of_type is None else of_type.artifact_collections

            for each in self.pages(page):
                if self._is_usable(each.name, "artifact"):
                    record = self._artifact(entity, project, each, type_name=kind)
                    found.setdefault(each.name, record)
        return [found[name] for name in sorted(found)]

    def _types(self, asked: dict[str, object]) -> list[str]:
        def page(cursor: str | None) -> Page[TypeAnswer] | None:
            answer = self._server.ask(queries.TYPES, ProjectOnly, **asked, cursor=cursor).project
            return None if answer is None else answer.artifact_types

        return [each.name for each in self.pages(page)]

    def artifact(self, entity: str, project: str, name: str) -> ArtifactRecord:
        """One artifact or portfolio. Raises: ArtifactNotFound."""
        found = self._collection(entity, project, name, first=1)
        return self._artifact(entity, project, found, type_name=None)

    def versions(self, entity: str, project: str, name: str) -> list[VersionRecord]:
        """All COMMITTED versions, newest first. Raises: ArtifactNotFound."""

        def page(cursor: str | None) -> Page[ArtifactAnswer]:
            found = self._collection(entity, project, name, first=_PAGE_ITEMS, cursor=cursor)
            return found.artifacts

        found = {}
        for node, seen in self._edges(page):
            if node.state == _COMMITTED:
                record = self._version(entity, node, project, name, index=self._index(seen, node))
                found[record.index] = record
        return [found[index] for index in sorted(found, reverse=True)]

    def _collection(
        self, entity: str, project: str, name: str, *, first: int, cursor: str | None = None
    ) -> CollectionAnswer:
        asked = {"entity": entity, "project": project, "collection": name}
        answer = self._server.ask(
            queries.COLLECTION, ProjectOnly, **asked, perPage=first, cursor=cursor
        ).project
        if answer is None:
            raise ArtifactNotFound(f"{project}/{name}", "there is no such project")
        if answer.artifact_collection is None:
            raise ArtifactNotFound(f"{project}/{name}", "there is no such artifact")
        return answer.artifact_collection

    # --- one version ---------------------------------------------------------------------------

    def version(self, entity: str, project: str, name: str, selector: str) -> VersionRecord:
        """The COMMITTED version that an alias, `vN` or a digest selects.

        Raises: ArtifactNotFound, VersionNotFound, AliasNotFound.
        """
        answer = self._server.ask(
            queries.MEMBERSHIP,
            ProjectOnly,
            entity=entity,
            project=project,
            name=f"{name}:{selector}",
        ).project
        path = f"{project}/{name}"
        if answer is None:
            raise ArtifactNotFound(path, "there is no such project")
        found = answer.artifact_collection_membership
        node = None if found is None else found.artifact
        wanted = version_index(selector)
        if found is None or node is None or node.state != _COMMITTED:
            self._collection(entity, project, name, first=1)
            if wanted is not None or is_wandb_digest(selector):
                raise VersionNotFound(f"{path}:{selector}", "there is no such version")
            raise AliasNotFound(f"{path}:{selector}", "there is no such alias")
        index = self._member_index(found, node)
        if wanted is not None and index != wanted:
            raise nonsense(self._server.subject, f"v{index} where {selector} was asked for")
        return self._version(entity, node, project, name, index=index, aliases=found.aliases)

    def version_by_id(self, entity: str, version_id: str) -> VersionRecord:
        """A version in any state, through the artifact that it was made in.

        Raises: VersionNotFound.
        """
        try:
            gid = b64encode(bytes.fromhex(version_id)).decode()
        except ValueError:
            raise VersionNotFound(repr(version_id)[:60], "is no id of a version") from None
        try:
            node = self._server.ask(queries.BY_ID, ArtifactOnly, id=gid).artifact
        except (QueryRefused, ArtifactNotFound):
            node = None
        if node is None:
            raise VersionNotFound(repr(version_id)[:60], "the server has no such version")
        return self.made(entity, node)

    def made(self, entity: str, node: ArtifactAnswer) -> VersionRecord:
        """A version as seen through the artifact that it was made in."""
        source = node.artifact_sequence
        project = "" if source.project is None else source.project.name
        return self._version(entity, node, project, source.name, index=self._source_index(node))

    def member(self, entity: str, found: MembershipAnswer, node: ArtifactAnswer) -> VersionRecord:
        """A version as seen through one of the collections that hold it."""
        collection = found.artifact_collection
        if collection is None or collection.project is None:
            raise nonsense(self._server.subject, "a version in no collection")
        return self._version(
            entity,
            node,
            collection.project.name,
            collection.name,
            index=self._member_index(found, node),
            aliases=found.aliases,
        )

    # --- records -------------------------------------------------------------------------------

    def _artifact(
        self, entity: str, project: str, said: CollectionAnswer, *, type_name: str | None
    ) -> ArtifactRecord:
        latest = None
        for edge in said.artifacts.edges[:1]:
            if edge.node is not None and edge.node.state == _COMMITTED:
                index = self._index(edge.version, edge.node)
                latest = self._version(entity, edge.node, project, said.name, index=index)
        if latest is None or LATEST not in latest.aliases:
            # The newest is not the one that is called so.
            latest = self._latest(entity, project, said.name) or latest
        kind = type_name or (said.default_artifact_type and said.default_artifact_type.name)
        return ArtifactRecord(
            artifact_number(project, said.name),
            project,
            said.name,
            self._type(kind or ""),
            said.typename == _PORTFOLIO,
            time_ns(said.created_at),
            said.artifacts.total_count or (0 if latest is None else 1),
            latest,
        )

    def _latest(self, entity: str, project: str, name: str) -> VersionRecord | None:
        try:
            return self.version(entity, project, name, LATEST)
        except (AliasNotFound, VersionNotFound):
            return None

    def _version(
        self,
        entity: str,
        node: ArtifactAnswer,
        project: str,
        name: str,
        *,
        index: int,
        aliases: list[AliasAnswer] | None = None,
    ) -> VersionRecord:
        try:
            hex_id = b64decode(node.id, validate=True).hex()
            source = node.artifact_sequence
            source_project = source.project or ProjectName(name=project)
            owner = source_project.entity.name if source_project.entity else entity
            for text, kind in (
                (project, "project"),
                (name, "artifact"),
                (source_project.name, "project"),
                (source.name, "artifact"),
                (owner, "entity"),
            ):
                check_name(text, kind=kind)
        except (binascii.Error, ValueError) as error:
            raise nonsense(self._server.subject, str(error)) from None
        if not (
            hex_id
            and node.digest
            and node.digest.isprintable()
            and len(node.digest) <= _MAX_DIGEST_CHARS
            and 0 <= node.size < _MAX_NUMBER
            and 0 <= node.file_count < _MAX_NUMBER
        ):
            raise nonsense(self._server.subject, "a version of no id, digest or size")
        created_at_ns = time_ns(node.created_at)
        made = self._source_index(node)
        address = FileAddress(
            self._server.address, owner, source_project.name, source.name, f"v{made}"
        )
        tree = self._trees.know(TreeOf(address, node.id, node.digest, created_at_ns))
        ttl_s = node.ttl_duration_seconds
        return VersionRecord(
            id=hex_id,
            project=project,
            name=name,
            index=index,
            type=self._type(node.artifact_type.name),
            source_project=source_project.name,
            source_name=source.name,
            source_index=made,
            state=version_state(node.state),
            digest=node.digest,
            content_digest=tree.hex(),
            tree=tree,
            size_bytes=node.size,
            file_count=node.file_count,
            description=node.description or None,
            metadata=json_object(node.metadata),
            created_at_ns=created_at_ns,
            aliases=aliases_in(node, project, name, aliases),
            tags=tuple(sorted({each.name for each in node.tags or ()})),
            ttl_s=ttl_s if ttl_s is not None and ttl_s > 0 else None,
        )

    def _type(self, text: str) -> str:
        try:
            return check_type(text)
        except InvalidName as error:
            raise nonsense(self._server.subject, str(error)) from None

    def _index(self, seen: str | None, node: ArtifactAnswer) -> int:
        """The number that a version has in the collection whose page it was on."""
        found = None if seen is None else version_index(seen)
        return self._source_index(node) if found is None else self._sound(found)

    def _member_index(self, found: MembershipAnswer, node: ArtifactAnswer) -> int:
        index = found.version_index
        return self._source_index(node) if index is None else self._sound(index)

    def _source_index(self, node: ArtifactAnswer) -> int:
        return self._sound(node.version_index)

    def _sound(self, index: int | None) -> int:
        if index is None or not 0 <= index < _MAX_NUMBER:
            raise nonsense(self._server.subject, f"the version number {index}")
        return index

    # --- pages ---------------------------------------------------------------------------------

    def pages(self, ask: Callable[[str | None], Page[T] | None]) -> Iterator[T]:
        for node, _ in self._edges(ask):
            yield node

    def _edges(self, ask: Callable[[str | None], Page[T] | None]) -> Iterator[tuple[T, str | None]]:
        """What is on all pages, and as which version of the collection it is there."""
        cursor: str | None = None
        count = 0
        while True:
            page = ask(cursor)
            if page is None:
                return
            for edge in page.edges:
                if edge.node is not None:
                    yield edge.node, edge.version
            count += len(page.edges)
            before, cursor = cursor, page.page_info.end_cursor
            if not page.page_info.has_next_page:
                return
            if not cursor or cursor == before or not page.edges or count > _MAX_ITEMS:
                raise nonsense(self._server.subject, "pages without end")

    def _is_usable(self, name: str, kind: str) -> bool:
        try:
            check_name(name, kind=kind)
        except InvalidName as error:
            logger.warning("%s: not listed: %s", self._server.subject, error)
            return False
        return True


def _nodes(page: Page[T] | None) -> list[T]:
    return [] if page is None else [edge.node for edge in page.edges if edge.node is not None]
