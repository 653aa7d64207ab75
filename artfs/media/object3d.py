"""`artfs.Object3D`: points, boxes and meshes in space."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from artfs.errors import InvalidArgument
from artfs.media.media_bytes import LocalMedia, MadeFile, as_text
from artfs.media.types.media import MediaFileType
from artfs.media.value import Media, is_array, numpy

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact

POINTS_SUFFIX = "pts.json"
"""The one kind of file that an artifact can hold."""

FILE_TYPES = ("obj", "gltf", "glb", "babylon", "stl", POINTS_SUFFIX)

_POINT_CLOUD = "lidar/beta"


class Object3D(Media):
    """A cloud of points.

    Args:
        data_or_path: A path or an open file; a numpy array of points n x 3 (x, y, z), n x 4
            (with a category) or n x 6 (with a colour); or a dict with `type` "lidar/beta",
            and numpy arrays of `points`, `boxes` and `vectors`.
        file_type: Of an open file without a name: what it is, such as "pts.json".

    Raises:
        FileNotFoundError: for a path where nothing is.
        ValueError: for data of another kind or shape.

    Example:
        >>> artifact.add(artfs.Object3D(numpy.array([[0, 0, 1], [1, 0, 0]])), "points")
    """

    artifact_suffix: ClassVar[str] = "object3D-file"
    media_directory: ClassVar[str] = "media/object3D"
    declared_type: ClassVar[Type] = MediaFileType("object3D-file")

    def __init__(self, data_or_path: Any, *, file_type: str | None = None) -> None:
        data_or_path = as_text(data_or_path)
        if hasattr(data_or_path, "name") and not is_array(data_or_path):
            data_or_path = data_or_path.name
        if hasattr(data_or_path, "read"):
            self._read(data_or_path, file_type)
        elif isinstance(data_or_path, str):
            self._extension = _extension(data_or_path)
            self._content = LocalMedia(data_or_path)
        elif isinstance(data_or_path, dict) and "type" in data_or_path:
            self._make(_scene(data_or_path))
        elif is_array(data_or_path):
            self._make(_points(data_or_path))
        else:
            raise InvalidArgument("data must be a numpy array, dict or a file object")

    @classmethod
    def from_file(cls, data_or_path: Any, file_type: str | None = None) -> Self:
        """An object from a path or an open file."""
        return cls(data_or_path, file_type=file_type)

    @classmethod
    def from_numpy(cls, data: Any) -> Self:
        """A cloud of points from a numpy array. Raises: ValueError for another kind or shape."""
        if not is_array(data):
            raise InvalidArgument("`data` must be a numpy array")
        return cls(data)

    @classmethod
    def from_point_cloud(
        cls,
        points: Sequence[Any],
        boxes: Sequence[Any],
        vectors: Sequence[Any] | None = None,
        point_cloud_type: str = _POINT_CLOUD,
    ) -> Self:
        """A scene of points, boxes and vectors. Raises: ValueError for another type of scene."""
        if point_cloud_type != _POINT_CLOUD:
            raise InvalidArgument("Point cloud type not supported")
        np = numpy("Object3D")
        return cls(
            {
                "type": point_cloud_type,
                "points": np.array(points),
                "boxes": np.array(boxes),
                "vectors": np.array([] if vectors is None else vectors),
            }
        )

    def _read(self, file: Any, file_type: str | None) -> None:
        if hasattr(file, "seek"):
            file.seek(0)
        text = file.read()
        if file_type is None:
            raise InvalidArgument("Must pass file type keyword argument when using io objects.")
        if file_type not in FILE_TYPES:
            raise InvalidArgument(
                f"file type {file_type!r}", f"must be one of {', '.join(FILE_TYPES)}"
            )
        self._extension = file_type
        self._content = MadeFile(
            text if isinstance(text, bytes) else text.encode(), f".{file_type}"
        )

    def _make(self, value: Any) -> None:
        self._extension = POINTS_SUFFIX
        # Bit for bit as W&B writes it: such files get the same name and digest.
        text = json.dumps(value, separators=(",", ":"), sort_keys=True, indent=4)
        self._content = MadeFile(text.encode(), f".{POINTS_SUFFIX}")

    def to_json(self, artifact: Artifact) -> dict[str, Any]:
        """Its JSON value, after adding its file to the draft `artifact`.

        Raises: InvalidArgument for anything but points.
        """
        if self._extension != POINTS_SUFFIX:
            raise InvalidArgument("Non-point cloud 3D objects are not yet supported with Artifacts")
        return super().to_json(artifact)

    def _restore(self, value: dict[str, Any], artifact: Artifact) -> None:
        super()._restore(value, artifact)
        self._extension = POINTS_SUFFIX


def _extension(path: str) -> str:
    for file_type in FILE_TYPES:
        if path.endswith(file_type):
            return file_type
    raise InvalidArgument(
        f"file {path!r}", f"Object3D takes files of the types {', '.join(FILE_TYPES)}"
    )


def _scene(scene: dict[str, Any]) -> dict[str, Any]:
    if scene["type"] != _POINT_CLOUD:
        raise InvalidArgument(f"Type not supported, only '{_POINT_CLOUD}' is currently supported")
    return {
        "type": scene["type"],
        **{
            key: scene[key].tolist() if key in scene else []
            for key in ("vectors", "points", "boxes")
        },
    }


def _points(array: Any) -> list[Any]:
    if array.ndim != 2 or array.shape[1] not in {3, 4, 6}:
        raise InvalidArgument(
            "Object3D",
            f"takes arrays of n x 3 (x y z), n x 4 (x y z c, a category from 1 to 14) or "
            f"n x 6 (x y z r g b), not of {' x '.join(map(str, array.shape))}",
        )
    points: list[Any] = array.tolist()
    return points
