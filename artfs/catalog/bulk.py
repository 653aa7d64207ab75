"""Statements over many values at once, which SQLite and PostgreSQL want in different shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Dialect,
    Table,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects import sqlite

T = TypeVar("T")

_IN_LIST = 1000
"""Values in one IN list."""
_STATEMENTS = 32
"""Statements that are kept as text."""


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """`values` in pieces of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def among(
    connection: Connection, column: ColumnElement[Any], values: Iterable[Any]
) -> Iterator[ColumnElement[bool]]:
    """Conditions that together select the rows whose `column` has one of the values.

    One for each statement to make; none where there are no values.
    """
    wanted = sorted(set(values))
    if connection.dialect.name == "postgresql":
        # One parameter for all of them: parsing thousands takes longer than finding them.
        if wanted:
            yield column == any_(bindparam(None, wanted, ARRAY(column.type)))
    else:
        for some in chunks(wanted, _IN_LIST):
            yield column.in_(some)


def upsert(connection: Connection, table: Table) -> sqlite.Insert:
    """An INSERT for this database that takes `on_conflict_do_…`."""
    return upsert_for(connection.dialect.name, table)


def upsert_for(dialect: str, table: Table) -> sqlite.Insert:
    """As `upsert`, for a dialect by its name.

    PostgreSQL's has the same methods and arguments, but a class of its own.
    """
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - 50 ms that SQLite need not pay

    return cast("sqlite.Insert", postgresql.insert(table))


def put_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, but those that are there already."""
    if rows:
        connection.execute(upsert(connection, table).on_conflict_do_nothing(), list(rows))


def put_columns(
    connection: Connection, statement: sqlite.Insert, columns: dict[str, list[Any]]
) -> None:
    """Execute an `upsert` without parameters of its own for thousands of rows, fast.

    The rows come as columns of equal length, whose values need no conversion by SQLAlchemy. A
    statement that is the same object as before is not compiled again, which takes milliseconds.
    """
    if connection.dialect.name == "postgresql":
        table = statement.table
        arrays = [
            func.unnest(bindparam(None, values, ARRAY(table.c[name].type)))
            for name, values in columns.items()
        ]
        connection.execute(statement.from_select(list(columns), select(*arrays)))
        return
    # SQLAlchemy would spend as long on each row's parameters as SQLite does on the row.
    text, names = _compiled(statement, connection.dialect, tuple(columns))
    rows = list(zip(*(columns[name] for name in names), strict=True))
    if rows:
        connection.exec_driver_sql(text, rows)


@lru_cache(_STATEMENTS)
def _compiled(
    statement: sqlite.Insert, dialect: Dialect, names: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """The text of a statement, and the names of its parameters in their order."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    return compiled.string, tuple(cast("Any", compiled).positiontup)
