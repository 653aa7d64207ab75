"""The catalog on SQLAlchemy Core: one implementation for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, insert, inspect, select, update

from artfs.catalog import inventory, names, runs, schema
from artfs.catalog.base import (
    ArtifactRecord,
    BlobRecord,
    CommitOutcome,
    PackRecord,
    ProjectRecord,
    RunRecord,
    StoreTotals,
    VersionCommit,
    VersionRecord,
    VersionUpdate,
)
from artfs.catalog.commits import add_blob_rows, commit_version
from artfs.catalog.engine import Database
from artfs.catalog.rows import read_runs, read_versions, version_query
from artfs.errors import StoreFormatError
from artfs.model import Digest, Metadata, RunState


class SqlCatalog:
    """Implements Catalog. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def sqlite(cls, path: Path, *, create: bool = False) -> Self:
        """Open, or with `create` make, the catalog of an embedded store.

        Raises: StoreFormatError, PermissionDenied, OutOfSpace, BackendUnavailable.
        """
        return cls._opened(Database.sqlite(path, create=create), create=create)

    @classmethod
    def connect(cls, url: str, *, create: bool = False) -> Self:
        """Open, or with `create` make, the catalog at a `postgresql://` URL.

        Raises: StoreFormatError, PermissionDenied, BackendUnavailable.
        """
        return cls._opened(Database.postgresql(url), create=create)

    @classmethod
    def _opened(cls, database: Database, *, create: bool) -> Self:
        try:
            if create:
                database.write(_create_tables)
            with database.reading() as connection:
                _check_schema(connection, database.name)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """See Catalog."""
        self._database.close()

    def setting(self, key: str) -> str | None:
        """See Catalog."""
        with self._database.reading() as connection:
            return _setting(connection, key)

    def set_setting(self, key: str, value: str) -> None:
        """See Catalog."""
        self._database.write(lambda connection: _set_setting(connection, key, value))

    def projects(self) -> list[ProjectRecord]:
        """See Catalog."""
        with self._database.reading() as connection:
            return names.list_projects(connection)

    def artifacts(
        self, *, project: str | None = None, type_name: str | None = None
    ) -> list[ArtifactRecord]:
        """See Catalog."""
        with self._database.reading() as connection:
            return names.list_artifacts(connection, project, type_name)

    def artifact(self, project: str, name: str) -> ArtifactRecord:
        """See Catalog."""
        with self._database.reading() as connection:
            return names.find_artifact(connection, project, name)

    def versions(
        self, artifact_id: int, *, before_index: int | None = None, limit: int | None = None
    ) -> list[VersionRecord]:
        """See Catalog."""
        with self._database.reading() as connection:
            return names.list_versions(connection, artifact_id, before_index, limit)

    def version(self, project: str, name: str, selector: str) -> VersionRecord:
        """See Catalog."""
        with self._database.reading() as connection:
            return names.find_version(connection, project, name, selector)

    def version_by_id(self, version_id: str) -> VersionRecord:
        """See Catalog."""
        with self._database.reading() as connection:
            return names.find_version_by_id(connection, version_id)

    def commit(self, commit: VersionCommit) -> CommitOutcome:
        """See Catalog."""
        return self._database.write(lambda connection: commit_version(connection, commit))

    def update_version(self, version_id: str, update: VersionUpdate) -> VersionRecord:
        """See Catalog."""
        return self._database.write(
            lambda connection: names.update_version(connection, version_id, update)
        )

    def delete_version(self, version_id: str, *, delete_aliases: bool) -> None:
        """See Catalog."""
        self._database.write(
            lambda connection: names.delete_version(
                connection, version_id, delete_aliases=delete_aliases
            )
        )

    def delete_artifact(self, artifact_id: int) -> None:
        """See Catalog."""
        self._database.write(lambda connection: names.delete_artifact(connection, artifact_id))

    def link(
        self, version_id: str, project: str, portfolio: str, aliases: Sequence[str]
    ) -> VersionRecord:
        """See Catalog."""
        return self._database.write(
            lambda connection: names.link_version(
                connection, version_id, project, portfolio, aliases
            )
        )

    def locate(self, wanted: Sequence[Digest]) -> dict[Digest, BlobRecord]:
        """See Catalog."""
        with self._database.reading() as connection:
            return inventory.locate(connection, wanted)

    def blobs(self) -> Iterator[BlobRecord]:
        """See Catalog."""
        query = inventory.blob_query().order_by(schema.blobs.c.pack_id, schema.blobs.c.offset_bytes)
        with self._database.reading() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query):
                yield inventory.blob_record(row)

    def packs(self) -> Iterator[PackRecord]:
        """See Catalog."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(schema.packs.c.sha256, schema.packs.c.size_bytes)
            ).all()
        for row in rows:
            yield PackRecord(Digest(row.sha256), row.size_bytes)

    def condemn(self, unreachable: Sequence[Digest], *, at_ns: int) -> None:
        """See Catalog."""
        self._database.write(lambda connection: inventory.condemn(connection, unreachable, at_ns))

    def pardon(self, reachable: Sequence[Digest]) -> None:
        """See Catalog."""
        self._database.write(lambda connection: inventory.pardon(connection, reachable))

    def condemned(self, *, before_ns: int) -> list[BlobRecord]:
        """See Catalog."""
        with self._database.reading() as connection:
            return inventory.condemned(connection, before_ns)

    def forget_blobs(self, condemned: Sequence[Digest]) -> list[BlobRecord]:
        """See Catalog."""
        return self._database.write(
            lambda connection: inventory.forget_blobs(connection, condemned)
        )

    def move_blobs(self, pack: PackRecord, blobs: Sequence[BlobRecord]) -> None:
        """See Catalog."""
        self._database.write(lambda connection: inventory.move_blobs(connection, pack, blobs))

    def forget_packs(self, empty: Sequence[Digest]) -> list[PackRecord]:
        """See Catalog."""
        return self._database.write(lambda connection: inventory.forget_packs(connection, empty))

    def add_blobs(self, packs: Sequence[PackRecord], blobs: Sequence[BlobRecord]) -> None:
        """See Catalog."""
        self._database.write(lambda connection: add_blob_rows(connection, packs, blobs))

    def live_trees(self) -> Iterator[tuple[VersionRecord, Digest]]:
        """See Catalog."""
        query = version_query().where(schema.artifacts.c.is_portfolio.is_(False))
        with self._database.reading() as connection:
            found = read_versions(connection, query)
        for record in found:
            yield record, record.tree

    def totals(self) -> StoreTotals:
        """See Catalog."""
        with self._database.reading() as connection:
            return inventory.totals(connection)

    def check(self) -> list[str]:
        """See Catalog."""
        with self._database.reading() as connection:
            return inventory.check(connection)

    def create_run(
        self, project: str, *, name: str | None, job_type: str | None, config: Metadata
    ) -> RunRecord:
        """See Catalog."""
        return self._database.write(
            lambda connection: runs.create_run(connection, project, name, job_type, config)
        )

    def run(self, run_id: str) -> RunRecord:
        """See Catalog."""
        with self._database.reading() as connection:
            return runs.find_run(connection, run_id)

    def runs(self, *, project: str | None = None) -> list[RunRecord]:
        """See Catalog."""
        conditions = () if project is None else (schema.projects.c.name == project,)
        with self._database.reading() as connection:
            return read_runs(connection, *conditions)[::-1]

    def finish_run(self, run_id: str, state: RunState) -> RunRecord:
        """See Catalog."""
        return self._database.write(lambda connection: runs.finish_run(connection, run_id, state))

    def record_use(self, run_id: str, version_id: str, *, use_as: str | None) -> None:
        """See Catalog."""
        self._database.write(
            lambda connection: runs.record_use(connection, run_id, version_id, use_as)
        )

    def inputs_of(self, run_id: str) -> list[VersionRecord]:
        """See Catalog."""
        with self._database.reading() as connection:
            return runs.versions_of(connection, schema.run_inputs, "first_used_at_ns", run_id)

    def outputs_of(self, run_id: str) -> list[VersionRecord]:
        """See Catalog."""
        with self._database.reading() as connection:
            return runs.versions_of(connection, schema.run_outputs, "first_logged_at_ns", run_id)

    def users_of(self, version_id: str) -> list[RunRecord]:
        """See Catalog."""
        with self._database.reading() as connection:
            return runs.users_of(connection, version_id)

    def maker_of(self, version_id: str) -> RunRecord | None:
        """See Catalog."""
        with self._database.reading() as connection:
            return runs.maker_of(connection, version_id)


def _create_tables(connection: Connection) -> None:
    schema.metadata.create_all(connection)
    if _setting(connection, schema.SCHEMA_KEY) is None:
        _set_setting(connection, schema.SCHEMA_KEY, str(schema.SCHEMA_VERSION))


def _check_schema(connection: Connection, name: str) -> None:
    """Raises: StoreFormatError for a database that is no catalog, or a newer one."""
    if not inspect(connection).has_table(schema.settings.name):
        raise StoreFormatError(name, "is not a catalog of artfs")
    version = _setting(connection, schema.SCHEMA_KEY)
    if version is None or not version.isdecimal():
        raise StoreFormatError(name, "is not a catalog of artfs")
    if int(version) > schema.SCHEMA_VERSION:
        raise StoreFormatError(
            name,
            f"has schema {version}, this artfs knows {schema.SCHEMA_VERSION}",
            hint="use a newer artfs",
        )


def _setting(connection: Connection, key: str) -> str | None:
    query = select(schema.settings.c.value).where(schema.settings.c.key == key)
    return connection.execute(query).scalar()


def _set_setting(connection: Connection, key: str, value: str) -> None:
    changed = connection.execute(
        update(schema.settings).where(schema.settings.c.key == key).values(value=value)
    )
    if changed.rowcount == 0:
        connection.execute(insert(schema.settings).values(key=key, value=value))
