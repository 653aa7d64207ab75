"""The types of a table's columns, learned row by row or column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from artfs.media.types.base import InvalidType, Type
from artfs.media.types.containers import TypedDictType
from artfs.media.types.explain import explain
from artfs.media.types.inference import Settling, assign, type_of

Row = Sequence[Any]


class ColumnTypes:
    """A type for each column, by the text of its name."""

    def __init__(self) -> None:
        self._columns: dict[str, Settling] = {}

    def __getitem__(self, name: Any) -> Type:
        return self._columns[str(name)].target

    def __setitem__(self, name: Any, column_type: Type) -> None:
        self._columns[str(name)] = Settling(column_type)

    def __delitem__(self, name: Any) -> None:
        del self._columns[str(name)]

    def get(self, name: Any) -> Type | None:
        """The type of a column, or None."""
        column = self._columns.get(str(name))
        return None if column is None else column.target

    def as_type(self) -> TypedDictType:
        """The type of a row."""
        return TypedDictType({name: each.target for name, each in self._columns.items()})

    def take_row(self, names: Sequence[Any], row: Row) -> None:
        """Learn from a row of as many cells as there are names.

        Raises: TypeError where the row does not fit; nothing has changed then.
        """
        changed: list[tuple[Settling, Type, type]] = []
        # Of columns that share a name, the last one counts.
        cells = dict(zip(map(str, names), row, strict=True))
        for name, cell in cells.items():
            column = self._columns.get(name)
            if column is None:
                raise self._misfit(cells)
            if column.leaves_unchanged(cell):
                continue
            assigned = assign(column.target, cell)
            if isinstance(assigned, InvalidType):
                raise self._misfit(cells)
            changed.append((column, assigned, type(cell)))
        if len(cells) < len(self._columns):
            raise self._misfit(cells)
        for column, assigned, kind in changed:
            column.become(assigned, kind)

    def take_rows(self, names: Sequence[Any], rows: Sequence[Row]) -> None:
        """Learn from many rows of as many cells as there are names: as one by one, but faster.

        Raises: TypeError where a row does not fit; the rows before it have been learned then.
        """
        if not rows:
            return
        learned: dict[str, Settling] = {}
        for name, cells in zip(map(str, names), zip(*rows, strict=True), strict=True):
            learned[name] = Settling(self._columns[name].target)
            if isinstance(learned[name].assign_all(cells), InvalidType):
                break
        else:
            self._columns.update(learned)
            return
        for row in rows:
            self.take_row(names, row)

    def _misfit(self, cells: dict[str, Any]) -> TypeError:
        return TypeError(
            f"Data row contained incompatible types:\n{explain(self.as_type(), cells)}"
        )


def cast_cells(cells: list[Any], wanted: Type) -> Type:
    """The type of a column that is declared to be `wanted`, after it has taken all cells.

    Raises: TypeError for a cell that does not fit.
    """
    found = Settling(wanted).assign_all(cells)
    if not isinstance(found, InvalidType):
        return found
    for cell in cells:
        assigned = assign(wanted, cell)
        if isinstance(assigned, InvalidType):
            raise TypeError(
                f"Existing data {cell}, of type {type_of(cell)} cannot be cast to {wanted}"
            )
        wanted = assigned
    return wanted
