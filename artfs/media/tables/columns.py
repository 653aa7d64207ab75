"""The types of a table's columns, learned row by row or column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from artfs.errors import InvalidValue
from artfs.media.tables.cells import encode_cells, inline_type, store_arrays
from artfs.media.types.base import InvalidType, Type
from artfs.media.types.containers import TypedDictType
from artfs.media.types.inference import Settling, assign, explain, type_of
from artfs.media.value import is_array, is_from

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact

_DEFAULT_COLUMNS = ("Input", "Output", "Expected")

Row = Sequence[Any]


def columns_and_rows(columns: Any, data: Any) -> tuple[list[Any], list[list[Any]]]:
    """The columns and rows of a table that is built from `data`; the rows are copies.

    Raises: InvalidValue for columns or data of another kind.
    """
    if is_frame(data):
        return checked_columns(list(data.columns)), _frame_rows(data)
    names = checked_columns(list(_DEFAULT_COLUMNS) if columns is None else columns)
    if data is None:
        return names, []
    if not (isinstance(data, list) or is_array(data)):
        raise InvalidValue("Table", "data argument expects a `list` object")
    return names, [list(row) for row in data]


def checked_columns(columns: Any) -> list[Any]:
    """The names of columns. Raises: InvalidValue for anything but a list of text and numbers."""
    if not isinstance(columns, list):
        raise InvalidValue("Table", "columns argument expects a `list` object")
    if not all(type(name) in {str, int} for name in columns):
        raise InvalidValue("Table", "columns argument expects list of strings or ints")
    return columns


def is_frame(data: object) -> bool:
    """Whether it is a pandas DataFrame; pandas is not imported for that."""
    return type(data).__name__ == "DataFrame" and is_from(data, "pandas")


def _frame_rows(frame: Any) -> list[list[Any]]:
    columns = [_series_cells(frame[name]) for name in frame.columns]
    return [[cells[number] for cells in columns] for number in range(len(frame))]


def _series_cells(series: Any) -> Any:
    if getattr(getattr(series, "dtype", None), "tz", None) is not None:
        # Its points in time, without the zone to show them in.
        series = series.dt.tz_convert(None)
    if hasattr(series, "array") and not is_from(series.dtype, "numpy"):
        # What only pandas has: its missing values are None here.
        return [None if type(cell).__name__ == "NAType" else cell for cell in series.array]
    return series.to_numpy()


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


def store_rows(
    columns: list[Any], rows: list[list[Any]], types: ColumnTypes, artifact: Artifact
) -> tuple[TypedDictType, Sequence[Sequence[Any]]]:
    """The type of the rows as they are stored, and the rows as JSON values.

    Files are added to the draft `artifact`. As in W&B, short vectors become lists for good:
    `types` learns it. Raises: what converting cells and adding files raises.
    """
    given: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(columns)
    encoded: list[Sequence[Any]] = []
    stored: dict[Any, Type] = {}
    # Keys that are all numbers stand in the order of numbers.
    by_number = all(isinstance(name, int) for name in columns)
    for name, cells in zip(columns, given, strict=True):
        column_type, in_file = types.get(name), None
        if column_type is not None:
            if cells:
                types[name] = column_type = inline_type(column_type)
                in_file = store_arrays(artifact, str(name), column_type, cells)
            stored[name if by_number else str(name)] = in_file or column_type
        encoded.append(encode_cells(cells, artifact) if in_file is None else [None] * len(cells))
    unchanged = all(new is old for new, old in zip(encoded, given, strict=True))
    return TypedDictType(stored), rows if unchanged else list(zip(*encoded, strict=True))
