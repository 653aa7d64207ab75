"""What a catalog in a file consists of: nothing is asked of it before that is known.

In a database of SQLite a name that is asked for may be a view that never ends, and what is written
may set off a trigger. Neither is of artfs: it makes plain tables and indexes.
"""

from __future__ import annotations

from sqlalchemy import Connection

from artfs.catalog.schema import metadata
from artfs.errors import StoreFormatError

_PLAIN = 0
"""`hidden` of a column that is neither generated nor of a virtual table."""


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
                hint="restore it from a backup",
            )
