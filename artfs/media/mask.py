"""`artfs.data_types.ImageMask`: what class each pixel of an image is of."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.media.boxes import check_labels
from artfs.media.content import LocalFile, MadeFile
from artfs.media.extras import numpy, require
from artfs.media.types.media import MediaFileType
from artfs.media.value import Media

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact


class ImageMask(Media):
    """One layer of pixels' classes on an image.

    Args:
        val: A dict with `mask_data`, a two-dimensional numpy array of ids from 0 to 255, or with
            `path`, a picture of it; and maybe `class_labels`, the names by id.
        key: The name of the layer.

    Raises:
        KeyError: without `mask_data` and `path`.
        TypeError: for data of another kind.
        Unsupported: if numpy or Pillow are not installed.

    Example:
        >>> mask = {"mask_data": numpy.zeros((4, 4), int), "class_labels": {0: "sky"}}
        >>> image = artfs.Image("sky.png", masks={"truth": mask})
    """

    artifact_suffix: ClassVar[str] = "mask"
    media_directory: ClassVar[str] = "media/images/mask"
    declared_type: ClassVar[Type] = MediaFileType("mask")

    def __init__(self, val: dict[str, Any], key: str) -> None:
        self._key = key
        self._labels: dict[Any, str] = {}
        if "path" in val:
            self._content = LocalFile(val["path"])
            return
        if "class_labels" in val and "mask_data" not in val:
            raise TypeError(
                'Missing key "mask_data": An image mask requires mask data: '
                "a 2D array representing the predictions"
            )
        pixels = val["mask_data"]
        if len(pixels.shape) != 2:
            raise TypeError("mask_data must be a 2D array")
        if (
            pixels.dtype.kind in "iu"
            and pixels.size
            and not 0 <= pixels.min() <= pixels.max() <= 255
        ):
            raise TypeError("Mask data must be integers between 0 and 255")
        if "class_labels" in val:
            check_labels(
                val["class_labels"], "Class labels must be a dictionary of numbers to strings"
            )
            self._labels = val["class_labels"]
        else:
            unique = numpy("ImageMask").unique(pixels).astype(int).tolist()
            self._labels = {each: f"class_{each}" for each in unique}
        self._content = MadeFile(_encode(pixels), ".mask.png")

    @property
    def class_labels(self) -> dict[Any, str]:
        """The names of the classes by id."""
        return self._labels

    def to_data_array(self) -> Any:
        """The pixels as a numpy array. Blocks: reads the file."""
        np, pillow = numpy("ImageMask"), require("PIL.Image", "ImageMask")
        with self.open() as file, pillow.open(file) as image:
            return np.asarray(image)

    def _restore(self, value: dict[str, Any], artifact: Artifact) -> None:
        super()._restore(value, artifact)
        self._key, self._labels = "", {}


def _encode(pixels: Any) -> bytes:
    np, pillow = numpy("ImageMask"), require("PIL.Image", "ImageMask")
    # By way of signed bytes, as W&B does: 300.7 becomes 44, and -1.5 becomes 255.
    values = pixels.astype(np.int8).view(np.uint8)
    buffer = io.BytesIO()
    pillow.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()
