"""A copy of everything in a catalog but where blobs are: its names, versions, runs and settings.

A copy is rows of tables, so that what comes back is what was there, down to the ids. It is checked
when it is put into a catalog, for it may have come from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    Table,
    exc,
    func,
    insert,
    select,
    text,
)

from artfs.catalog.bulk import chunks
from artfs.catalog.records import Copy
from artfs.catalog.schema import (
    SCHEMA_KEY,
    aliases,
    artifacts,
    blobs,
    commit_keys,
    links,
    packs,
    projects,
    run_details,
    run_inputs,
    run_outputs,
    runs,
    settings,
    tags,
    versions,
)
from artfs.catalog.searchindex import mark_all
from artfs.errors import InvalidManifest
from artfs.model import VersionState

_TABLES = (
    settings,
    projects,
    artifacts,
    versions,
    links,
    aliases,
    tags,
    commit_keys,
    runs,
    run_details,
    run_inputs,
    run_outputs,
)
"""Each after those that it refers to."""

_NUMBERED = (projects, artifacts, packs)
"""Tables whose ids a server gives."""

_ROWS = 5_000
"""Inserted at once."""


def empty_copy() -> Copy:
    """Of a catalog with nothing in it."""
    return {str(table.name): [] for table in _TABLES}


def copy_names(connection: Connection) -> Copy:
    """What Catalog.copy_names says."""
    copied: Copy = {}
    for table in _TABLES:
        # SQLAlchemy's names are more than text.
        columns = [str(column.name) for column in table.c]
        rows = connection.execute(select(table))
        copied[str(table.name)] = [dict(zip(columns, row, strict=True)) for row in rows]
    return copied


def put_copy(connection: Connection, copied: Copy) -> None:
    """What Catalog.put_copy says."""
    for table in _TABLES:
        rows = [_checked(table, row) for row in copied.get(table.name, [])]
        if table is settings:
            _put_settings(connection, rows)
            continue
        try:
            for some in chunks(rows, _ROWS):
                connection.execute(insert(table), list(some))
        except exc.IntegrityError as error:
            raise InvalidManifest(
                "copy of the catalog", f"rows of {table.name} contradict each other"
            ) from error
    mark_all(connection)


def _put_settings(connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        if row["key"] == SCHEMA_KEY:
            continue
        connection.execute(settings.delete().where(settings.c.key == row["key"]))
        connection.execute(insert(settings), row)


def count_on(connection: Connection) -> None:
    """Let a server give ids behind those that were put; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in _NUMBERED:
        last = connection.execute(select(func.max(table.c.id))).scalar_one()
        if last is not None:
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"),
                {"name": table.name, "last": last},
            )


def is_empty(connection: Connection) -> bool:
    """Whether a catalog has neither names nor blobs."""
    return all(
        connection.execute(select(table).limit(1)).first() is None
        for table in (projects, blobs, packs)
    )


def version_states(connection: Connection) -> dict[str, VersionState]:
    """What Catalog.version_states says."""
    rows = connection.execute(select(versions.c.id, versions.c.state))
    return {row[0]: VersionState(row[1]) for row in rows}


def _checked(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """The row, complete. Raises: InvalidManifest for what is none of this table."""
    if unknown := row.keys() - table.c.keys():
        raise InvalidManifest(
            "copy of the catalog", f"{table.name} has no {min(unknown)}", hint="use a newer artfs"
        )
    for column in table.c:
        if not _fits(row.get(column.name), column):
            raise InvalidManifest(
                "copy of the catalog", f"{table.name}.{column.name} is {row.get(column.name)!r:.40}"
            )
    return {column.name: row.get(column.name) for column in table.c}


def _fits(value: object, column: Column[Any]) -> bool:
    if value is None:
        return bool(column.nullable)
    if isinstance(column.type, Boolean):
        return isinstance(value, bool)
    if isinstance(column.type, Integer):
        return isinstance(value, int) and -(2**63) <= value < 2**63
    return isinstance(value, bytes if isinstance(column.type, LargeBinary) else str)
