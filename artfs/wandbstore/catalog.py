"""A W&B server as a catalog that is only read. Implements Catalog."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

from artfs import forks
from artfs.catalog.blob_port import OnDamage
from artfs.catalog.queries import Found, Search, filtered
from artfs.catalog.records import (
    ArtifactRecord,
    ProjectRecord,
    RunRecord,
    StoreTotals,
    VersionRecord,
)
from artfs.errors import ArtifactNotFound, RunNotFound, VersionNotFound
from artfs.model import Digest, Metadata, VersionState
from artfs.wandbstore import queries
from artfs.wandbstore.answers import (
    ArtifactAnswer,
    LineageAnswer,
    LineageOf,
    MembershipAnswer,
    Page,
    ProjectOnly,
    RunAnswer,
)
from artfs.wandbstore.client import WandbServer
from artfs.wandbstore.conversions import run_record
from artfs.wandbstore.names import Names
from artfs.wandbstore.refusals import WritesNothing

_PAGE_ITEMS = 100
_RUN = "Run"


class WandbCatalog(WritesNothing):
    """The names that one entity has on a server. Thread-safe; asks anew each time."""

    def __init__(self, server: WandbServer, names: Names, entity: str) -> None:
        self.subject = f"{server.address}/{entity}"
        self._server = server
        self._names = names
        self._entity = entity
        self._lock = forks.lock()
        self._artifacts: dict[int, tuple[str, str]] = {}
        """Which artifact each number stands for, of those that were told."""
        self._runs: dict[str, str] = {}
        """The projects of runs, whose ids W&B makes unique in a project only."""

    def close(self) -> None:
        """See Catalog."""
        self._server.session.close()

    def settings(self) -> dict[str, str]:
        """See Catalog."""
        about = f"{self._server.base_url}/{self._entity}"
        return {"id": sha256(about.encode()).hexdigest()[:32]}

    def check(self) -> list[str]:
        """See Catalog."""
        self._names.require_entity(self._entity)
        return []

    # --- names -----------------------------------------------------------------------------

    def projects(self, *, on_damage: OnDamage | None = None) -> list[ProjectRecord]:  # noqa: ARG002 - nothing here is damaged
        """See Catalog."""
        return self._names.projects(self._entity)

    def artifacts(
        self,
        *,
        project: str | None = None,
        type_name: str | None = None,
        on_damage: OnDamage | None = None,
        finds_lost: bool = True,
    ) -> list[ArtifactRecord]:
        """See Catalog."""
        del on_damage, finds_lost
        asked = [project] if project is not None else [each.name for each in self.projects()]
        return [
            self._numbered(record)
            for each in asked
            for record in self._names.artifacts(self._entity, each, type_name=type_name)
        ]

    def artifact(
        self,
        project: str,
        name: str,
        *,
        on_damage: OnDamage | None = None,  # noqa: ARG002 - as above
    ) -> ArtifactRecord:
        """See Catalog."""
        return self._numbered(self._names.artifact(self._entity, project, name))

    def made_at_ns(self, project: str, name: str) -> tuple[int, int]:
        """See Catalog."""
        made = self.artifact(project, name).created_at_ns
        of_project = [each.created_at_ns for each in self.projects() if each.name == project]
        return (of_project[0] if of_project else made), made

    def versions(
        self,
        artifact_id: int,
        *,
        before_index: int | None = None,
        limit: int | None = None,
        on_damage: OnDamage | None = None,
    ) -> list[VersionRecord]:
        """See Catalog."""
        del on_damage
        with self._lock:
            known = self._artifacts.get(artifact_id)
        if known is None:
            return []
        try:
            found = self._names.versions(self._entity, *known)
        except ArtifactNotFound:
            return []
        if before_index is not None:
            found = [each for each in found if each.index < before_index]
        return found[:limit]

    def version(self, project: str, name: str, selector: str) -> VersionRecord:
        """See Catalog."""
        return self._names.version(self._entity, project, name, selector)

    def version_states(self) -> dict[str, VersionState]:
        """See Catalog: of those that there are."""
        return {version.id: version.state for version, _ in self.live_trees()}

    def version_by_id(self, version_id: str) -> VersionRecord:
        """See Catalog."""
        return self._names.version_by_id(self._entity, version_id)

    def committed_with(self, commit_key: str) -> str | None:  # noqa: ARG002 - there are no such keys
        """See Catalog."""
        return None

    def search(self, wanted: Search, *, on_damage: OnDamage | None = None) -> Found:
        """See Catalog. Asks for all versions that may be meant, artifact by artifact."""
        artifacts = [
            each
            for each in self.artifacts(on_damage=on_damage)
            if wanted.artifact_id in {None, each.id}
            and (wanted.projects is None or each.project in wanted.projects)
            and not (wanted.artifact_id is None and each.is_portfolio)
        ]
        versions = [
            version
            for artifact in artifacts
            for version in self.versions(artifact.id, on_damage=on_damage)
        ]
        newest_first = sorted(versions, key=lambda each: each.created_at_ns, reverse=True)
        return filtered(newest_first, wanted)

    def memberships(self, version_id: str) -> list[VersionRecord]:
        """See Catalog: as far as they are of this entity."""
        made = self.version_by_id(version_id)
        found = self._lineage(queries.MEMBERSHIPS, version_id).artifact_memberships
        portfolios = []
        for edge in [] if found is None else found.edges:
            member = edge.node
            if member is None or member.artifact is None or not self._is_own(member):
                continue
            record = self._names.member(self._entity, member, member.artifact)
            if record.is_linked:
                portfolios.append(record)
        portfolios.sort(key=lambda each: each.path)
        return [made, *portfolios]

    def live_trees(
        self,
        *,
        on_damage: OnDamage | None = None,  # noqa: ARG002 - nothing here is damaged
    ) -> Iterator[tuple[VersionRecord, Digest]]:
        """See BlobCatalog: not of one moment."""
        for artifact in self.artifacts():
            if not artifact.is_portfolio:
                for version in self.versions(artifact.id):
                    yield version, version.tree

    def totals(self) -> StoreTotals:
        """See BlobCatalog: nobody can say how much a server has."""
        projects = self.projects()
        artifacts = sum(each.artifact_count for each in projects)
        return StoreTotals(len(projects), artifacts, 0, 0, 0, 0, 0)

    def now_ns(self) -> int:
        """See BlobCatalog."""
        return time.time_ns()

    def _numbered(self, record: ArtifactRecord) -> ArtifactRecord:
        with self._lock:
            self._artifacts[record.id] = (record.project, record.name)
        return record

    def _is_own(self, member: MembershipAnswer) -> bool:
        collection = member.artifact_collection
        project = None if collection is None else collection.project
        owner = None if project is None else project.entity
        return project is not None and (owner is None or owner.name == self._entity)

    # --- runs ------------------------------------------------------------------------------

    def run(self, run_id: str) -> RunRecord:
        """See Catalog."""
        with self._lock:
            known = self._runs.get(run_id)
        for project in [known] if known else [each.name for each in self.projects()]:
            asked = {"entity": self._entity, "project": project, "name": run_id}
            answer = self._server.ask(queries.RUN, ProjectOnly, **asked).project
            if answer is not None and answer.run is not None:
                return self._run(answer.run, project)
        raise RunNotFound(repr(run_id)[:60], "the server has no such run")

    def runs(self, *, project: str | None = None) -> list[RunRecord]:
        """See Catalog."""
        found = []
        for each in [project] if project else [record.name for record in self.projects()]:

            def page(cursor: str | None, project: str = each) -> Page[RunAnswer] | None:
                asked = {"entity": self._entity, "project": project, "cursor": cursor}
                answer = self._server.ask(
                    queries.RUNS, ProjectOnly, **asked, perPage=_PAGE_ITEMS
                ).project
                return None if answer is None else answer.runs

            found += [self._run(run, each) for run in self._names.pages(page)]
        return sorted(found, key=lambda run: run.created_at_ns, reverse=True)

    def run_details(self, run_ids: Sequence[str]) -> dict[str, Metadata]:  # noqa: ARG002 - not asked for
        """See Catalog."""
        return {}

    def inputs_of(self, run_id: str) -> list[VersionRecord]:
        """See Catalog."""
        return self._of_run(run_id, "inputArtifacts", lambda run: run.input_artifacts)

    def outputs_of(self, run_id: str) -> list[VersionRecord]:
        """See Catalog."""
        return self._of_run(run_id, "outputArtifacts", lambda run: run.output_artifacts)

    def users_of(self, version_id: str) -> list[RunRecord]:
        """See Catalog."""
        used_by = self._lineage(queries.USED_BY, version_id).used_by
        found = [each.node for each in used_by.edges if each.node] if used_by else []
        records = [self._run(each, each.project.name if each.project else "") for each in found]
        return sorted(records, key=lambda run: run.created_at_ns)

    def maker_of(self, version_id: str) -> RunRecord | None:
        """See Catalog."""
        found = self._lineage(queries.CREATED_BY, version_id).created_by
        if found is None or found.typename != _RUN or not found.name:
            return None
        return self._run(found, found.project.name if found.project else "")

    def _lineage(self, query: str, version_id: str) -> LineageOf:
        try:
            gid = b64encode(bytes.fromhex(version_id)).decode()
        except ValueError:
            raise VersionNotFound(repr(version_id)[:60], "is no id of a version") from None
        found = self._server.ask(query, LineageAnswer, id=gid).artifact
        if found is None:
            raise VersionNotFound(repr(version_id)[:60], "the server has no such version")
        return found

    def _run(self, said: RunAnswer, project: str) -> RunRecord:
        with self._lock:
            self._runs[said.name] = project
        return run_record(said, project)

    def _of_run(
        self,
        run_id: str,
        kind: str,
        page_of: Callable[[RunAnswer], Page[ArtifactAnswer] | None],
    ) -> list[VersionRecord]:
        project = self.run(run_id).project
        query = queries.run_artifacts(kind)

        def page(cursor: str | None) -> Page[ArtifactAnswer] | None:
            asked = {"entity": self._entity, "project": project, "name": run_id, "cursor": cursor}
            answer = self._server.ask(query, ProjectOnly, **asked, perPage=_PAGE_ITEMS).project
            return None if answer is None or answer.run is None else page_of(answer.run)

        return [self._names.made(self._entity, each) for each in self._names.pages(page)]
