"""Databases that cannot keep every name are refused before anything is put into them."""

from __future__ import annotations

import uuid
from contextlib import closing

import psycopg
import pytest

from artfs.catalog.sql import SqlCatalog
from artfs.errors import StoreFormatError
from artfs.testing.catalog_samples import a_pack, own_blobs, put
from tests.servers.postgres import PostgreSQL


def new_database(server: PostgreSQL, encoding: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    server.execute(
        "postgres",
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' "
        "LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    return server.url(name)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_a_database_that_is_not_in_utf8_is_refused_with_the_cure(
    encoding: str, postgresql: PostgreSQL
) -> None:
    address = new_database(postgresql, encoding)
    with pytest.raises(StoreFormatError) as caught:
        SqlCatalog.connect(address, create=True)
    assert encoding in caught.value.reason
    assert "createdb" in caught.value.hint
    assert "UTF8" in caught.value.hint
    # Nothing was made there, and who looks for a store is told the same.
    with psycopg.connect(address) as connection:
        query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert connection.execute(query).fetchone() == (0,)
    with pytest.raises(StoreFormatError, match=encoding):
        SqlCatalog.connect(address)


def test_names_of_all_scripts_come_back_from_one_in_utf8(postgresql: PostgreSQL) -> None:
    address = new_database(postgresql, "UTF8")
    with closing(SqlCatalog.connect(address, create=True)) as catalog:
        put(catalog, "first", name="日本-é-ß")
        assert [found.name for found in catalog.artifacts()] == ["日本-é-ß"]


def test_a_client_encoding_of_the_environment_changes_nothing(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with closing(SqlCatalog.connect(postgresql.new_schema(), create=True)) as catalog:
        put(catalog, "first", name="日本")
        assert [found.name for found in catalog.artifacts()] == ["日本"]


@pytest.mark.parametrize("setting", ["standard_conforming_strings", "array_nulls"])
def test_a_setting_of_the_database_that_changes_how_values_are_read_changes_nothing(
    setting: str, postgresql: PostgreSQL
) -> None:
    address = new_database(postgresql, "UTF8")
    name = address.partition("@/")[2].partition("?")[0]
    postgresql.execute("postgres", f"ALTER DATABASE {name} SET {setting} = off")
    with closing(SqlCatalog.connect(address, create=True)) as catalog:
        (pack, packed), alone = a_pack(1, 2, 3), own_blobs(4, 5)
        catalog.add_blobs([pack], [*packed, *alone])
        known = {blob.sha256: blob for blob in (*packed, *alone)}
        assert catalog.locate(list(known)) == known
