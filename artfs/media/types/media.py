"""The types of cells that hold media, tables and ids of classes, or name rows of tables."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from artfs.media.types.base import (
    INVALID,
    UNKNOWN,
    ConstType,
    InvalidType,
    NumberType,
    StringType,
    Type,
)
from artfs.media.types.containers import UnionType
from artfs.sdk.entry import ArtifactValue

if TYPE_CHECKING:
    from artfs.sdk.entry import ArtifactValue
    from artfs.sdk.run import Artifact

Layers = dict[str, list[Any]]
"""Ids of classes by the name of a layer of boxes or masks."""
_DIRECTORY = "media/tables"
_NAME_CHARS = 20


class ClassSet(Protocol):
    """A set of classes as the type of their ids knows it: Classes is one."""

    def reference_in(self, artifact: Artifact | None) -> dict[str, Any]:
        """JSON that names its file, which is added to the draft `artifact`."""
        ...


class ImageFileType(Type, frozen=True):
    """Images: their layers of boxes and masks, scores and classes."""

    box_layers: Layers = msgspec.field(default_factory=dict)
    box_score_keys: frozenset[str] = frozenset()
    mask_layers: Layers = msgspec.field(default_factory=dict)
    class_map: dict[str, str] = msgspec.field(default_factory=dict)

    name = "image-file"

    def params(self) -> dict[str, Any]:
        return {
            "box_layers": self.box_layers,
            "box_score_keys": set(self.box_score_keys),
            "mask_layers": self.mask_layers,
            "class_map": self.class_map,
        }

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        return {key: ConstType(value).to_json(artifact) for key, value in self.params().items()}

    def assign_type(self, other: Type) -> Type:
        if not isinstance(other, ImageFileType):
            return INVALID
        united = ImageFileType(
            _united(self.box_layers, other.box_layers),
            self.box_score_keys | other.box_score_keys,
            _united(self.mask_layers, other.mask_layers),
            {**other.class_map, **self.class_map},
        )
        return self if united == self else united


def _united(first: Layers, second: Layers) -> Layers:
    # The order of a set of integers is the order in which W&B writes them.
    return {
        layer: list({*first.get(layer, ()), *second.get(layer, ())})
        for layer in {**first, **second}
    }


class TableType(Type, frozen=True):
    """Tables in cells."""

    column_types: Type = UNKNOWN

    name = "table"

    def params(self) -> dict[str, Any]:
        return {"column_types": self.column_types}

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        return {"column_types": self.column_types.to_json(artifact)}

    def assign_type(self, other: Type) -> Type:
        if not isinstance(other, TableType):
            return INVALID
        types = self.column_types.assign_type(other.column_types)
        if isinstance(types, InvalidType):
            return INVALID
        return self if types is self.column_types else TableType(types)


class ClassesIdType(Type, frozen=True):
    """Ids of one set of classes, which is stored beside the table."""

    classes: ClassSet
    valid_ids: UnionType

    name = "classesId"

    def params(self) -> dict[str, Any]:
        return {"valid_ids": self.valid_ids}

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        return {
            "valid_ids": self.valid_ids.to_json(artifact),
            "classes_obj": self.classes.reference_in(artifact),
        }

    def assign_type(self, other: Type) -> Type:
        if isinstance(other, ClassesIdType) and other.valid_ids == self.valid_ids:
            return self
        return INVALID


class MediaFileType(Type, frozen=True):
    """Values of one of the other media classes."""

    wb_type: str

    def __repr__(self) -> str:
        return self.wb_type.capitalize()

    def to_json(self, artifact: Artifact | None = None) -> dict[str, Any]:
        del artifact
        return {"wb_type": self.wb_type}


def add_unnamed(artifact: Artifact, table: ArtifactValue) -> str:
    """Add a table that has no name of its own to a draft, if it is not there; its path."""
    home, name = table.artifact_home, "t"  # below this directory it is renamed after its content
    if home is not None and home[0].id is not None:
        # A reference is not renamed: its name must not be that of another table.
        name = hashlib.md5(f"{home[0].id}/{home[1]}".encode()).hexdigest()[:_NAME_CHARS]
    return artifact.add(table, f"{_DIRECTORY}/{name}").path


class KeyedTable(ArtifactValue, Protocol):
    """A table as its keys know it: Table is one."""

    @property
    def columns(self) -> list[Any]:
        """The names of its columns."""
        ...

    @property
    def data(self) -> list[list[Any]]:
        """The rows, each with a cell for each column."""
        ...

    def has_cells_of(self, other: Any) -> bool:
        """Whether columns and rows of two tables are equal."""
        ...


class TableRef:
    """Another table: an object, or one in an artifact that is loaded when it is asked for."""

    __slots__ = ("_artifact", "_path", "_table")

    def __init__(
        self,
        table: KeyedTable | None = None,
        *,
        artifact: Artifact | None = None,
        path: str = "",
    ) -> None:
        self._table = table
        self._artifact = artifact
        self._path = path

    def __repr__(self) -> str:
        return self._path if self._table is None else object.__repr__(self._table)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TableRef):
            return NotImplemented
        if self._table is not None and self._table is other._table:
            return True
        if self._artifact is not None and other._artifact is not None:
            here, there = (self._artifact.id, self._path), (other._artifact.id, other._path)
            if here == there:
                return True
        return self.table.has_cells_of(other.table)

    __hash__ = None  # type: ignore[assignment]

    def is_of(self, table: KeyedTable) -> bool:
        """Whether it is this very object."""
        return self._table is table

    @property
    def table(self) -> KeyedTable:
        """The table. Blocks: reads it, the first time. Raises: what `Artifact.get` raises."""
        if self._table is None:
            assert self._artifact is not None
            self._table = self._artifact.get(self._path)
        assert self._table is not None
        return self._table

    def path_in(self, artifact: Artifact | None) -> str | None:
        """Its path in the draft `artifact`, to which it is added if need be."""
        if artifact is None:
            return None
        return add_unnamed(artifact, self.table)


class PrimaryKeyType(Type, frozen=True):
    """Text that names the rows of its table."""

    name = "primaryKey"

    def assign_type(self, other: Type) -> Type:
        return self if isinstance(other, StringType | PrimaryKeyType) else INVALID


class ForeignKeyType(Type, frozen=True):
    """Text that names rows of another table."""

    table: TableRef
    col_name: Any

    name = "foreignKey"

    def params(self) -> dict[str, Any]:
        return {"table": self.table, "col_name": self.col_name}

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        return {"table": self.table.path_in(artifact), "col_name": self.col_name}

    def assign_type(self, other: Type) -> Type:
        return self if isinstance(other, StringType) or other == self else INVALID


class ForeignIndexType(Type, frozen=True):
    """Numbers of rows of another table."""

    table: TableRef

    name = "foreignIndex"

    def params(self) -> dict[str, Any]:
        return {"table": self.table}

    def json_params(self, artifact: Artifact | None) -> dict[str, Any]:
        return {"table": self.table.path_in(artifact)}

    def assign_type(self, other: Type) -> Type:
        return self if isinstance(other, NumberType) or other == self else INVALID


KEY_TYPES = (PrimaryKeyType, ForeignKeyType, ForeignIndexType)
