"""Which columns of a table are keys, and the cells of these columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from artfs.errors import InvalidValue
from artfs.media.types.base import Type, Typed
from artfs.media.types.media import (
    ForeignIndexType,
    ForeignKeyType,
    KeyedTable,
    PrimaryKeyType,
    TableRef,
)
from artfs.media.value import is_array

if TYPE_CHECKING:
    from artfs.media.types.base import Type


class TableLink(Typed):
    """A cell of a key or index column: it knows which table it belongs to."""

    _ref: TableRef

    @property
    def table(self) -> KeyedTable:
        """The table whose row it names. Blocks: may read it from its artifact."""
        return self._ref.table


class TableIndex(TableLink, int):
    """The number of a row."""

    @classmethod
    def of(cls, number: int, ref: TableRef) -> TableIndex:
        """Row `number` of a table."""
        index = cls(number)
        index._ref = ref
        return index

    def column_type(self) -> Type:
        return ForeignIndexType(self._ref)

    def get_row(self) -> dict[Any, Any]:
        """The cells of the row by column."""
        return dict(zip(self.table.columns, self.table.data[self], strict=True))


class TableKey(TableLink, str):
    """The text that names a row in a column of its table."""

    __slots__ = ("_column", "_ref")

    _column: Any

    @classmethod
    def of(cls, text: str, ref: TableRef, column: Any) -> TableKey:
        """The row of a table whose cell in `column` is `text`."""
        key = cls(text)
        key._ref = ref
        key._column = column
        return key

    def column_type(self) -> Type:
        return ForeignKeyType(self._ref, self._column)

    def get_row(self) -> dict[Any, Any] | None:
        """The cells of the first row that it names by column; None if there is none."""
        position = self.table.columns.index(self._column)
        for row in self.table.data:
            if row[position] == self:
                return dict(zip(self.table.columns, row, strict=True))
        return None


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


def equal_rows(first: list[list[Any]], second: list[list[Any]]) -> bool:
    """Whether rows are equal, arrays in their cells included."""
    return len(first) == len(second) and all(
        equal_cells(one, two) for one, two in zip(first, second, strict=True)
    )


def equal_cells(one: Any, two: Any) -> bool:
    """Whether two cells, or rows of them, are equal."""
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(equal_cells, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(equal_cells(one[key], two[key]) for key in one)
    if is_array(one) or is_array(two):
        listed = [cell.tolist() if is_array(cell) else cell for cell in (one, two)]
        return equal_cells(*listed)
    return one is two or bool(one == two)
