"""Catalogs on a server: opening, refusing, and what a network and other writers do to them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import psycopg
import pytest
from sqlalchemy import Connection, text

from artfs.catalog import engine, inventory, leases
from artfs.catalog.blob_port import Lease
from artfs.catalog.records import BlobRecord, LeaseKind
from artfs.catalog.sql import SqlCatalog
from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    ConfigError,
    InvalidArgument,
    PermissionDenied,
    StoreFormatError,
)
from artfs.model import Digest
from artfs.testing.catalog_samples import commit, own_blobs, put
from tests.servers.postgres import PostgreSQL


@pytest.fixture
def url(postgresql: PostgreSQL) -> str:
    """A new catalog."""
    url = postgresql.new_schema()
    SqlCatalog.connect(url, create=True).close()
    return url


@pytest.fixture
def catalog(url: str) -> Iterator[SqlCatalog]:
    """A new catalog with one version."""
    with closing(SqlCatalog.connect(url)) as catalog:
        put(catalog, "first")
        yield catalog


def execute(url: str, statement: str) -> None:
    """Run one statement behind the catalog's back."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def disconnect(url: str) -> None:
    """End all other connections to a database, as a server that restarts does."""
    execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def test_creating_is_explicit(postgresql: PostgreSQL) -> None:
    url = postgresql.new_schema()
    with pytest.raises(StoreFormatError, match="not a catalog"):
        SqlCatalog.connect(url)


def test_a_schema_without_a_catalog_is_named_and_not_called_damaged(
    catalog: SqlCatalog, url: str, postgresql: PostgreSQL
) -> None:
    elsewhere = postgresql.new_schema()
    name = elsewhere.rpartition("%3D")[2]
    with pytest.raises(StoreFormatError, match=f"its schema \\({name}\\) has no tables"):
        SqlCatalog.connect(elsewhere)
    execute(url, "DROP TABLE settings")
    with pytest.raises(StoreFormatError, match="or damaged"):
        SqlCatalog.connect(url)


def test_creating_keeps_what_is_there(catalog: SqlCatalog, url: str) -> None:
    with closing(SqlCatalog.connect(url, create=True)) as other:
        assert other.artifact("team", "data").version_count == 1


def test_a_catalog_can_be_created_by_many_at_once(postgresql: PostgreSQL) -> None:
    url = postgresql.new_schema()

    def create(number: int) -> int:
        with closing(SqlCatalog.connect(url, create=True)) as catalog:
            return put(catalog, number).index

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == list(range(4))


@pytest.mark.parametrize("create", [False, True])
def test_a_newer_catalog_is_refused(url: str, create: bool) -> None:
    execute(url, "UPDATE settings SET value = '99' WHERE key = 'artfs_schema'")
    with pytest.raises(StoreFormatError, match="newer artfs"):
        SqlCatalog.connect(url, create=create)


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    "table", ["settings (key text, value text)", "settings (name text)", "runs (id int)"]
)
def test_tables_of_another_program_are_refused(
    postgresql: PostgreSQL, table: str, create: bool
) -> None:
    url = postgresql.new_schema()
    execute(url, f"CREATE TABLE {table}")
    with pytest.raises(StoreFormatError) as caught:
        SqlCatalog.connect(url, create=create)
    assert "\n" not in str(caught.value)


def test_a_database_may_be_shared_with_other_tables(postgresql: PostgreSQL) -> None:
    url = postgresql.new_schema()
    execute(url, "CREATE TABLE something_else (id int)")
    with closing(SqlCatalog.connect(url, create=True)) as catalog:
        put(catalog, "first")


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ("postgresql://user:secret@127.0.0.1:1/nowhere", BackendUnavailable),
        ("postgresql://user:secret@no-such-host.invalid/x", BackendUnavailable),
        ("postgresql://user:secret@host:port/x", ConfigError),
    ],
)
def test_a_server_that_is_not_there_is_an_error_without_the_password(
    wrong: str, kind: type[ArtfsError]
) -> None:
    with pytest.raises(kind) as caught:
        SqlCatalog.connect(wrong)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_is_not_there_is_an_error(postgresql: PostgreSQL) -> None:
    with pytest.raises(BackendUnavailable, match="does not exist"):
        SqlCatalog.connect(postgresql.url("nowhere"))


def test_a_server_with_another_driver_in_its_url_is_reached(url: str) -> None:
    with closing(SqlCatalog.connect(url.replace("postgresql://", "postgres://"))) as catalog:
        assert catalog.artifacts() == []


