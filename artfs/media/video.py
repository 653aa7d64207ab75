"""`artfs.Video`: a moving picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.errors import InvalidArgument
from artfs.media.content import LocalFile, MadeFile, as_text
from artfs.media.frames import encode_frames
from artfs.media.types.media import MediaFileType
from artfs.media.value import Media

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact

FORMATS = ("gif", "mp4", "webm", "ogg")


class Video(Media):
    """A moving picture.

    Args:
        data_or_path: A path, the bytes of a file in an `io.BytesIO`, or a numpy array of bytes:
            time x channels x height x width, maybe with a batch before it, which is tiled.
        caption: Text to show with it.
        fps: Pictures per second, of an array.
        format: gif, mp4, webm or ogg. Default: gif.

    Raises:
        ValueError: for another format, or data of another kind or shape.
        Unsupported: for an array, if moviepy is not installed.

    Example:
        >>> artifact.add(artfs.Video("run.mp4", caption="a run"), "run")
    """

    artifact_suffix: ClassVar[str] = "video-file"
    media_directory: ClassVar[str] = "media/videos"
    declared_type: ClassVar[Type] = MediaFileType("video-file")

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: int = 4,
        format: str | None = None,  # noqa: A002 - W&B's name
    ) -> None:
        data_or_path = as_text(data_or_path)
        self._caption = caption
        self._width: int | None = None
        self._height: int | None = None
        suffix = _checked_format(format or FORMATS[0])
        if isinstance(data_or_path, io.BytesIO):
            self._content = MadeFile(data_or_path.getvalue(), f".{suffix}")
        elif isinstance(data_or_path, str):
            _checked_format(data_or_path.rpartition(".")[2].lower())
            self._content = LocalFile(data_or_path)
        elif hasattr(data_or_path, "numpy") or hasattr(data_or_path, "ndim"):
            is_tensor = hasattr(data_or_path, "numpy")
            frames = data_or_path.numpy() if is_tensor else data_or_path
            encoded = encode_frames(frames, fps, suffix)
            self._content = MadeFile(encoded.data, f".{suffix}")
            self._width, self._height = encoded.width, encoded.height
        else:
            raise InvalidArgument("Video", "takes a path, an io.BytesIO or a numpy array")

    def to_json(self, artifact: Artifact) -> dict[str, Any]:
        """Its JSON value, after adding its file to the draft `artifact`."""
        optional = {
            "caption": self._caption or None,
            "width": self._width,
            "height": self._height,
        }
        return super().to_json(artifact) | {
            key: each for key, each in optional.items() if each is not None
        }

    def _restore(self, value: dict[str, Any], artifact: Artifact) -> None:
        super()._restore(value, artifact)
        self._width, self._height = value.get("width"), value.get("height")


def _checked_format(name: str) -> str:
    if name not in FORMATS:
        raise InvalidArgument(f"video format {name!r}", f"must be one of {', '.join(FORMATS)}")
    return name
