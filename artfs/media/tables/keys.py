"""Which columns of a table are keys, and the cells of these columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from artfs.errors import InvalidValue
from artfs.media.tables.links import TableIndex, TableKey
from artfs.media.types.references import (
    ForeignIndexType,
    ForeignKeyType,
    KeyedTable,
    PrimaryKeyType,
    TableRef,
)

if TYPE_CHECKING:
    from artfs.media.types.base import Type


class Keys:
    """The primary key of a table, and its foreign keys and indexes."""

    def __init__(self) -> None:
        self.primary: Any = None
        self.foreign: dict[Any, ForeignKeyType | ForeignIndexType] = {}

    def check(self, wanted: Type, table: KeyedTable) -> None:
        """Check that a column of `table` may get a type. Raises: InvalidValue."""
        if isinstance(wanted, PrimaryKeyType) and self.primary is not None:
            raise InvalidValue(
                f"Cannot have multiple primary keys - {self.primary} is already set as the "
                "primary key."
            )
        if isinstance(wanted, ForeignKeyType | ForeignIndexType) and wanted.table.is_of(table):
            raise InvalidValue("Cannot set a foreign table reference to same table")

    def note(self, name: Any, column_type: Type) -> None:
        """Remember the type of a column, if it is a key."""
        self.foreign.pop(name, None)
        if isinstance(column_type, PrimaryKeyType):
            self.primary = name
        elif isinstance(column_type, ForeignKeyType | ForeignIndexType):
            self.foreign[name] = column_type

    def link(self, table: KeyedTable, columns: list[Any], rows: list[list[Any]]) -> None:
        """Make the cells of key columns, in rows of `table`, know which table they name."""
        for position, name in enumerate(columns):
            make = self._maker(table, name)
            if make is not None:
                for row in rows:
                    row[position] = make(row[position])

    def _maker(self, table: KeyedTable, name: Any) -> Callable[[Any], Any] | None:
        if name == self.primary and name is not None:
            own = TableRef(table)
            return lambda cell: TableKey.of(cell, own, name)
        foreign = self.foreign.get(name)
        if isinstance(foreign, ForeignKeyType):
            return lambda cell: TableKey.of(cell, foreign.table, foreign.col_name)
        if isinstance(foreign, ForeignIndexType):
            return lambda cell: TableIndex.of(cell, foreign.table)
        return None
