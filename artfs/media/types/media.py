"""The types of cells that hold media, tables and ids of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from artfs.media.types.base import INVALID, UNKNOWN, InvalidType, Type
from artfs.media.types.containers import UnionType
from artfs.media.types.scalars import ConstType

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact


class ClassSet(Protocol):
    """A set of classes as the type of their ids knows it: Classes is one."""

    def reference_in(self, artifact: Artifact | None) -> dict[str, Any]:
        """JSON that names its file, which is added to the draft `artifact`."""
        ...


Layers = dict[str, list[Any]]
"""Ids of classes by the name of a layer of boxes or masks."""


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
