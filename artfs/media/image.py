"""`artfs.Image`: a picture, and what is drawn on it."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.errors import InvalidArgument
from artfs.media.annotations import BoundingBoxes2D, Classes, ImageMask
from artfs.media.media_bytes import LocalMedia, MadeFile, UrlContent, as_text, is_url
from artfs.media.types.media import ImageFileType
from artfs.media.value import Media, is_from, numpy, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact

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


def _encoded(image: Any, file_type: str) -> bytes:
    """A PIL image in another format; one that knows no transparency loses it."""
    buffer = io.BytesIO()
    if file_type in {"jpg", "jpeg", "bmp"} and image.mode not in {"RGB", "L"}:
        image = image.convert("RGB")
    image.save(buffer, "JPEG" if file_type in {"jpg", "jpeg"} else file_type.upper())
    return buffer.getvalue()


class Image(Media):
    """A picture, with boxes, masks and classes.

    Args:
        data_or_path: A path, a URL (`https://`, `s3://`, `gs://`), a PIL image, a matplotlib
            figure, a torch tensor, a numpy array (height x width, x 3 or x 4), or another Image.
        mode: The PIL mode of an array. Default: by its shape.
        caption: Text to show with it.
        grouping: How many of the pictures after it belong to it.
        classes: What the ids in boxes and masks mean: Classes, or a list of dicts.
        boxes: Layers of boxes by name; see BoundingBoxes2D.
        masks: Layers of masks by name; see ImageMask.
        file_type: How an array is encoded: png (the default), jpg, jpeg, gif, bmp.

    Raises:
        FileNotFoundError: for a path where nothing is.
        ValueError: for an array of another shape, or boxes or masks that are no dict.
        Unsupported: if Pillow is not installed.

    Example:
        >>> artifact.add(artfs.Image("cat.png", caption="my cat"), "cat")
    """

    artifact_suffix: ClassVar[str] = "image-file"
    media_directory: ClassVar[str] = "media/images"
    declared_type: ClassVar[Type] = ImageFileType()

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Classes | Sequence[dict[str, Any]] | None = None,
        boxes: dict[str, BoundingBoxes2D | dict[str, Any]] | None = None,
        masks: dict[str, ImageMask | dict[str, Any]] | None = None,
        file_type: str | None = None,
    ) -> None:
        if file_type not in {None, "png", "jpg", "jpeg", "gif", "bmp"}:
            raise InvalidArgument(f"file_type {file_type!r}", "is none of png, jpg, jpeg, gif, bmp")
        data_or_path = as_text(data_or_path)
        self._format: str | None = None
        self._width: int | None = None
        self._height: int | None = None
        self._grouping: int | None = None
        self._known_classes: Classes | None = None
        self._classes_file: tuple[dict[str, Any], Artifact] | None = None
        if isinstance(data_or_path, Image):
            self._copy(data_or_path)
        elif isinstance(data_or_path, str) and is_url(data_or_path):
            self._content = UrlContent(data_or_path)
            self._format = self._content.name.rpartition(".")[2]
        elif isinstance(data_or_path, str):
            self._open(data_or_path)
        else:
            self._make(picture(data_or_path, mode), file_type or "png")
        self._caption = caption or self._caption
        self._grouping = grouping or self._grouping
        self._boxes = _layers(boxes, BoundingBoxes2D, "boxes")
        self._masks = _layers(masks, ImageMask, "masks")
        self._merge_classes(classes)

    def _copy(self, other: Image) -> None:
        self._content, self._format = other._content, other._format
        self._width, self._height = other._width, other._height
        self._caption, self._grouping = other._caption, other._grouping
        self._known_classes, self._classes_file = other._known_classes, other._classes_file

    def _open(self, path: str) -> None:
        self._content = LocalMedia(path)
        with pillow().open(path) as image:
            self._width, self._height = image.size
        self._format = _extension(path)

    def _make(self, image: Any, file_type: str) -> None:
        data = png_of(image) if file_type == "png" else _encoded(image, file_type)
        self._content = MadeFile(data, f".{file_type}")
        self._width, self._height = image.size
        self._format = file_type

    def _merge_classes(self, classes: Classes | Sequence[dict[str, Any]] | None) -> None:
        """All classes by id: those of boxes, of masks, then `classes`, which names them again."""
        named: list[tuple[Any, str]] = []
        for layer in (*self._boxes.values(), *self._masks.values()):
            named.extend(layer.class_labels.items())
        if classes is not None:
            listed = classes.class_set if isinstance(classes, Classes) else classes
            named.extend((each["id"], each["name"]) for each in listed)
        if named:
            merged = {_plain(key): {"id": _plain(key), "name": name} for key, name in named}
            self._classes_file = None
            self._known_classes = Classes(merged.values())

    @property
    def format(self) -> str | None:
        """The suffix of its file, such as `png`."""
        return self._format

    @property
    def image(self) -> Any:
        """The PIL image; None for a URL. Blocks: reads the file, where it is in an artifact."""
        if isinstance(self._content, UrlContent):
            return None
        with self.open() as file, pillow().open(file) as image:
            image.load()
            return image

    @property
    def classes(self) -> Classes | None:
        """The classes of boxes and masks. Blocks: reads their file, where it is in an artifact."""
        if self._known_classes is None and self._classes_file is not None:
            self._known_classes = Classes.from_reference(*self._classes_file)
        return self._known_classes

    @property
    def _classes(self) -> Classes | None:
        return self.classes

    @property
    def boxes(self) -> dict[str, BoundingBoxes2D]:
        """The layers of boxes."""
        return self._boxes

    @property
    def masks(self) -> dict[str, ImageMask]:
        """The layers of masks."""
        return self._masks

    def to_data_array(self) -> Any:
        """The pixels as a numpy array. Blocks: reads the file."""
        return numpy("Image").array(self.image)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        if isinstance(self._content, UrlContent) or isinstance(other._content, UrlContent):
            return self._sha256 == other._sha256
        return self._looks() == other._looks() and (
            self._sha256 == other._sha256 or self._pixels() == other._pixels()
        )

    def __hash__(self) -> int:
        return hash((self._width, self._height))

    def _looks(self) -> tuple[object, ...]:
        return self._grouping, self._caption, self._width, self._height, self.classes

    def _pixels(self) -> tuple[str, bytes]:
        image = self.image
        return image.mode, image.tobytes()

    @classmethod
    def all_captions(cls, images: Sequence[Image]) -> list[str | None] | bool:
        """The captions of images, or False where the first has none.

        Example:
            >>> artfs.Image.all_captions([artfs.Image(pixels, caption="cat")])
            ['cat']
        """
        if not images or not images[0]._caption:  # noqa: SLF001 - its own class
            return False
        return [image._caption for image in images]  # noqa: SLF001 - its own class

    @classmethod
    def captions(cls, images: Sequence[Image]) -> list[str | None] | bool:
        """Another name of `all_captions`."""
        return cls.all_captions(images)

    def column_type(self) -> ImageFileType:
        """The type of a cell that holds this image."""
        boxes, classes = self._boxes, self.classes
        return ImageFileType(
            {key: list(layer.class_labels) for key, layer in boxes.items()},
            frozenset(key for layer in boxes.values() for key in layer.score_keys()),
            {key: list(layer.class_labels) for key, layer in self._masks.items()},
            {} if classes is None else {str(e["id"]): e["name"] for e in classes.class_set},
        )

    def to_json(self, artifact: Artifact) -> dict[str, Any]:
        """Its JSON value, after adding its file, masks and classes to the draft `artifact`.

        Raises: InvalidArgument for boxes or masks of which no class is known.
        """
        value = super().to_json(artifact) | {"format": self._format}
        optional = {
            "width": self._width,
            "height": self._height,
            "caption": self._caption or None,
            "grouping": self._grouping or None,
        }
        value |= {key: each for key, each in optional.items() if each is not None}
        classes = self.classes
        if classes is not None:
            # The name that W&B gives it: a hash of how Python shows the list.
            name = hashlib.md5(str(classes.class_set).encode()).hexdigest()
            value["classes"] = classes.add_to(artifact, f"media/classes/{name}_cls")
        elif self._boxes or self._masks:
            raise InvalidArgument(
                "Image", "has boxes or masks of unknown classes", hint="pass `classes`"
            )
        for key, layers in (("boxes", self._boxes), ("masks", self._masks)):
            if layers:
                value[key] = {name: layer.to_json(artifact) for name, layer in layers.items()}
        return value

    def _restore(self, value: dict[str, Any], artifact: Artifact) -> None:
        super()._restore(value, artifact)
        self._format, self._grouping = value.get("format"), value.get("grouping")
        self._width, self._height = value.get("width"), value.get("height")
        self._known_classes = None
        classes = value.get("classes")
        self._classes_file = None if classes is None else (classes, artifact)
        self._boxes = {
            key: BoundingBoxes2D.from_json(each, artifact)
            for key, each in (value.get("boxes") or {}).items()
        }
        self._masks = {
            key: ImageMask.from_json(each, artifact)
            for key, each in (value.get("masks") or {}).items()
        }


def _plain(key: Any) -> Any:
    # JSON does not know the numbers of numpy.
    return key.item() if hasattr(key, "item") else key


def _extension(path: str) -> str:
    name = path.rpartition("/")[2].lstrip(".")
    return name.rpartition(".")[2] if "." in name else ""


def _layers(layers: Any, kind: type[Any], what: str) -> dict[str, Any]:
    if not layers:
        return {}
    if not isinstance(layers, dict):
        raise InvalidArgument(f'Images "{what}" argument must be a dictionary')
    return {
        key: layer if isinstance(layer, kind) else kind(layer, key) for key, layer in layers.items()
    }
