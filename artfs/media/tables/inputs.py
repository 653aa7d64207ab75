"""Columns and rows as they are given to a table."""

from __future__ import annotations

from typing import Any

from artfs.errors import InvalidValue
from artfs.media.extras import is_array, is_from

_DEFAULT_COLUMNS = ("Input", "Output", "Expected")


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
