"""Video files from arrays of pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from artfs.errors import InvalidArgument
from artfs.media.extras import numpy, require


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
