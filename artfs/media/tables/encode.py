"""The cells of a table as JSON values, and columns of arrays as files."""

from __future__ import annotations

import datetime as dt
import io
import math
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any

from artfs.errors import InvalidArgument
from artfs.media.extras import numpy
from artfs.media.tables.links import TableIndex, TableKey
from artfs.media.types.arrays import NDArrayType
from artfs.media.types.base import Type
from artfs.media.types.containers import ListType, UnionType, union
from artfs.media.types.scalars import NUMBER
from artfs.media.value import Value

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact

MAX_INLINE_LENGTH = 150
"""Longer vectors are stored in a file, as is all that has more dimensions."""

_ARRAYS = "media/serialized_data"
_AS_THEY_ARE = frozenset({NoneType, bool, int, str, TableKey, TableIndex})
_NS_PER_MS = 1_000_000


def inline_type(column_type: Type) -> Type:
    """The type under which a column is stored: short vectors become lists of numbers."""
    array = array_type(column_type)
    if array is None or len(array.shape) != 1 or array.shape[0] > MAX_INLINE_LENGTH:
        return column_type
    return ListType(NUMBER, array.shape[0])


def array_type(column_type: Type) -> NDArrayType | None:
    """The type of arrays that a type is or allows."""
    members = column_type.allowed if isinstance(column_type, UnionType) else (column_type,)
    return next((each for each in members if isinstance(each, NDArrayType)), None)


def store_arrays(
    artifact: Artifact, name: str, column_type: Type, cells: Sequence[Any]
) -> Type | None:
    """Store a column of arrays as one file; its type, which names the file.

    None for a column of something else.
    Raises: InvalidArgument for cells that do not make one array.
    """
    array = array_type(column_type)
    if array is None:
        return None
    np = numpy("Table")
    buffer = io.BytesIO()
    try:
        np.savez_compressed(buffer, **{name: np.array(cells)})
    except ValueError as error:
        raise InvalidArgument(
            f"column {name!r}", f"its arrays cannot be stored as one: {error}"
        ) from error
    entry = artifact.add_bytes(buffer.getvalue(), f"{_ARRAYS}/column.npz", is_tmp=True)
    stored = NDArrayType(array.shape, {"key": name, "path": entry.path})
    if not isinstance(column_type, UnionType):
        return stored
    return union(stored if each is array else each for each in column_type.allowed)


def encode_cells(cells: Sequence[Any], artifact: Artifact) -> Sequence[Any]:
    """The cells of a column as JSON values; their files are added to the draft `artifact`.

    Raises: UnicodeDecodeError for bytes that are no text; what adding files raises.
    """
    kinds = set(map(type, cells))
    if kinds - {float} <= _AS_THEY_ARE and not (
        float in kinds and any(map(operator.ne, cells, cells))  # NaN differs from itself
    ):
        return cells
    return [encode_cell(cell, artifact) for cell in cells]


def encode_cell(cell: Any, artifact: Artifact) -> Any:
    """One cell as a JSON value; what JSON cannot say comes back as it is."""
    kind = type(cell)
    if kind in _AS_THEY_ARE:
        return cell
    if kind is dict:
        return {key: encode_cell(item, artifact) for key, item in cell.items()}
    if isinstance(cell, list | tuple):
        return [encode_cell(item, artifact) for item in cell]
    if isinstance(cell, Value):
        return cell.to_json(artifact)
    return _encode_array(cell, artifact) if hasattr(cell, "tolist") else _encode_object(cell)


def _encode_object(cell: Any) -> Any:
    for base, encode in _ENCODERS.items():
        if isinstance(cell, base):
            return encode(cell)
    if hasattr(cell, "json_encode"):  # a logged artifact
        return cell.json_encode()
    if callable(cell):
        return f"{cell.__module__}.{getattr(cell, '__qualname__', type(cell).__name__)}"
    return cell


def _encode_array(cell: Any, artifact: Artifact) -> Any:
    listed = cell.tolist()
    if type(cell).__name__ == "datetime64" and isinstance(listed, int):
        return listed / _NS_PER_MS
    # A longdouble has no Python number of its own: its list is itself.
    return float(listed) if type(listed) is type(cell) else encode_cell(listed, artifact)


def _encode_time(cell: dt.datetime) -> int:
    if cell.tzinfo is None:
        cell = cell.replace(tzinfo=dt.UTC)
    return int(cell.timestamp() * 1000)


def _encode_date(cell: dt.date) -> int:
    return _encode_time(dt.datetime(cell.year, cell.month, cell.day, tzinfo=dt.UTC))


def _encode_float(cell: float) -> float | None:
    return None if math.isnan(cell) else float(cell)


def _encode_bytes(cell: bytes) -> str:
    return cell.decode("utf-8")


_ENCODERS: dict[type, Callable[[Any], Any]] = {
    float: _encode_float,
    # A datetime is a date as well: it comes first.
    dt.datetime: _encode_time,
    dt.date: _encode_date,
    Decimal: float,
    bytes: _encode_bytes,
}
