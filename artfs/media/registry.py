"""The value types by the suffix of the files that they are stored in."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from artfs.sdk.entry import ArtifactValue

_CLASSES: dict[str, str] = {
    "table": "artfs.media.table:Table",
    "image-file": "artfs.media.image:Image",
    "classes": "artfs.media.annotations:Classes",
    "joined-table": "artfs.media.joined:JoinedTable",
    "partitioned-table": "artfs.media.joined:PartitionedTable",
    "mask": "artfs.media.annotations:ImageMask",
    "bounding-boxes": "artfs.media.annotations:BoundingBoxes2D",
    "audio-file": "artfs.media.audio:Audio",
    "video-file": "artfs.media.video:Video",
    "html-file": "artfs.media.html:Html",
    "object3D-file": "artfs.media.object3d:Object3D",
    "bokeh-file": "artfs.media.html:Bokeh",
}
"""Suffix to `module:class`, in the order in which `Artifact.get` looks for a name."""


def value_types() -> Mapping[str, type[ArtifactValue]]:
    """All value types, imported."""
    return {suffix: value_type(suffix) for suffix in _CLASSES}


def value_type(suffix: str) -> type[ArtifactValue]:
    """The value type that is stored with this suffix. Raises: KeyError if there is none."""
    module, _, name = _CLASSES[suffix].partition(":")
    found: type[ArtifactValue] = getattr(import_module(module), name)
    return found


def is_value_type(suffix: object) -> bool:
    """Whether there is a value type with this suffix."""
    return isinstance(suffix, str) and suffix in _CLASSES
