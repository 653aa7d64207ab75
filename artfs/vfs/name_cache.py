"""Names as a mount sees them: the catalog's answers, kept for a while.

An answer that has become stale is asked for again; where the catalog cannot be reached, the last
known one stands. Nothing is ever "not found" because of an outage.
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

from artfs.catalog.records import ArtifactRecord, ProjectRecord, VersionRecord
from artfs.engine.blocking import Threads, Work
from artfs.engine.flights import Flights
from artfs.errors import ArtfsError, DamagedRecord, InvalidName, NotFound
from artfs.model import check_alias, check_name, version_index
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


class Names(Protocol):
    """Projects, artifacts, versions and aliases. A value of None: there is no such thing."""

    async def projects(self) -> Known[list[ProjectRecord]]:
        """All projects, by name."""
        ...

    async def artifacts(self, project: str) -> Known[list[ArtifactRecord]]:
        """A project's artifacts and portfolios, by name."""
        ...

    async def artifact(self, project: str, name: str) -> Known[ArtifactRecord | None]:
        """One artifact or portfolio."""
        ...

    async def versions(self, project: str, name: str) -> Known[list[VersionRecord]]:
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

    async def projects(self) -> Known[list[ProjectRecord]]:
        """See Names."""
        return await self._ask("projects", partial(self._catalog.projects, on_damage=_left_out))

    async def artifacts(self, project: str) -> Known[list[ArtifactRecord]]:
        """See Names."""
        return await self._ask(
            ("artifacts", project),
            partial(self._catalog.artifacts, project=project, on_damage=_left_out),
        )

    async def artifact(self, project: str, name: str) -> Known[ArtifactRecord | None]:
        """See Names."""

        def find() -> ArtifactRecord | None:
            try:
                return self._catalog.artifact(
                    project, check_name(name, kind="artifact"), on_damage=_left_out
                )
            except (NotFound, InvalidName):
                return None

        return await self._ask(("artifact", project, name), find)

    async def versions(self, project: str, name: str) -> Known[list[VersionRecord]]:
        """See Names."""

        def find() -> list[VersionRecord]:
            artifact = self._catalog.artifact(project, name)
            return self._catalog.versions(artifact.id, on_damage=_left_out)[::-1]

        return await self._ask(("versions", project, name), find)

    async def version(self, project: str, name: str, selector: str) -> Known[VersionRecord | None]:
        """See Names."""
        listed: Known[list[VersionRecord]] | None = self._answers.get(("versions", project, name))
        if listed is not None and listed.ttl_s() > 0:
            # So that `ls -l` of many versions is one question.
            return Known(_selected(listed.value, selector), listed.expires)

        def find() -> VersionRecord | None:
            try:
                if version_index(selector) is None:
                    check_alias(selector)
                found = self._catalog.version(project, name, selector)
            except (NotFound, InvalidName):
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
        except NotFound:
            raise
        except ArtfsError as error:
            if known is None or known.value is None:
                raise
            logger.warning("the last known answer stands for %s: %s", key, error)
            value = known.value
        # Counted from the question: what changed while it was answered may not be in it.
        answer = self._answers[key] = Known(value, flight.started + self._ttl_s)
        return answer


def _left_out(error: DamagedRecord) -> None:
    """A directory is listed without what is damaged; whoever names that gets EIO."""
    logger.warning("not listed: %s", error)


class FrozenNames:
    """Everything as it was at one moment; implements Names."""

    def __init__(
        self,
        projects: list[ProjectRecord],
        artifacts: list[ArtifactRecord],
        versions: dict[int, list[VersionRecord]],
    ) -> None:
        self._projects = projects
        self._artifacts = {(each.project, each.name): each for each in artifacts}
        self._versions = versions

    @classmethod
    def load(cls, repository: Repository, *, project: str | None, name: str | None) -> FrozenNames:
        """All names, or those of one project or artifact. Blocks: one query per artifact.

        Raises: ArtifactNotFound, BackendUnavailable.
        """
        catalog = repository.catalog
        if project is not None and name is not None:
            artifacts = [catalog.artifact(project, name, on_damage=_left_out)]
        else:
            artifacts = catalog.artifacts(project=project, on_damage=_left_out)
        versions = {
            each.id: catalog.versions(each.id, on_damage=_left_out)[::-1] for each in artifacts
        }
        return cls(catalog.projects(on_damage=_left_out), artifacts, versions)

    async def projects(self) -> Known[list[ProjectRecord]]:
        """See Names."""
        return Known(self._projects, math.inf)

    async def artifacts(self, project: str) -> Known[list[ArtifactRecord]]:
        """See Names."""
        return Known([a for a in self._artifacts.values() if a.project == project], math.inf)

    async def artifact(self, project: str, name: str) -> Known[ArtifactRecord | None]:
        """See Names."""
        return Known(self._artifacts.get((project, name)), math.inf)

    async def versions(self, project: str, name: str) -> Known[list[VersionRecord]]:
        """See Names."""
        artifact = self._artifacts.get((project, name))
        return Known(self._versions[artifact.id] if artifact else [], math.inf)

    async def version(self, project: str, name: str, selector: str) -> Known[VersionRecord | None]:
        """See Names."""
        return Known(_selected((await self.versions(project, name)).value, selector), math.inf)


def _selected(versions: list[VersionRecord], selector: str) -> VersionRecord | None:
    """That of all versions of an artifact which `vN` or an alias selects."""
    for version in versions:
        if selector == version.version or selector in version.aliases:
            return version
    return None
