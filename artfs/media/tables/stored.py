"""A table's columns on their way into an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from artfs.media.tables.columns import ColumnTypes
from artfs.media.tables.encode import encode_cells, inline_type, store_arrays
from artfs.media.types.containers import TypedDictType

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact


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
