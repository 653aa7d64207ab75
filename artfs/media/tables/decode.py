"""The cells of a table made again from its JSON; files are read when the cells are used."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from artfs.media.extras import numpy
from artfs.media.registry import is_value_type, value_type
from artfs.media.tables.encode import array_type
from artfs.media.types.arrays import NDArrayType
from artfs.media.types.base import AnyType, InvalidType, NoneType, Type
from artfs.media.types.containers import ListType, TypedDictType, UnionType, union
from artfs.media.types.media import ImageFileType, MediaFileType, TableType
from artfs.media.types.scalars import TimestampType

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact

Decoder = Callable[[Any], Any]

_HOLDS_OBJECTS = (MediaFileType, ImageFileType, TableType, AnyType, InvalidType)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


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
