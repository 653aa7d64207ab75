"""`artfs.data_types.BoundingBoxes2D`: boxes drawn on an image."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any, ClassVar, Self

from artfs.media.types.media import MediaFileType
from artfs.media.value import Value

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact

_CORNERS = ("minX", "maxX", "minY", "maxY")


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