def test_a_user_without_privileges_reads_and_cannot_write(catalog: SqlCatalog, url: str) -> None:
    schema = url.rpartition("%3D")[2]
    user = f"reader_{schema}"
    execute(url, f"CREATE ROLE {user} LOGIN")
    execute(url, f"GRANT USAGE ON SCHEMA {schema} TO {user}")
    execute(url, f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}")
    with closing(SqlCatalog.connect(url.replace("postgres@", f"{user}@"))) as reader:
        assert reader.version("team", "data", "latest").index == 0
        with pytest.raises(PermissionDenied, match="privilege"):
            put(reader, "second")
    execute(url, f"REVOKE SELECT ON ALL TABLES IN SCHEMA {schema} FROM {user}")
    with pytest.raises(PermissionDenied):
        SqlCatalog.connect(url.replace("postgres@", f"{user}@"))


def test_a_standby_reads_and_cannot_write(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    with closing(SqlCatalog.connect(url, create=True)) as catalog:
        put(catalog, "first")
    database = url.partition("?")[0].rpartition("/")[2]
    execute(url, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with closing(SqlCatalog.connect(url)) as reader:
        assert len(reader.artifacts()) == 1
        with pytest.raises(PermissionDenied, match="read-only"):
            put(reader, "second")


def test_a_lost_connection_is_made_again(catalog: SqlCatalog, url: str) -> None:
    disconnect(url)
    assert catalog.version("team", "data", "latest").index == 0
    disconnect(url)
    assert put(catalog, "second").index == 1


def test_a_connection_lost_in_a_transaction_is_an_error(url: str) -> None:
    def work(connection: Connection) -> None:
        disconnect(url)
        connection.execute(text("SELECT 1"))

    with closing(engine.postgresql_database(url)) as database, pytest.raises(BackendUnavailable):
        database.write(work)


def test_writers_in_a_deadlock_both_succeed(catalog: SqlCatalog, url: str) -> None:
    catalog.choose_setting("a", "")
    catalog.choose_setting("b", "")
    both_hold_one = Barrier(2)

    def append(first: str, second: str) -> None:
        attempts: list[str] = []

        def work(connection: Connection) -> None:
            for key in (first, second):
                connection.execute(
                    text("UPDATE settings SET value = value || :first WHERE key = :key"),
                    {"key": key, "first": first},
                )
                if not attempts:
                    attempts.append(key)
                    both_hold_one.wait(10)

        with closing(engine.postgresql_database(url)) as database:
            database.write(work)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(append, *keys) for keys in ("ab", "ba")]:
            future.result()
    settings = catalog.settings()
    assert settings["a"] == settings["b"]
    assert sorted(settings["a"]) == ["a", "b"]


def test_a_reader_sees_one_state(catalog: SqlCatalog, url: str) -> None:
    with closing(engine.postgresql_database(url)) as database, database.reading() as connection:
        count = text("SELECT count(*) FROM versions")
        before = connection.execute(count).scalar_one()
        put(catalog, "second")
        assert connection.execute(count).scalar_one() == before


@pytest.mark.parametrize("description", ["a\0b", "\udcff"])
def test_text_that_the_database_cannot_hold_is_refused(
    catalog: SqlCatalog, description: str
) -> None:
    with pytest.raises(InvalidArgument):
        commit(catalog, "second", description=description)
    assert catalog.artifact("team", "data").version_count == 1


def unused_blob(catalog: SqlCatalog) -> BlobRecord:
    """A blob that only a deleted version has used."""
    (blob,) = own_blobs("shared")
    version = put(catalog, "old", tree=blob.sha256, blobs=[blob])
    catalog.delete_version(version.id, delete_aliases=True)
    return blob


def test_who_begins_to_work_while_gc_decides_is_waited_for(
    catalog: SqlCatalog, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = unused_blob(catalog)
    last_number = leases.last_number
    begun: list[Lease] = []
    with closing(SqlCatalog.connect(url)) as other:

        def meanwhile(connection: Connection) -> int:
            if not begun:
                begun.append(other.lease(LeaseKind.INTAKE))
                assert other.reserve([blob.sha256]).found
                other.condemn([blob.sha256], at_ns=0)
            return last_number(connection)

        monkeypatch.setattr(leases, "last_number", meanwhile)
        assert catalog.doom_blobs([blob.sha256], condemned_before_ns=1) == []
        monkeypatch.undo()
        put(other, "new", tree=blob.sha256, reused=[blob.sha256])
        begun[0].release()


def test_a_blob_that_two_commits_save_from_gc_at_once_is_there_for_both(
    catalog: SqlCatalog, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = unused_blob(catalog)
    catalog.condemn([blob.sha256], at_ns=1)
    pardon = inventory.pardon
    with closing(SqlCatalog.connect(url)) as other:

        def meanwhile(connection: Connection, wanted: Collection[Digest]) -> set[Digest]:
            monkeypatch.undo()
            put(other, "first to save it", tree=blob.sha256, reused=[blob.sha256])
            return pardon(connection, wanted)

        monkeypatch.setattr(inventory, "pardon", meanwhile)
        put(catalog, "second", name="another", tree=blob.sha256, reused=[blob.sha256])
