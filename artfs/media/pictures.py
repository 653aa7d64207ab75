"""Pictures from what holds pixels: arrays, tensors, figures."""

from __future__ import annotations

import io
from typing import Any

from artfs.errors import InvalidArgument
from artfs.media.extras import is_from, numpy, require

_MODES = {3: "RGB", 4: "RGBA"}
_GRID_COLUMNS = 8
_GRID_PADDING = 2


def pillow() -> Any:
    """PIL.Image. Raises: Unsupported where it is not installed."""
    return require("PIL.Image", "Image")


def picture(source: Any, mode: str | None) -> Any:
    """The PIL image of a PIL image, matplotlib figure or artist, tensor or array.

    Raises: InvalidArgument for a shape that is no picture; AttributeError for another object.
    """
    if is_from(source, "matplotlib") or getattr(source, "__name__", "") == "matplotlib.pyplot":
        return _of_figure(source)
    if is_from(source, "PIL"):
        return source
    if is_from(source, "torch"):
        return pillow().fromarray(_tensor_pixels(source))
    if hasattr(source, "numpy"):
        source = source.numpy()
    if source.ndim > 2:
        source = source.squeeze()
    mode = mode or _mode(source)
    height, width = source.shape[:2]
    return pillow().frombytes(mode, (width, height), _bytes_of(source).tobytes())


def _of_figure(source: Any) -> Any:
    if hasattr(source, "gcf"):  # pyplot itself stands for its current figure
        source = source.gcf()
    elif not hasattr(source, "savefig"):
        source = source.figure
    buffer = io.BytesIO()
    source.savefig(buffer, format="png")
    image = pillow().open(buffer, formats=["PNG"])
    image.load()
    return image


def _mode(array: Any) -> str:
    if array.ndim == 2:
        return "L"
    mode = _MODES.get(array.shape[-1]) if array.ndim == 3 else None
    if mode is None:
        raise InvalidArgument(f"Un-supported shape for image conversion {list(array.shape)}")
    return mode


def _bytes_of(array: Any) -> Any:
    """Pixels as bytes: what is negative, or nowhere above 1, is scaled; the values decide."""
    np = numpy("Image")
    with np.errstate(invalid="ignore", divide="ignore"):
        if np.min(array) < 0:
            array = (array - np.min(array)) / (np.max(array) - np.min(array))
        if np.max(array) <= 1.0:
            array = (array * 255).astype(np.int32)
        return array.clip(0, 255).astype(np.uint8)


def _tensor_pixels(tensor: Any) -> Any:
    """Pixels of a torch tensor: one picture (HW or CHW) or a batch of them (NCHW) as a grid.

    The values are scaled to the whole range, as torchvision's `make_grid` does for W&B.
    """
    np = numpy("Image")
    batch = np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
    while batch.ndim < 4:
        batch = batch[None]
    if batch.ndim > 4 or batch.shape[1] not in {1, 3}:
        raise InvalidArgument(f"Un-supported shape for image conversion {list(tensor.shape)}")
    if batch.shape[1] == 1:
        batch = np.repeat(batch, 3, axis=1)
    low, high = batch.min(), batch.max()
    batch = (batch - low) / max(high - low, 1e-5)
    return (_grid(batch).transpose(1, 2, 0) * 255).clip(0, 255).astype(np.uint8)


def _grid(batch: Any) -> Any:
    np = numpy("Image")
    count, channels, height, width = batch.shape
    if count == 1:
        return batch[0]
    columns = min(_GRID_COLUMNS, count)
    rows = -(-count // columns)
    height, width = height + _GRID_PADDING, width + _GRID_PADDING
    grid = np.zeros((channels, rows * height + _GRID_PADDING, columns * width + _GRID_PADDING))
    for number, image in enumerate(batch):
        top = number // columns * height + _GRID_PADDING
        left = number % columns * width + _GRID_PADDING
        grid[:, top : top + image.shape[1], left : left + image.shape[2]] = image
    return grid


def png_of(image: Any) -> bytes:
    """A PIL image as PNG, without the transparency that its source noted."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=None)
    return buffer.getvalue()
