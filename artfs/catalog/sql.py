"""The catalog on SQLite (embedded) or PostgreSQL (shared): one implementation, one schema.

What a method does stands in modules named after their tables: names in `rows`, changes in
`commits` and `names`, blobs in `inventory` and `garbage`, runs in `runs`. Here each becomes one
transaction. Names, types and aliases are checked by the callers (artfs/model.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, select, update

from artfs.catalog import commits, copies, garbage, inventory, names, rows, runs
from artfs.catalog.base import Confirm, Lease, OnDamage
from artfs.catalog.bulk import chunks, put_rows
from artfs.catalog.checked import setting
from artfs.catalog.creation import check_schema, create_schema
from artfs.catalog.damage import find_damage
from artfs.catalog.engine import Database, now_ns, postgresql_database, sqlite_database
from artfs.catalog.leases import FileLeases, Leases, free_number
from artfs.catalog.records import (
    ArtifactRecord,
    BlobRecord,
    CommitResult,
    Copy,
    LeaseKind,
    LeaseRecord,
    PackRecord,
    ProjectRecord,
    Reserved,
    RunRecord,
    StoreTotals,
    VersionCommit,
    VersionRecord,
    VersionUpdate,
)
from artfs.catalog.rowleases import RowLeases
from artfs.catalog.schema import artifacts, projects, settings
from artfs.errors import OutOfSpace
from artfs.model import ByteRange, Digest, Metadata, RunState, VersionState
from artfs.system import forks

LEASES_DIRECTORY = "leases"
"""Beside a catalog that is a file."""

T = TypeVar("T")

_FEW_ROWS = 64
"""So few have room in the reserve of a full disk."""

_OBJECTS_IN_ONE_SWEEP = 64
"""Objects that are deleted in one transaction, while writers of a SQLite catalog wait."""


def _leave(held: dict[str, Lease]) -> None:
    while held:
        held.popitem()[1].abandon()


class SqlCatalog:
    """`Catalog` in an SQL database; safe for threads, processes and after a fork."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self._leases = leases
        # Of runs, until they are finished, or nobody can ask this catalog any more.
        self._runs: dict[str, Lease] = {}
        forks.finalize(self, _leave, self._runs)
        self._changes = 0

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

    def _free(self, work: Callable[[Connection], T]) -> T:
        """Do in one transaction what gives space back, or leads to that."""
        return self._database.write(work, frees_space=True)

    def _change(self, work: Callable[[Connection], T], *, frees_space: bool = False) -> T:
        """Do in one transaction what changes names or runs."""
        done = self._database.write(work, frees_space=frees_space)
        self._changes += 1
        return done

    def _free_rows(
        self,
        digests: Sequence[Digest],
        work: Callable[[Connection, Sequence[Digest]], list[T]],
    ) -> list[T]:
        """The same for many rows, in transactions that a full disk has room for."""
        done: list[T] = []
        waiting = [digests]
        while waiting:
            some = waiting.pop()
            try:
                done += self._free(lambda connection, some=some: work(connection, some))  # type: ignore[misc]
            except OutOfSpace:
                if len(some) <= _FEW_ROWS:
                    raise
                middle = len(some) // 2
                waiting += [some[middle:], some[:middle]]
        return done

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
    ) -> list[ArtifactRecord]:
        conditions = []
        if project is not None:
            conditions.append(projects.c.name == project)
        if type_name is not None:
            conditions.append(artifacts.c.type == type_name)
        with self._database.reading() as connection:
            return rows.list_artifacts(connection, *conditions, on_damage=on_damage)

    def artifact(
        self, project: str, name: str, *, on_damage: OnDamage | None = None
    ) -> ArtifactRecord:
        with self._database.reading() as connection:
            key = rows.require_artifact(connection, project, name)
            of_key = artifacts.c.id == key.id
            found = rows.list_artifacts(connection, of_key, on_damage=on_damage)
            # Where it is itself what is damaged, there is no rest that could be wanted.
            return (found or rows.list_artifacts(connection, of_key))[0]

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

    # --- changes ---------------------------------------------------------------------------

    def commit(self, commit: VersionCommit, *, confirm: Confirm | None = None) -> CommitResult:
        return self._change(lambda connection: commits.commit(connection, commit, confirm))

    def update_version(
        self,
        version_id: str,
        update: VersionUpdate,
        *,
        portfolio: tuple[str, str] | None = None,
    ) -> VersionRecord:
        return self._change(
            lambda connection: names.update_version(connection, version_id, update, portfolio)
        )

    def delete_version(self, version_id: str, *, delete_aliases: bool) -> None:
        self._change(
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

    def delete_artifact(self, artifact_id: int) -> None:
        self._change(
            lambda connection: names.delete_artifact(connection, artifact_id), frees_space=True
        )

    def link(
        self, version_id: str, project: str, portfolio: str, aliases: Sequence[str]
    ) -> VersionRecord:
        return self._change(
            lambda connection: names.link(connection, version_id, project, portfolio, aliases)
        )

    def unlink(self, version_id: str, project: str, portfolio: str) -> None:
        self._change(
            lambda connection: names.unlink(connection, version_id, project, portfolio),
            frees_space=True,
        )

    # --- blobs -----------------------------------------------------------------------------

    def locate(self, wanted: Sequence[Digest]) -> dict[Digest, BlobRecord]:
        with self._database.reading() as connection:
            return inventory.locate(connection, wanted)

    def pack_contents(self, pack: Digest, span: ByteRange) -> list[BlobRecord]:
        with self._database.reading() as connection:
            return inventory.pack_contents(connection, pack, span)

    def blobs(self) -> Iterator[BlobRecord]:
        after = b""
        while True:
            with self._database.reading() as connection:
                page = garbage.own_blobs_page(connection, after)
            if not page:
                break
            yield from page
            after = page[-1].sha256
        place = (0, 0, b"")
        while True:
            with self._database.reading() as connection:
                page, place = garbage.packed_blobs_page(connection, place)
            if not page:
                break
            yield from page

    def packs(self, *, only: Sequence[Digest] | None = None) -> Iterator[PackRecord]:
        with self._database.reading() as connection:
            found = garbage.list_packs(connection, only)
        return iter(found)

    def live_trees(
        self, *, on_damage: OnDamage | None = None
    ) -> Iterator[tuple[VersionRecord, Digest]]:
        with self._database.reading() as connection:
            found = rows.all_versions(connection, on_damage)
        return ((version, version.tree) for version in found)

    def totals(self) -> StoreTotals:
        with self._database.reading() as connection:
            return garbage.totals(connection)

    def add_blobs(
        self,
        packs: Sequence[PackRecord],
        blobs: Sequence[BlobRecord],
        *,
        condemned_at_ns: int | None = None,
        confirm: Confirm | None = None,
    ) -> None:
        # What nobody wants is taken in so that it can be removed.
        def work(connection: Connection) -> None:
            inventory.store(connection, packs, blobs, condemned_at_ns=condemned_at_ns)
            if confirm is not None:
                confirm(packs, blobs)

        self._database.write(work, frees_space=condemned_at_ns is not None)

    def forget(self, damaged: Sequence[BlobRecord]) -> int:
        return self._free(lambda connection: inventory.forget(connection, damaged))

    # --- leases ----------------------------------------------------------------------------

    def now_ns(self) -> int:
        with self._database.reading() as connection:
            return now_ns(connection)

    def lease(self, kind: LeaseKind, *, subject: str = "", tree: Digest | None = None) -> Lease:
        return self._leases.begin(kind, subject, tree)

    def leases(self) -> list[LeaseRecord]:
        with self._database.reading() as connection:
            return self._leases.all(connection)

    def revoke_abandoned(self) -> int:
        return self._free(self._leases.revoke_abandoned)

    def reserve(self, wanted: Sequence[Digest], *, packs: Sequence[Digest] = ()) -> Reserved:
        self._leases.keep()
        with self._database.reading() as connection:
            found = inventory.reserve(connection, wanted, packs)
        if found is not None:
            return found
        return self._database.write(
            lambda connection: inventory.reserve_condemned(connection, wanted, packs)
        )

    # --- garbage ---------------------------------------------------------------------------

    def condemn(self, unreachable: Sequence[Digest], *, at_ns: int) -> None:
        self._free_rows(
            unreachable,
            lambda connection, some: garbage.condemn(connection, some, at_ns),
        )

    def pardon(self, reachable: Sequence[Digest]) -> int:
        wanted = sorted(set(reachable))
        return len(self._free(lambda connection: inventory.pardon(connection, wanted)))

    def condemned(self, *, before_ns: int, needed: bool = True) -> Iterator[BlobRecord]:
        up_to = None
        if not needed:
            with self._database.reading() as connection:
                up_to = free_number(self._leases, connection)
        place = (-(2**62), b"")
        while True:
            with self._database.reading() as connection:
                page, place = garbage.condemned_page(connection, before_ns, place, up_to)
            if not page:
                break
            yield from page

    def doom_blobs(
        self, digests: Sequence[Digest], *, condemned_before_ns: int
    ) -> list[BlobRecord]:
        def work(connection: Connection, some: Sequence[Digest]) -> list[BlobRecord]:
            up_to = self._free_number(connection)
            return garbage.doom_blobs(connection, some, condemned_before_ns, up_to)

        return self._free_rows(digests, work)

    def doom_packs(self, packs: Sequence[Digest], *, condemned_before_ns: int) -> list[PackRecord]:
        def work(connection: Connection) -> list[PackRecord]:
            up_to = self._free_number(connection)
            return garbage.doom_packs(connection, packs, condemned_before_ns, up_to)

        return self._free(work)

    def _free_number(self, connection: Connection) -> int:
        self._leases.revoke_abandoned(connection)
        return free_number(self._leases, connection)

    def move_blobs(
        self,
        source: Digest,
        target: PackRecord,
        blobs: Sequence[BlobRecord],
        *,
        confirm: Confirm | None = None,
    ) -> int:
        return self._free(
            lambda connection: garbage.move_blobs(connection, source, target, blobs, confirm)
        )

    def sweep(
        self,
        delete: Callable[[BlobRecord | PackRecord], None],
        *,
        only: Sequence[Digest] | None = None,
    ) -> int:
        with self._database.reading() as connection:
            doomed = garbage.find_doomed(connection, only)
        count = 0
        for pack_id in doomed.pack_ids:
            count += self._free(
                lambda connection, pack_id=pack_id: garbage.sweep_pack(  # type: ignore[misc]
                    connection, pack_id, delete
                )
            )
        for some in chunks(doomed.blobs, _OBJECTS_IN_ONE_SWEEP):
            count += self._free(
                lambda connection, some=some: garbage.sweep_blobs(  # type: ignore[misc]
                    connection, some, delete
                )
            )
        return count

    # --- runs ------------------------------------------------------------------------------

    def create_run(
        self, project: str, *, name: str | None, job_type: str | None, config: Metadata
    ) -> RunRecord:
        run_id = runs.new_run_id()
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

    def join_run(self, run_id: str) -> RunRecord:
        self.run(run_id)
        if run_id not in self._runs:
            self._runs[run_id] = self.lease(LeaseKind.RUN, subject=run_id)
        return self.run(run_id)

    def run(self, run_id: str) -> RunRecord:
        with self._database.reading() as connection:
            return self._with_crashes(connection, [runs.get_run(connection, run_id)])[0]

    def runs(self, *, project: str | None = None) -> list[RunRecord]:
        with self._database.reading() as connection:
            return self._with_crashes(connection, runs.list_runs(connection, project))

    def _with_crashes(self, connection: Connection, found: list[RunRecord]) -> list[RunRecord]:
        return runs.with_crashes(found, lambda: self._leases.running(connection))

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
