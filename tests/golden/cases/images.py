"""Images from files, arrays and PIL, and what is drawn on them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .pictures import GREEN, STRIPE, green, stored
from .registry import seeded, value, write

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 0, "name": "none"}]
FILES = {
    "green.png": GREEN,
    "GREEN.PNG": GREEN,
    "noext": GREEN,
    "lying.tar.jpg": GREEN,
    "stripe.gif": STRIPE,
    "caf\u00e9 \u65e5.png": GREEN,
}
ARRAYS: dict[str, Any] = {
    "rgb": np.arange(12, dtype=np.uint8).reshape(2, 2, 3),
    "rgba": np.arange(16).reshape(2, 2, 4),
    "gray": np.arange(6).reshape(2, 3),
    "gray-3d": np.arange(6).reshape(2, 3, 1),
    "squeezed-to-gray": np.arange(6).reshape(1, 2, 3),
    "squeezed-batch": np.arange(24).reshape(1, 2, 4, 3),
    "only-0-1": np.array([[0, 1], [1, 0]], dtype=np.uint8),
    "zeros": np.zeros((2, 2), dtype=np.uint8),
    "unit-floats": np.array([[0, 0.5], [1, 0.25]]),
    "signed-floats": np.array([[-1, 0.5], [1, 0.25]]),
    "signed-ints": np.array([[-10, 0], [30, 300]]),
    "large-ints": np.array([[0, 255], [256, 3000]]),
    "large-floats": np.array([[0, 2.7], [255.9, 3000]]),
    "bool": np.array([[True, False]]),
    "uint16": np.array([[1, 500]], dtype=np.uint16),
    "float32": np.linspace(0, 1, 12, dtype=np.float32).reshape(2, 2, 3),
    "noise": np.random.RandomState(1).randint(0, 256, size=(17, 23, 3)),
}
POSITIONS: tuple[dict[str, Any], ...] = (
    {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4},
    {"middle": [1, 2], "width": 3, "height": 4},
    {"middle": (0.5, 0.25), "width": 0.5, "height": True},
)


@value("images.all-options")
def all_options(wandb: Any, root: Path) -> Any:
    classes = wandb.Classes(CLASSES)
    image = wandb.Image(green(root), caption="caf\u00e9", grouping=3, classes=classes)
    return stored(wandb, image)


for _number, _options in enumerate(
    [
        {"caption": "c"},
        {"caption": ""},
        {"grouping": 0},
        {"grouping": 1},
        {"classes": CLASSES},
        {"classes": []},
        {"classes": [{"id": 1, "name": "a", "extra": 2}, {"id": 1, "name": "z"}]},
        {"classes": [{"id": "one", "name": "a"}]},
        {"boxes": {}},
        {"masks": {}},
        {"mode": "L"},
    ]
):

    @value(f"images.options-{_number}")
    def options(wandb: Any, root: Path, given: Any = _options) -> Any:
        return stored(wandb, wandb.Image(green(root), **given))


for _number, (_name, _content) in enumerate(FILES.items()):

    @value(f"images.file-{_number}")
    def from_file(wandb: Any, root: Path, name: str = _name, content: bytes = _content) -> Any:
        write(root, {name: content})
        return stored(wandb, wandb.Image(str(root / name)))


def _array(wandb: Any, root: Path, array: Any) -> Any:
    return stored(wandb, wandb.Image(array))


for _label, _given in ARRAYS.items():
    value(f"images.array-{_label}")(partial(_array, array=_given))


@seeded("images.array-random", 40)
def random_array(wandb: Any, root: Path, seed: int) -> Any:
    """Arrays of a random shape, dtype and range."""
    rng = np.random.RandomState(seed)
    shape = (rng.randint(2, 9), rng.randint(2, 9), *[(), (3,), (4,)][rng.randint(3)])
    low, high = [(0, 2), (0, 256), (-50, 50), (0, 1000), (-1, 2), (-300, -2)][rng.randint(6)]
    array = rng.randint(low, high, size=shape) / rng.choice([1, 4])
    return stored(wandb, wandb.Image(array.astype(rng.choice(["int32", "float32", "float64"]))))


for _mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):

    @value(f"images.pil-{_mode.replace(';', '-')}")
    def from_pil(wandb: Any, root: Path, mode: str = _mode) -> Any:
        from PIL import Image  # noqa: PLC0415 - artfs has it as an extra

        return stored(wandb, wandb.Image(Image.new(mode, (3, 2))))


@value("images.of-image")
def of_image(wandb: Any, root: Path) -> Any:
    """A copy keeps caption and classes, and loses the boxes."""
    boxes = {"p": {"box_data": [{"position": POSITIONS[0], "class_id": 1}]}}
    first = wandb.Image(green(root), caption="first", grouping=2, boxes=boxes)
    artifact = stored(wandb, wandb.Image(first), "copy")
    artifact.add(wandb.Image(first, caption="second"), "renamed")
    return artifact


@value("images.one-file-many-images")
def one_file_many_images(wandb: Any, root: Path) -> Any:
    path = green(root)
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add_file(path, name="mine/own.png")
    artifact.add(wandb.Image(path), "one")
    artifact.add(wandb.Image(green(root, "other/green.png")), "two")
    artifact.add(wandb.Image(green(root, "third/green.png")), "three")
    return artifact


@value("images.pil-drawn")
def pil_drawn(wandb: Any, root: Path) -> Any:
    from PIL import Image  # noqa: PLC0415 - artfs has it as an extra

    return stored(wandb, wandb.Image(Image.effect_mandelbrot((9, 7), (-2, -1, 1, 1), 20)))


@value("images.set-item")
def set_item(wandb: Any, root: Path) -> Any:
    artifact = wandb.Artifact("golden", type="dataset")
    artifact["pictures/green"] = wandb.Image(green(root))
    return artifact


for _number, _set in enumerate(
    [CLASSES, [], [{"id": "x", "name": ""}], [{"id": 5, "name": "n", "color": [1, 2]}]]
):

    @value(f"images.classes-{_number}")
    def classes_alone(wandb: Any, root: Path, class_set: Any = _set) -> Any:
        return stored(wandb, wandb.Classes(class_set), "media/kinds")
