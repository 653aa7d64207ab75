"""Sets of classes, such as those that boxes and masks are of."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any, ClassVar, Self

from artfs.errors import InvalidValue
from artfs.media.media_bytes import LocalMedia, MadeFile
from artfs.media.types.base import ConstType
from artfs.media.types.containers import union
from artfs.media.types.media import ClassesIdType, MediaFileType
from artfs.media.value import Media, Value, numpy, require

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact

_COLUMN_FILE = "media/cls"

_CORNERS = ("minX", "maxX", "minY", "maxY")


class Classes(Value):
    """A set of classes: what the ids in boxes, masks and columns of ids stand for.

    Args:
        class_set: Dicts with an `id` and a `name`; other keys are kept.

    Raises:
        ValueError: for a class that has no id or no name.

    Example:
        >>> classes = artfs.Classes([{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}])
        >>> image = artfs.Image("pets.png", classes=classes)
    """

    artifact_suffix: ClassVar[str] = "classes"
    declared_type: ClassVar[Type]

    def __init__(self, class_set: Iterable[dict[str, Any]]) -> None:
        self._class_set = list(class_set)
        for each in self._class_set:
            if "id" not in each or "name" not in each:
                raise InvalidValue("Classes", f"{each!r} needs an id and a name")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Classes):
            return NotImplemented
        return self._class_set == other._class_set

    def __hash__(self) -> int:
        return hash(tuple(str(each["id"]) for each in self._class_set))

    @property
    def class_set(self) -> list[dict[str, Any]]:
        """The classes, as they were given."""
        return self._class_set

    def to_json(self, artifact: Artifact | None = None) -> dict[str, Any]:
        """Its JSON value; no file is needed."""
        del artifact
        return {"_type": self.artifact_suffix, "class_set": self._class_set}

    @classmethod
    def from_json(cls, value: dict[str, Any], artifact: Artifact) -> Self:
        """Make it again from its JSON value."""
        del artifact
        return cls(value.get("class_set", ()))

    def get_type(self) -> Type:
        """The type of a column that holds ids of these classes: `Table(dtype=[...])`."""
        return ClassesIdType(self, union(ConstType(each["id"]) for each in self._class_set))

    def column_type(self) -> Type:
        """The type of a cell that holds the set itself."""
        return self.get_type()

    def add_to(self, artifact: Artifact, name: str) -> dict[str, str]:
        """Add it under `name` to a draft; JSON that names the file."""
        entry = artifact.add(self, name)
        return {"type": "classes-file", "path": entry.path, "digest": entry.digest}

    def reference_in(self, artifact: Artifact | None) -> dict[str, Any]:
        """JSON that names the file of a column of ids, which is added to the draft `artifact`."""
        if artifact is None:
            return self.to_json()
        md5 = hashlib.md5(json.dumps(self.to_json(), sort_keys=True).encode()).digest()
        there = artifact.find_entry(f"{_COLUMN_FILE}.{self.artifact_suffix}.json")
        if there is None or there.digest == base64.b64encode(md5).decode():
            return self.add_to(artifact, _COLUMN_FILE)
        # W&B would name the other set's file here.
        return self.add_to(artifact, f"media/{md5.hex()[:20]}_cls")

    @classmethod
    def from_reference(cls, value: dict[str, Any], artifact: Artifact) -> Classes:
        """The set that JSON names or holds."""
        if "path" not in value:
            return cls.from_json(value, artifact)
        return cls.from_json(json.loads(artifact.get_path(value["path"]).read_bytes()), artifact)


Classes.declared_type = Classes(()).get_type()


class BoundingBoxes2D(Value):
    """One layer of boxes on an image.

    Args:
        val: A dict with `box_data`, a list of boxes, and maybe `class_labels`, their names by
            id. A box has a `position` (`minX`, `maxX`, `minY`, `maxY`, or `middle`, `width`,
            `height`), a `class_id`, and maybe `scores`, `box_caption`, `domain`.
        key: The name of the layer.

    Raises:
        KeyError: without `box_data`, or without `class_id` where there are no labels.
        TypeError: for a box that is none.

    Example:
        >>> position = {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4}
        >>> boxes = {"box_data": [{"position": position, "class_id": 1}]}
        >>> image = artfs.Image("cat.png", boxes={"predictions": boxes})
    """

    artifact_suffix: ClassVar[str] = "bounding-boxes"
    declared_type: ClassVar[Type] = MediaFileType("bounding-boxes")

    def __init__(self, val: dict[str, Any], key: str) -> None:
        boxes, labels = val["box_data"], val.get("class_labels")
        if labels is not None:
            check_labels(labels, "Class labels must be a dictionary of numbers to string")
        if not isinstance(boxes, list):
            raise TypeError("Boxes must be a list")
        for box in boxes:
            _check_box(box)
        if labels is None:
            labels = {each: f"class_{each}" for each in sorted({box["class_id"] for box in boxes})}
        self._val, self._key, self._labels = boxes, key, labels

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundingBoxes2D):
            return NotImplemented
        return self._val == other._val

    __hash__ = None  # type: ignore[assignment]

    @property
    def boxes(self) -> list[dict[str, Any]]:
        """The boxes, as they were given."""
        return self._val

    @property
    def class_labels(self) -> dict[Any, str]:
        """The names of the classes by id."""
        return self._labels

    def score_keys(self) -> set[str]:
        """The names of all scores that boxes have."""
        return {key for box in self._val for key in box.get("scores") or ()}

    def to_json(self, artifact: Artifact) -> list[dict[str, Any]]:
        """Its JSON value: the boxes; no file is needed."""
        del artifact
        return self._val

    @classmethod
    def from_json(cls, value: list[dict[str, Any]], artifact: Artifact) -> Self:
        """Make it again from its JSON value, which has no names of classes."""
        del artifact
        labels = {box["class_id"]: f"class_{box['class_id']}" for box in value if "class_id" in box}
        return cls({"box_data": value, "class_labels": labels}, "")


def check_labels(labels: Any, message: str) -> None:
    """Check that it maps numbers to text. Raises: TypeError with `message`."""
    if not isinstance(labels, dict) or not all(
        isinstance(key, Number) and isinstance(label, str) for key, label in labels.items()
    ):
        raise TypeError(message)


def _check_box(box: dict[str, Any]) -> None:
    if not _is_position(box.get("position")):
        raise TypeError(
            "Each box must contain a position with: middle, width, and height or"
            "                     \nminX, maxX, minY, maxY."
        )
    _check_scores(box.get("scores"))
    if "class_id" in box and not isinstance(box["class_id"], int):
        raise TypeError("A box's class_id must be an integer")
    if "box_caption" in box and not isinstance(box["box_caption"], str):
        raise TypeError("A box's caption must be a string")


def _check_scores(scores: Any) -> None:
    if scores is None:
        return
    if not isinstance(scores, dict):
        raise TypeError("Box scores must be a dictionary")
    for key, score in scores.items():
        if not isinstance(key, str):
            raise TypeError("A score key must be a string")
        if not isinstance(score, Number):
            raise TypeError("A score value must be a number")


def _is_position(position: Any) -> bool:
    if not isinstance(position, dict):
        return False
    middle = position.get("middle")
    if isinstance(middle, Sequence) and len(middle) == 2:
        numbers = [*middle, position.get("width"), position.get("height")]
    else:
        numbers = [position.get(corner) for corner in _CORNERS]
    return all(isinstance(number, Number) for number in numbers)


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
            self._content = LocalMedia(val["path"])
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
