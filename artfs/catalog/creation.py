"""Making a catalog's tables, and checking whose they are."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from itertools import islice

from sqlalchemy import Connection, insert, inspect, select, text

from artfs.catalog import inventory
from artfs.catalog.base import Catalog
from artfs.catalog.copies import count_on, is_empty, put_copy
from artfs.catalog.engine import Database, postgresql_database
from artfs.catalog.schema import (
    ID_KEY,
    PARTIAL_INDEXES,
    SCHEMA_KEY,
    SCHEMA_VERSION,
    metadata,
    numbers,
    settings,
)
from artfs.errors import Conflict, OtherStoreFormat, StoreFormatError

_PLAIN = 0
"""`hidden` of a column that is neither generated nor of a virtual table."""

# Any constant that other users of a shared database are unlikely to have chosen.
_CREATION_LOCK = 0x61727466_73000001
_ROWS_TO_FILL = 50_000
_LONGEST_VERSION = 9
"""Digits of a schema's number."""


def check_kinds(connection: Connection, subject: str) -> None:
    """Make sure that reading and writing tables does nothing else. Raises: StoreFormatError.

    Tables and indexes that others have added are left alone: tools for backups make some.
    """
    if connection.dialect.name != "sqlite":
        return
    for kind, name, root in connection.exec_driver_sql(
        "SELECT type, name, rootpage FROM sqlite_master"
    ):
        # A virtual table has no page of its own.
        if kind not in {"table", "index"} or not isinstance(root, int) or root < 1:
            what = "virtual table" if kind == "table" else kind
            raise StoreFormatError(
                subject,
                f"the catalog holds a {what} ({str(name)[:40]!r}), which no artfs makes",
                hint="restore it from a backup; do not use a store of somebody you do not trust",
            )


def check_tables(connection: Connection, subject: str) -> None:
    """Make sure that all tables are there as they were made. Raises: StoreFormatError."""
    if connection.dialect.name != "sqlite":
        return
    found: dict[str, dict[str, int]] = {}
    for table, column, hidden in connection.exec_driver_sql(
        "SELECT m.name, x.name, x.hidden FROM sqlite_master m, pragma_table_xinfo(m.name) x"
        " WHERE m.type = 'table'"
    ):
        found.setdefault(table, {})[column] = hidden
    for table in metadata.tables.values():
        wanted = {column.name: _PLAIN for column in table.columns}
        if found.get(table.name) != wanted:
            raise StoreFormatError(
                subject,
                f"the catalog's table {table.name!r} is missing or not as artfs makes it",
                hint="`artfs doctor --rebuild-catalog` makes it again",
            )


def check_schema(database: Database) -> None:
    """Raises: StoreFormatError for a database that is foreign, damaged or of another artfs."""
    try:
        with database.reading() as connection:
            check_kinds(connection, database.subject)
            _check_version(database, _schema_version(connection))
            check_tables(connection, database.subject)
    except StoreFormatError as error:
        if error.hint:
            raise
        if database.is_shared:
            with database.reading() as connection:
                _check_encoding(connection, database)
                _check_there(connection, database)
        raise StoreFormatError(
            database.subject,
            "not a catalog of artfs, or damaged",
            hint="`artfs init` makes one"
            if database.is_shared
            else "`artfs doctor --rebuild-catalog` makes it again",
        ) from error


def _schema_version(connection: Connection) -> object:
    query = select(settings.c.value).where(settings.c.key == SCHEMA_KEY)
    return connection.execute(query).scalar_one_or_none()


def _check_version(database: Database, version: object) -> None:
    if not isinstance(version, str) or not version.isdecimal() or len(version) > _LONGEST_VERSION:
        raise StoreFormatError(database.subject, "not a catalog of artfs, or damaged")
    if int(version) < SCHEMA_VERSION:
        raise OtherStoreFormat(
            database.subject,
            f"made by an artfs before the first release (schema {version}, not {SCHEMA_VERSION})",
            hint="make a new store, and put what you need again",
        )
    if int(version) > SCHEMA_VERSION:
        raise OtherStoreFormat(
            database.subject,
            f"written by a newer artfs (schema {version}, this one knows {SCHEMA_VERSION})",
            hint="upgrade artfs",
        )


def create_schema(database: Database) -> None:
    """Make the tables where the database has none; leave a catalog that is there as it is.

    Raises: StoreFormatError where something else is there.
    """
    database.write(lambda connection: _create(connection, database))
    database.use_log()


def create_filled(url: str, source: Catalog, *, settings_wanted: Mapping[str, str]) -> None:
    """Make what `source` holds a catalog at a `postgresql://…` URL, in one transaction.

    Raises: Conflict, StoreFormatError where a catalog is there, or something else;
    BackendUnavailable, PermissionDenied, ConfigError, Unsupported.
    """
    database = postgresql_database(url)

    def work(connection: Connection) -> None:
        _create(connection, database)
        if not is_empty(connection):
            raise Conflict(database.subject, "there is a catalog in this database")
        put_copy(connection, source.copy_names())
        inventory.store(connection, list(source.packs()), [])
        blobs = source.blobs()
        while some := list(islice(blobs, _ROWS_TO_FILL)):
            inventory.store(connection, [], some)
        for key, value in settings_wanted.items():
            connection.execute(settings.delete().where(settings.c.key == key))
            connection.execute(insert(settings), {"key": key, "value": value})
        count_on(connection)

    try:
        database.write(work)
    finally:
        database.close()


def _check_encoding(connection: Connection, database: Database) -> None:
    if connection.dialect.name != "postgresql":
        return
    encoding = str(connection.execute(text("SHOW server_encoding")).scalar_one())
    if encoding != "UTF8":
        raise StoreFormatError(
            database.subject,
            f"a database in the encoding {encoding}, which cannot keep all names",
            hint="make another with `createdb -E UTF8 -T template0 NAME`",
        )


def _check_there(connection: Connection, database: Database) -> None:
    """Tell a database, or a schema of it, that has nothing of a catalog from a damaged one."""
    if connection.dialect.name != "postgresql":
        return
    schemas = connection.execute(text("SELECT current_schemas(false)")).scalar_one()
    tables = {
        name for schema in schemas for name in inspect(connection).get_table_names(schema=schema)
    }
    if not tables & metadata.tables.keys():
        where = ", ".join(schemas) or "none that is there"
        raise StoreFormatError(
            database.subject,
            f"not a catalog of artfs: its schema ({where}) has no tables of one",
            hint="`artfs init` makes one, or name another: `?options=-csearch_path%3DSCHEMA`",
        )


def _create(connection: Connection, database: Database) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
    check_kinds(connection, database.subject)
    present = set(inspect(connection).get_table_names())
    if settings.name in present:
        _check_version(database, _schema_version(connection))
        return
    _check_encoding(connection, database)
    # A server's database may be shared with other programs, a store's file may not.
    foreign = (
        present & metadata.tables.keys() if connection.dialect.name == "postgresql" else present
    )
    if foreign:
        raise StoreFormatError(
            database.subject, f"holds other tables ({', '.join(sorted(foreign)[:3])})"
        )
    for index, condition in PARTIAL_INDEXES:
        index.dialect_options[connection.dialect.name]["where"] = condition
    metadata.create_all(connection, checkfirst=False)
    values = {SCHEMA_KEY: str(SCHEMA_VERSION), ID_KEY: secrets.token_hex(16)}
    connection.execute(
        insert(settings), [{"key": key, "value": value} for key, value in values.items()]
    )
    connection.execute(insert(numbers), {"last": 0})
