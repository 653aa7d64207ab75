"""Cells that stand for a row of a table."""

from __future__ import annotations

from typing import Any

from artfs.media.types.base import Type, Typed
from artfs.media.types.references import ForeignIndexType, ForeignKeyType, KeyedTable, TableRef


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
