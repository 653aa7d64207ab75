"""Names as a mount sees them: the catalog's answers, kept for a while.

An answer that has become stale is asked for again; where the catalog cannot be reached, the last
known one stands. Nothing is ever "not found" because of an outage, or because its row is damaged:
that is an error for who names it, and part of the answer for who lists.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import trio
from cachetools import LRUCache

from artfs.catalog.base import Catalog
from artfs.catalog.blob_port import OnDamage
from artfs.catalog.records import ArtifactRecord, ProjectRecord, VersionRecord
from artfs.engine.blocking import Threads, Work
from artfs.engine.flights import Flights
from artfs.errors import ArtfsError, DamagedRecord, InvalidName, NotFound
from artfs.model import check_entry_name
from artfs.repository.facade import Repository

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_ANSWERS = 4096


class Known(msgspec.Struct, Generic[T], frozen=True):
    """What the catalog said, and until when (on trio's clock) it holds."""

    value: T
    expires: float

    @classmethod
    def for_s(cls, value: T, ttl_s: float) -> Known[T]:
        """What holds for `ttl_s` from now."""
        return cls(value, trio.current_time() + ttl_s)

    def ttl_s(self) -> float:
        """For how long it holds, from now."""
        return max(self.expires - trio.current_time(), 0.0)


class Listed(msgspec.Struct, Generic[T], frozen=True):
    """What there is: what is sound, and what is damaged."""

    records: list[T]
    damaged: list[DamagedRecord]

    @classmethod
    def of_kind(cls, kind: str, query: Callable[[OnDamage], list[T]]) -> Listed[T]:
        """What a query for one kind of record finds. Blocks and raises as the query does."""
        told: list[DamagedRecord] = []
        records = query(told.append)
        # The newest version of an artifact, for one, is told of with the artifact: it hides none.
        damaged = [error for error in told if error.kind == kind]
        for error in damaged:
            logger.warning("cannot be shown: %s", error)
        return cls(records, damaged)

    def require_sound(self, name: str) -> None:
        """Raises: DamagedRecord where this name, which no sound record has, may be damaged."""
        for error in self.damaged:
            if name in error.names or not any(can_be_shown(each) for each in error.names):
                raise error.with_traceback(None)


def can_be_shown(name: Any) -> bool:
    """Whether a name that the catalog told, or what stands in its place, can be a directory's."""
    try:
        return isinstance(name, str) and bool(check_entry_name(name))
    except InvalidName:
        return False


class Names(Protocol):
    """Projects, artifacts, versions and aliases. A value of None: there is no such thing.

    What is damaged is listed as such, and a DamagedRecord for who names it.
    """

    async def projects(self) -> Known[Listed[ProjectRecord]]:
        """All projects, by name."""
        ...

    async def artifacts(self, project: str) -> Known[Listed[ArtifactRecord]]:
        """A project's artifacts and portfolios, by name."""
        ...

    async def artifact(self, project: str, name: str) -> Known[ArtifactRecord | None]:
        """One artifact or portfolio."""
        ...

    async def versions(self, project: str, name: str) -> Known[Listed[VersionRecord]]:
        """An artifact's COMMITTED versions, oldest first."""
        ...

    async def version(self, project: str, name: str, selector: str) -> Known[VersionRecord | None]:
        """The COMMITTED version that `vN` or an alias selects."""
        ...


class CatalogNames:
    """Asks the catalog, in a thread, at most once per TTL; implements Names."""

    def __init__(
        self,
        repository: Repository,
        threads: Threads,
        nursery: trio.Nursery,
        *,
        ttl_s: float,
        timeout_s: float,
    ) -> None:
        self._catalog = repository.catalog
        self._work = Work.DISK if repository.info.root is not None else Work.NETWORK
        self._threads = threads
        self._ttl_s = ttl_s
        self._flights: Flights[Any] = Flights(nursery, timeout_s=timeout_s)
        self._answers: LRUCache[Hashable, Known[Any]] = LRUCache(_MAX_ANSWERS)

    async def projects(self) -> Known[Listed[ProjectRecord]]:
        """See Names."""
        return await self._ask("projects", partial(_projects, self._catalog))

    async def artifacts(self, project: str) -> Known[Listed[ArtifactRecord]]:
        """See Names."""
        return await self._ask(("artifacts", project), partial(_artifacts, self._catalog, project))

    async def artifact(self, project: str, name: str) -> Known[ArtifactRecord | None]:
        """See Names."""

        def find() -> ArtifactRecord | None:
            if not can_be_shown(name):
                return None
            try:
                # Its newest version may be damaged: who names that one hears of it.
                return self._catalog.artifact(project, name, on_damage=lambda _: None)
            except NotFound:
                return None

        return await self._ask(("artifact", project, name), find)

    async def versions(self, project: str, name: str) -> Known[Listed[VersionRecord]]:
        """See Names."""

        def find() -> Listed[VersionRecord]:
            artifact = self._catalog.artifact(project, name, on_damage=lambda _: None)
            return _versions(self._catalog, artifact)

        return await self._ask(("versions", project, name), find)

    async def version(self, project: str, name: str, selector: str) -> Known[VersionRecord | None]:
        """See Names."""
        listed: Known[Listed[VersionRecord]] | None = self._answers.get(("versions", project, name))
        if listed is not None and listed.ttl_s() > 0:
            # So that `ls -l` of many versions is one question.
            return Known(_selected(listed.value, selector), listed.expires)

        def find() -> VersionRecord | None:
            if not can_be_shown(selector):
                return None
            try:
                found = self._catalog.version(project, name, selector)
            except NotFound:
                return None
            # The catalog also knows digests; a path names versions and aliases only.
            return found if selector in {found.version, *found.aliases} else None

        return await self._ask(("version", project, name, selector), find)

    async def _ask(self, key: Hashable, query: Callable[[], T]) -> Known[T]:
        known: Known[T] | None = self._answers.get(key)
        if known is not None and known.ttl_s() > 0:
            return known
        flight = self._flights.join(key, partial(self._threads.run, self._work, query))
        try:
            value: T = await flight.landed()
        except (NotFound, DamagedRecord):
            # The catalog has answered.
            raise
        except ArtfsError as error:
            if known is None or known.value is None:
                raise
            logger.warning("the last known answer stands for %s: %s", key, error)
            value = known.value
        # Counted from the question: what changed while it was answered may not be in it.
        answer = self._answers[key] = Known(value, flight.started + self._ttl_s)
        return answer


def _projects(catalog: Catalog) -> Listed[ProjectRecord]:
    return Listed.of_kind("project", lambda tell: catalog.projects(on_damage=tell))


def _artifacts(catalog: Catalog, project: str) -> Listed[ArtifactRecord]:
    return Listed.of_kind(
        "artifact", lambda tell: catalog.artifacts(project=project, on_damage=tell)
    )


def _versions(catalog: Catalog, artifact: ArtifactRecord) -> Listed[VersionRecord]:
    return Listed.of_kind(
        "version", lambda tell: catalog.versions(artifact.id, on_damage=tell)[::-1]
    )


class FrozenNames:
    """Everything as it was at one moment; implements Names."""

    def __init__(
        self,
        projects: Listed[ProjectRecord],
        artifacts: dict[str, Listed[ArtifactRecord]],
        versions: dict[tuple[str, str], Listed[VersionRecord]],
    ) -> None:
        """Artifacts by project, versions by project and artifact."""
        self._projects = projects
        self._artifacts = artifacts
        self._versions = versions

    @classmethod
    def load(cls, repository: Repository, *, project: str | None, name: str | None) -> FrozenNames:
        """All names, or those of one project or artifact. Blocks: one query per artifact.

        Raises: ArtifactNotFound, DamagedRecord, BackendUnavailable.
        """
        catalog = repository.catalog
        projects = _projects(catalog)
        if project is not None and name is not None:
            artifact = catalog.artifact(project, name, on_damage=lambda _: None)
            artifacts = {project: Listed([artifact], [])}
        else:
            chosen = [each.name for each in projects.records] if project is None else [project]
            artifacts = {each: _artifacts(catalog, each) for each in chosen}
        versions = {
            (each.project, each.name): _versions(catalog, each)
            for listed in artifacts.values()
            for each in listed.records
        }
        return cls(projects, artifacts, versions)

    async def projects(self) -> Known[Listed[ProjectRecord]]:
        """See Names."""
        return Known(self._projects, math.inf)

    async def artifacts(self, project: str) -> Known[Listed[ArtifactRecord]]:
        """See Names."""
        return Known(self._artifacts.get(project) or Listed([], []), math.inf)

    async def artifact(self, project: str, name: str) -> Known[ArtifactRecord | None]:
        """See Names."""
        listed = (await self.artifacts(project)).value
        for artifact in listed.records:
            if artifact.name == name:
                return Known(artifact, math.inf)
        listed.require_sound(name)
        return Known(None, math.inf)

    async def versions(self, project: str, name: str) -> Known[Listed[VersionRecord]]:
        """See Names."""
        return Known(self._versions.get((project, name)) or Listed([], []), math.inf)

    async def version(self, project: str, name: str, selector: str) -> Known[VersionRecord | None]:
        """See Names."""
        listed = (await self.versions(project, name)).value
        return Known(_selected(listed, selector), math.inf)


def _selected(versions: Listed[VersionRecord], selector: str) -> VersionRecord | None:
    """That of all versions of an artifact which `vN` or an alias selects.

    Raises: DamagedRecord.
    """
    for version in versions.records:
        if selector == version.version or selector in version.aliases:
            return version
    versions.require_sound(selector)
    return None
