"""Artifacts as collections of versions, and the types that they have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar, overload

from msgspec import UNSET

from artfs.catalog.queries import Search
from artfs.catalog.records import ArtifactChange, ArtifactRecord, VersionRecord
from artfs.errors import ArtifactNotFound, InvalidArgument
from artfs.media.notebooks import text_html
from artfs.model import Metadata, check_name, check_type
from artfs.repository.facade import Repository
from artfs.repository.filters import check_order, ordered, time_text
from artfs.repository.querylanguage import parse_query
from artfs.sdk.artifact_content import ArtifactContent
from artfs.sdk.metadata import check_tags
from artfs.sdk.notebook import SHOWN_VERSIONS, versions_html

PER_PAGE = 50
_FOUND = 10_000

A = TypeVar("A", bound=ArtifactContent)
"""Artifact, which the module of Run has."""

Make = Callable[[Repository, VersionRecord], A]
"""Makes the artifact of a version."""


class ArtifactVersions(Generic[A]):
    """The versions of an artifact or portfolio, newest first, fetched page by page."""

    def __init__(
        self,
        repository: Repository,
        record: ArtifactRecord,
        make: Make[A],
        per_page: int = PER_PAGE,
        *,
        order: str | None = None,
        tags: str | list[str] | None = None,
        filters: str | None = None,
    ) -> None:
        """Those that have all `tags` and are as `filters` say; see `Api.artifacts`."""
        self._terms = parse_query(filters or "")
        if per_page < 1:
            raise InvalidArgument("per_page", f"{per_page} is not at least 1")
        self._order = order
        self._tags = frozenset([tags] if isinstance(tags, str) else tags or ())
        if order is not None:
            check_order(order, _ORDERS)
        self._repository = repository
        self._record = record
        self._make = make
        self._per_page = per_page

    def __repr__(self) -> str:
        return f"<ArtifactVersions of {self._record.path}>"

    def _repr_html_(self) -> str:
        """How notebooks show them: the first ones."""
        shown = islice(self._in_order(), SHOWN_VERSIONS)
        return versions_html(shown, count=len(self))

    def __len__(self) -> int:
        return (
            sum(1 for _ in self._records())
            if self._tags or self._terms
            else self._record.version_count
        )

    def __iter__(self) -> Iterator[A]:
        return (self._make(self._repository, record) for record in self._in_order())

    def _in_order(self) -> Iterator[VersionRecord]:
        records = self._records()
        if self._order is None:
            return records
        return iter(ordered(list(records), self._order, _version_view))

    def _records(self) -> Iterator[VersionRecord]:
        if self._terms:
            wanted = Search(terms=self._terms, artifact_id=self._record.id, limit=_FOUND)
            found = self._repository.catalog.search(wanted).versions
            by_number = sorted(found, key=lambda each: each.index, reverse=True)
            yield from (record for record in by_number if self._tags <= set(record.tags))
            return
        before_index: int | None = None
        while page := self._page(before_index):
            yield from (record for record in page if self._tags <= set(record.tags))
            if len(page) < self._per_page:
                return
            before_index = page[-1].index

    @overload
    def __getitem__(self, position: int) -> A: ...

    @overload
    def __getitem__(self, position: slice) -> list[A]: ...

    def __getitem__(self, position: int | slice) -> A | list[A]:
        if isinstance(position, slice):
            return list(self)[position]
        if position < 0:
            position += len(self)
        for place, artifact in enumerate(self):
            if place == position:
                return artifact
        raise IndexError(position)

    def _page(self, before_index: int | None) -> list[VersionRecord]:
        return self._repository.catalog.versions(
            self._record.id, before_index=before_index, limit=self._per_page
        )


def _version_view(record: VersionRecord) -> Metadata:
    at = record.created_at_ns
    return {
        "createdAt": at,
        "created_at": at,
        "updatedAt": at,
        "updated_at": at,
        "versionIndex": record.index,
        "version_index": record.index,
        "size": record.size_bytes,
        "digest": record.digest,
        "name": record.name,
    }


_ORDERS = frozenset(
    (
        "createdAt",
        "created_at",
        "updatedAt",
        "updated_at",
        "versionIndex",
        "version_index",
        "size",
        "digest",
        "name",
    )
)


class ArtifactCollection(Generic[A]):
    """An artifact or portfolio: all versions that have one name."""

    def __init__(self, repository: Repository, record: ArtifactRecord, make: Make[A]) -> None:
        self._repository = repository
        self._make = make
        self._take(record)

    def _take(self, record: ArtifactRecord) -> None:
        """What the catalog says is what it is."""
        self._record = record
        self._name = record.name
        self._type = record.type
        self._tags = list(record.tags)
        self.description = record.description
        """Free text; `save` keeps a change."""

    def __repr__(self) -> str:
        return f"<ArtifactCollection {self._record.path} ({self.type})>"

    def _repr_html_(self) -> str:
        """How notebooks show it: by its newest versions."""
        title = text_html(f"{self._record.path} ({self.type})")
        return f"<div><strong>{title}</strong>{self.artifacts()._repr_html_()}</div>"

    @property
    def id(self) -> str:
        """What names it in its store; it stays when the name changes."""
        return str(self._record.id)

    @property
    def name(self) -> str:
        """Its name in its project; `save` changes it."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = check_name(name, kind="artifact")

    @property
    def type(self) -> str:
        """The one type of all its versions; `save` changes it, but for a portfolio's."""
        return self._type

    @type.setter  # noqa: A003 - W&B's name
    def type(self, type_name: str) -> None:
        if not self.is_sequence():
            raise InvalidArgument(self._record.path, "is a portfolio, which keeps its type")
        self._type = check_type(type_name)

    @property
    def tags(self) -> list[str]:
        """Words to find it by, beside those of its versions; `save` keeps a change."""
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        self._tags = check_tags(tags)

    @property
    def project(self) -> str:
        """The project that it is in."""
        return self._record.project

    @property
    def entity(self) -> str:
        """The entity that its store belongs to."""
        return self._repository.info.entity

    @property
    def created_at(self) -> str:
        """When it was made: UTC, as `2026-01-31T23:59:59`."""
        return time_text(self._record.created_at_ns)

    @property
    def updated_at(self) -> str:
        """The same: the time of later changes is not kept."""
        return self.created_at

    @property
    def aliases(self) -> list[str]:
        """All aliases of its versions, sorted."""
        versions = self._repository.catalog.versions(self._record.id)
        return sorted(alias for version in versions for alias in version.aliases)

    def is_sequence(self) -> bool:
        """Whether versions are made in it; False for a portfolio, which links to them."""
        return not self._record.is_portfolio

    def artifacts(self, per_page: int = PER_PAGE) -> ArtifactVersions[A]:
        """Its versions, newest first."""
        return ArtifactVersions(self._repository, self._record, self._make, per_page)

    def versions(self, per_page: int = PER_PAGE) -> ArtifactVersions[A]:
        """An older name of `artifacts`."""
        return self.artifacts(per_page)

    def save(self) -> None:
        """Keep what was changed of its name, type, description and tags.

        Raises: VersionExists where another one has the name; ValueError for a bad tag.
        """
        wanted, known = set(check_tags(self._tags)), set(self._record.tags)
        change = ArtifactChange(
            name=self._name if self._name != self._record.name else UNSET,
            type=self._type if self._type != self._record.type else UNSET,
            description=self.description,
            add_tags=tuple(wanted - known),
            remove_tags=tuple(known - wanted),
        )
        self._take(self._repository.catalog.change_artifact(self._record.id, change))

    def change_type(self, new_type: str) -> None:
        """Give all its versions another type at once. Raises: ValueError for a portfolio."""
        self.type = new_type
        change = ArtifactChange(type=new_type)
        self._record = self._repository.catalog.change_artifact(self._record.id, change)

    def delete(self) -> None:
        """Delete it with all its versions, or links, and aliases."""
        self._repository.catalog.delete_artifact(self._record.id)


class ArtifactType(Generic[A]):
    """What a project's artifacts of one type have in common: their type."""

    def __init__(self, repository: Repository, project: str, name: str, make: Make[A]) -> None:
        self._repository = repository
        self._make = make
        self._project = project
        self._name = name

    def __repr__(self) -> str:
        return f"<ArtifactType {self._name}>"

    @property
    def name(self) -> str:
        """Such as "dataset"."""
        return self._name

    def collections(self) -> list[ArtifactCollection[A]]:
        """The artifacts and portfolios of this type, by name."""
        records = self._repository.catalog.artifacts(project=self._project, type_name=self._name)
        return [ArtifactCollection(self._repository, record, self._make) for record in records]

    def collection(self, name: str) -> ArtifactCollection[A]:
        """The artifact or portfolio of this type and name. Raises: ArtifactNotFound."""
        for found in self.collections():
            if found.name == name:
                return found
        raise ArtifactNotFound(f"{self._project}/{name}", f"there is none of type {self._name!r}")
