"""The cells of a table as JSON values, and columns of arrays as files."""

from __future__ import annotations

import datetime as dt
import io
import math
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from artfs.errors import InvalidArgument
from artfs.media.registry import is_value_type, value_type
from artfs.media.tables.keys import TableIndex, TableKey
from artfs.media.types.base import (
    NUMBER,
    AnyType,
    InvalidType,
    NDArrayType,
    NoneType,
    TimestampType,
    Type,
)
from artfs.media.types.containers import ListType, TypedDictType, UnionType, union
from artfs.media.types.media import ImageFileType, MediaFileType, TableType
from artfs.media.value import Value, numpy

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact

MAX_INLINE_LENGTH = 150
"""Longer vectors are stored in a file, as is all that has more dimensions."""

_ARRAYS = "media/serialized_data"
_AS_THEY_ARE = frozenset({type(None), bool, int, str, TableKey, TableIndex})
_NS_PER_MS = 1_000_000

Decoder = Callable[[Any], Any]
_HOLDS_OBJECTS = (MediaFileType, ImageFileType, TableType, AnyType, InvalidType)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


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


def decode_columns(
    rows: list[list[Any]], types: Sequence[Type | None], artifact: Artifact
) -> list[list[Any]]:
    """Rows of cells from rows of JSON, given the type of each column.

    Blocks: reads the files of columns of arrays. Raises: what `read_bytes` raises.
    """
    changed: dict[int, Sequence[Any]] = {}
    for position, column_type in enumerate(types):
        path = None if column_type is None else serialization_path(column_type)
        if path is not None:
            changed[position] = _load_array(path, artifact)
            continue
        decode = decoder(AnyType() if column_type is None else column_type, artifact)
        if decode is not None:
            changed[position] = [decode(row[position]) for row in rows]
    for position, cells in changed.items():
        for row, cell in zip(rows, cells, strict=True):
            row[position] = cell
    return rows


def serialization_path(column_type: Type) -> dict[str, str] | None:
    """Where the arrays of a column are stored, if that is in a file."""
    array = array_type(column_type)
    return None if array is None else array.serialization_path


def without_file(column_type: Type) -> Type:
    """The type of a column of arrays whose file has been read."""
    array = array_type(column_type)
    if array is None or array.serialization_path is None:
        return column_type
    loaded = NDArrayType(array.shape)
    if not isinstance(column_type, UnionType):
        return loaded
    return union(loaded if each is array else each for each in column_type.allowed)


def decoder(column_type: Type, artifact: Artifact) -> Decoder | None:
    """What makes cells of a type from JSON; None where they are JSON values themselves."""
    if isinstance(column_type, TimestampType):
        return _time
    if isinstance(column_type, ListType):
        return _list_decoder(decoder(column_type.element, artifact))
    if isinstance(column_type, TypedDictType):
        return _dict_decoder(
            {key: decoder(each, artifact) for key, each in column_type.type_map.items()}
        )
    if isinstance(column_type, UnionType):
        return _union_decoder(column_type, artifact)
    return _object_decoder(artifact) if isinstance(column_type, _HOLDS_OBJECTS) else None


def _list_decoder(element: Decoder | None) -> Decoder | None:
    if element is None:
        return None
    return lambda cell: [element(item) for item in cell] if isinstance(cell, list) else cell


def _dict_decoder(decoders: dict[Any, Decoder | None]) -> Decoder | None:
    if not any(decoders.values()):
        return None

    def decode(cell: Any) -> Any:
        if not isinstance(cell, dict):
            return cell
        made = {}
        for key, item in cell.items():
            each = decoders.get(key)
            made[key] = item if each is None else each(item)
        return made

    return decode


def _union_decoder(column_type: UnionType, artifact: Artifact) -> Decoder | None:
    members = [each for each in column_type.allowed if not isinstance(each, NoneType)]
    decoders = [decoder(each, artifact) for each in members]
    if len(decoders) == 1:
        return decoders[0]
    if any(isinstance(each, _HOLDS_OBJECTS) for each in members):
        # JSON does not say which member a cell is of, but objects say what they are.
        return _object_decoder(artifact)
    return None


def _object_decoder(artifact: Artifact) -> Decoder:
    def decode(cell: Any) -> Any:
        if isinstance(cell, list):
            return [decode(item) for item in cell]
        if not isinstance(cell, dict):
            return cell
        if is_value_type(cell.get("_type")):
            return value_type(cell["_type"]).from_json(cell, artifact)
        return {key: decode(item) for key, item in cell.items()}

    return decode


def _time(cell: Any) -> Any:
    if not isinstance(cell, int | float):
        return cell
    return _EPOCH + dt.timedelta(milliseconds=cell)


def _load_array(path: dict[str, str], artifact: Artifact) -> Sequence[Any]:
    np = numpy("Table")
    content = artifact.get_path(path["path"]).read_bytes()
    with np.load(io.BytesIO(content)) as arrays:
        loaded: Sequence[Any] = list(arrays[path["key"]])
    return loaded
