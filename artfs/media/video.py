"""`artfs.Video`: a moving picture."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from artfs.errors import InvalidArgument
from artfs.media.media_bytes import LocalMedia, MadeFile, as_text
from artfs.media.types.media import MediaFileType
from artfs.media.value import Media, numpy, require

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact

FORMATS = ("gif", "mp4", "webm", "ogg")


class EncodedVideo(msgspec.Struct, frozen=True):
    """The bytes of a video file, and the size of its pictures."""

    data: bytes
    width: int
    height: int


def encode_frames(frames: Any, fps: int, suffix: str) -> EncodedVideo:
    """The video of an array: time x channels x height x width, or a batch of them, tiled.

    Blocks: as long as moviepy takes. Raises: InvalidArgument for another shape; Unsupported
    where moviepy is not installed.
    """
    pictures = tiled(frames)
    clips = require("moviepy", "Video of an array")
    if not hasattr(clips, "ImageSequenceClip"):  # before its version 2
        clips = require("moviepy.editor", "Video of an array")
    _, height, width, _ = pictures.shape
    clip = clips.ImageSequenceClip(list(pictures), fps=fps)
    with tempfile.TemporaryDirectory(prefix="artfs-video-") as directory:
        path = Path(directory) / f"video.{suffix}"
        if suffix == "gif":
            clip.write_gif(str(path), fps=fps, logger=None)
        else:
            clip.write_videofile(str(path), fps=fps, logger=None)
        return EncodedVideo(path.read_bytes(), width, height)


def tiled(frames: Any) -> Any:
    """The pictures in order, as time x height x width x channels, of bytes.

    A batch becomes a grid of as many rows as columns, or half as many; what is left is black.
    Raises: InvalidArgument for fewer than four dimensions, or more than five.
    """
    np = numpy("Video")
    frames = np.asarray(frames)
    if frames.ndim < 4:
        raise InvalidArgument("Video must be atleast 4 dimensions: time, channels, height, width")
    if frames.ndim > 5 or 0 in frames.shape:
        raise InvalidArgument(
            f"Video of the shape {frames.shape}",
            "takes time, channels, height and width, maybe with a batch before them",
        )
    if frames.ndim == 4:
        frames = frames[None]
    count, steps, channels, height, width = frames.shape
    bits = (count - 1).bit_length()
    rows, columns = 1 << bits // 2, 1 << bits - bits // 2
    padded = np.zeros((rows * columns, steps, channels, height, width), dtype=np.uint8)
    padded[:count] = frames.astype(np.uint8)
    grid = padded.reshape(rows, columns, steps, channels, height, width)
    return grid.transpose(2, 0, 4, 1, 5, 3).reshape(steps, rows * height, columns * width, channels)


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
            self._content = LocalMedia(data_or_path)
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
