"""All value types in one place, where W&B has them."""

from __future__ import annotations

from artfs.media.annotations import BoundingBoxes2D, Classes, ImageMask
from artfs.media.audio import Audio
from artfs.media.html import Bokeh, Html
from artfs.media.image import Image
from artfs.media.joined import JoinedTable, PartitionedTable
from artfs.media.object3d import Object3D
from artfs.media.table import Table
from artfs.media.video import Video

__all__ = [
    "Audio",
    "Bokeh",
    "BoundingBoxes2D",
    "Classes",
    "Html",
    "Image",
    "ImageMask",
    "JoinedTable",
    "Object3D",
    "PartitionedTable",
    "Table",
    "Video",
]
