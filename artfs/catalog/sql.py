"""The catalog on SQLite (embedded) or PostgreSQL (shared): one implementation, one schema.

What a method does stands in modules named after their tables: names in `rows`, changes in
`commits` and `names`, runs in `runs`. Here each becomes one transaction; what is about blobs is in
sqlblobs.py. Names, types and aliases are checked by the callers (artfs/model.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, select, update

from artfs import forks
from artfs.catalog import commits, copies, names, rows, runs, searchindex, searching
from artfs.catalog.blob_port import Confirm, Lease, OnDamage
from artfs.catalog.bulk import put_rows
from artfs.catalog.checked import setting
from artfs.catalog.creation import check_schema, create_schema
from artfs.catalog.damage import find_damage
from artfs.catalog.engine import Database, postgresql_database, sqlite_database
from artfs.catalog.leases import FileLeases, Leases
from artfs.catalog.queries import Found, Search
from artfs.catalog.records import (
    ArtifactChange,
    ArtifactRecord,
    CommitResult,
    Copy,
    LeaseKind,
    ProjectRecord,
    RunChange,
    RunRecord,
    VersionCommit,
    VersionRecord,
    VersionUpdate,
)
from artfs.catalog.rowleases import RowLeases
from artfs.catalog.schema import artifacts, projects, settings
from artfs.catalog.serving import SqlServingState
from artfs.catalog.sqlblobs import SqlBlobs
from artfs.errors import ArtfsError
from artfs.model import Metadata, RunState, VersionState

LEASES_DIRECTORY = "leases"
"""Beside a catalog that is a file."""

_SEGMENTS_AT_ONCE = 4
"""Of the index of searches: so many a change makes, where there is much to do."""

T = TypeVar("T")


def _leave(held: dict[str, Lease]) -> None:
    while held:
        held.popitem()[1].abandon()


class SqlCatalog(SqlBlobs):
    """`Catalog` in an SQL database; safe for threads, processes and after a fork."""

    def __init__(self, database: Database, leases: Leases) -> None:
        super().__init__(database, leases)
        # Of runs, until they are finished, or nobody can ask this catalog any more.
        self._runs: dict[str, Lease] = {}
        forks.finalize(self, _leave, self._runs)
        self._changes = 0
        self.serving = SqlServingState(database)

    @classmethod
    def sqlite(cls, path: Path, *, create: bool = False) -> Self:
        """The catalog in the file `path`; `create` makes it where it is missing.

        Without write access it can still be read.
        Raises: StoreFormatError, BackendUnavailable, PermissionDenied, OutOfSpace.
        """
        database = sqlite_database(path, create=create)
        leases = FileLeases(path.parent / LEASES_DIRECTORY, database)
        return cls._checked(database, leases, create=create)

    @classmethod
    def connect(cls, url: str, *, create: bool = False) -> Self:
        """The catalog that a `postgresql://…` URL names; `create` makes its tables.

        Raises: StoreFormatError, BackendUnavailable, PermissionDenied, ConfigError, Unsupported.
        """
        database = postgresql_database(url)
        return cls._checked(database, RowLeases(database), create=create)

    @classmethod
    def _checked(cls, database: Database, leases: Leases, *, create: bool) -> Self:
        try:
            if create:
                create_schema(database)
            check_schema(database)
        except BaseException:
            database.close()
            raise
        return cls(database, leases)

    def close(self) -> None:
        while self._runs:
            self._runs.popitem()[1].release()
        self._database.close()

    def _change(self, work: Callable[[Connection], T], *, frees_space: bool = False) -> T:
        """Do in one transaction what changes names or runs."""
        done = self._database.write(work, frees_space=frees_space)
        self._changes += 1
        return done

    def _change_texts(self, work: Callable[[Connection], T], *, frees_space: bool = False) -> T:
        """Do in one transaction what may change what is searched."""
        done, is_due = self._change(
            lambda connection: (work(connection), searchindex.is_due(connection)),
            frees_space=frees_space,
        )
        if is_due:
            # What is pending is found as well: who has changed something has no need of this.
            with suppress(ArtfsError):
                self._make_segments(_SEGMENTS_AT_ONCE)
        return done

    def _make_segments(self, most: int | None = None) -> None:
        for _ in count() if most is None else range(most):
            if not self._database.write(searchindex.make_segment):
                return

    # --- settings --------------------------------------------------------------------------

    def settings(self) -> dict[str, str]:
        with self._database.reading() as connection:
            return dict(setting(row) for row in connection.execute(select(settings)))

    def choose_setting(self, key: str, value: str) -> str:
        def work(connection: Connection) -> str:
            put_rows(connection, settings, [{"key": key, "value": value}])
            chosen = select(settings.c.value).where(settings.c.key == key)
            return str(connection.execute(chosen).scalar_one())

        return self._database.write(work)

    def replace_setting(self, key: str, old: str, new: str) -> bool:
        is_old = (settings.c.key == key) & (settings.c.value == old)
        statement = update(settings).where(is_old).values(value=new)
        return self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    def copy_names(self) -> Copy:
        with self._database.reading() as connection:
            return copies.copy_names(connection)

    def put_copy(self, copied: Copy) -> None:
        self._database.write(lambda connection: copies.put_copy(connection, copied))
        with suppress(ArtfsError):
            self._make_segments()

    def changes(self) -> int:
        return self._changes

    def check(self) -> list[str]:
        with self._database.reading() as connection:
            return find_damage(connection)

    # --- names -----------------------------------------------------------------------------

    def projects(self, *, on_damage: OnDamage | None = None) -> list[ProjectRecord]:
        with self._database.reading() as connection:
            return rows.list_projects(connection, on_damage)

    def artifacts(
        self,
        *,
        project: str | None = None,
        type_name: str | None = None,
        on_damage: OnDamage | None = None,
        finds_lost: bool = True,
    ) -> list[ArtifactRecord]:
        conditions = () if project is None else (projects.c.name == project,)
        with self._database.reading() as connection:
            return rows.list_artifacts(
                connection,
                *conditions,
                type_name=type_name,
                on_damage=on_damage,
                finds_lost=finds_lost,
            )

    def artifact(
        self, project: str, name: str, *, on_damage: OnDamage | None = None
    ) -> ArtifactRecord:
        with self._database.reading() as connection:
            key = rows.require_artifact(connection, project, name)
            of_key = artifacts.c.id == key.id
            found = rows.list_artifacts(connection, of_key, on_damage=on_damage)
            # Where it is itself what is damaged, there is no rest that could be wanted.
            return (found or rows.list_artifacts(connection, of_key))[0]

    def made_at_ns(self, project: str, name: str) -> tuple[int, int]:
        with self._database.reading() as connection:
            return rows.made_at_ns(connection, project, name)

    def versions(
        self,
        artifact_id: int,
        *,
        before_index: int | None = None,
        limit: int | None = None,
        on_damage: OnDamage | None = None,
    ) -> list[VersionRecord]:
        with self._database.reading() as connection:
            return rows.list_versions(
                connection,
                artifact_id,
                before_index=before_index,
                limit=limit,
                on_damage=on_damage,
            )

    def version(self, project: str, name: str, selector: str) -> VersionRecord:
        with self._database.reading() as connection:
            key = rows.require_artifact(connection, project, name)
            return rows.select_version(connection, key, selector)

    def version_states(self) -> dict[str, VersionState]:
        with self._database.reading() as connection:
            return copies.version_states(connection)

    def version_by_id(self, version_id: str) -> VersionRecord:
        with self._database.reading() as connection:
            return rows.version_by_id(connection, version_id)

    def committed_with(self, commit_key: str) -> str | None:
        with self._database.reading() as connection:
            return commits.committed_with(connection, commit_key)

    def memberships(self, version_id: str) -> list[VersionRecord]:
        with self._database.reading() as connection:
            return rows.memberships(connection, version_id)

    def search(self, wanted: Search, *, on_damage: OnDamage | None = None) -> Found:
        with self._database.reading() as connection:
            return searching.search(connection, wanted, on_damage)

    # --- changes ---------------------------------------------------------------------------

    def commit(self, commit: VersionCommit, *, confirm: Confirm | None = None) -> CommitResult:
        return self._change_texts(lambda connection: commits.commit(connection, commit, confirm))

    def update_version(
        self,
        version_id: str,
        update: VersionUpdate,
        *,
        portfolio: tuple[str, str] | None = None,
    ) -> VersionRecord:
        return self._change_texts(
            lambda connection: names.update_version(connection, version_id, update, portfolio)
        )

    def delete_version(self, version_id: str, *, delete_aliases: bool) -> None:
        self._change_texts(
            lambda connection: names.delete_version(
                connection, version_id, delete_aliases=delete_aliases
            ),
            frees_space=True,
        )

    def expire_version(self, version_id: str, *, dry_run: bool = False) -> str | None:
        def work(connection: Connection) -> str | None:
            return names.expire_version(connection, version_id, dry_run=dry_run)

        if not dry_run:
            return self._change(work, frees_space=True)
        with self._database.reading() as connection:
            return work(connection)

    def change_artifact(self, artifact_id: int, change: ArtifactChange) -> ArtifactRecord:
        return self._change_texts(
            lambda connection: names.change_artifact(connection, artifact_id, change)
        )

    def delete_artifact(self, artifact_id: int) -> None:
        self._change_texts(
            lambda connection: names.delete_artifact(connection, artifact_id), frees_space=True
        )

    def link(
        self, version_id: str, project: str, portfolio: str, aliases: Sequence[str]
    ) -> VersionRecord:
        return self._change_texts(
            lambda connection: names.link(connection, version_id, project, portfolio, aliases)
        )

    def unlink(self, version_id: str, project: str, portfolio: str) -> None:
        self._change_texts(
            lambda connection: names.unlink(connection, version_id, project, portfolio),
            frees_space=True,
        )

    # --- runs ------------------------------------------------------------------------------

    def create_run(
        self,
        project: str,
        *,
        name: str | None,
        job_type: str | None,
        config: Metadata,
        run_id: str | None = None,
    ) -> RunRecord:
        run_id = run_id or runs.new_run_id()
        lease = self.lease(LeaseKind.RUN, subject=run_id)
        try:
            made = self._change(
                lambda connection: runs.create_run(
                    connection, project, run_id=run_id, name=name, job_type=job_type, config=config
                )
            )
        except BaseException:
            lease.release()
            raise
        self._runs[run_id] = lease
        return made

    def adopt_run(self, run: RunRecord, details: Metadata) -> bool:
        return self._change(lambda connection: runs.adopt_run(connection, run, details))

    def join_run(self, run_id: str) -> RunRecord:
        self.run(run_id)
        if run_id not in self._runs:
            self._runs[run_id] = self.lease(LeaseKind.RUN, subject=run_id)
        return self.run(run_id)

    def leave_run(self, run_id: str) -> None:
        if (lease := self._runs.pop(run_id, None)) is not None:
            lease.release()

    def run(self, run_id: str) -> RunRecord:
        with self._database.reading() as connection:
            return self._with_crashes(connection, [runs.get_run(connection, run_id)])[0]

    def runs(self, *, project: str | None = None) -> list[RunRecord]:
        with self._database.reading() as connection:
            return self._with_crashes(connection, runs.list_runs(connection, project))

    def _with_crashes(self, connection: Connection, found: list[RunRecord]) -> list[RunRecord]:
        return runs.with_crashes(found, lambda: self._leases.running(connection))

    def change_run(self, run_id: str, change: RunChange) -> RunRecord:
        return self._change(lambda connection: runs.change_run(connection, run_id, change))

    def run_details(self, run_ids: Sequence[str]) -> dict[str, Metadata]:
        with self._database.reading() as connection:
            return runs.run_details(connection, run_ids)

    def describe_run(
        self,
        run_id: str,
        details: Metadata,
        *,
        within: str | None = None,
        without: Sequence[str] = (),
    ) -> None:
        self._change(
            lambda connection: runs.describe_run(
                connection, run_id, details, within=within, without=without
            )
        )

    def configure_run(self, run_id: str, values: Metadata) -> None:
        self._change(lambda connection: runs.configure_run(connection, run_id, values))

    def finish_run(self, run_id: str, state: RunState) -> RunRecord:
        ended = self._change(lambda connection: runs.finish_run(connection, run_id, state))
        if (lease := self._runs.pop(run_id, None)) is not None:
            lease.release()
        return ended

    def record_use(self, run_id: str, version_id: str, *, use_as: str | None) -> None:
        self._change(
            lambda connection: runs.record_use(connection, run_id, version_id, use_as=use_as)
        )

    def record_output(self, run_id: str, version_id: str) -> None:
        self._change(lambda connection: runs.record_output(connection, run_id, version_id))

    def inputs_of(self, run_id: str) -> list[VersionRecord]:
        with self._database.reading() as connection:
            return runs.inputs_of(connection, run_id)

    def outputs_of(self, run_id: str) -> list[VersionRecord]:
        with self._database.reading() as connection:
            return runs.outputs_of(connection, run_id)

    def users_of(self, version_id: str) -> list[RunRecord]:
        with self._database.reading() as connection:
            return self._with_crashes(connection, runs.users_of(connection, version_id))

    def maker_of(self, version_id: str) -> RunRecord | None:
        with self._database.reading() as connection:
            maker = runs.maker_of(connection, version_id)
            return None if maker is None else self._with_crashes(connection, [maker])[0]
