"""Bounding boxes and masks, alone and on images, and image columns of tables."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np

from .images import CLASSES, POSITIONS
from .pictures import green, stored
from .registry import seeded, value

if TYPE_CHECKING:
    from pathlib import Path

LABELS = {1: "cat", 2: "dog", 9: "caf\u00e9"}
BOX: dict[str, Any] = {"position": POSITIONS[0], "class_id": 1}
FULL = BOX | {"box_caption": "x", "scores": {"acc": 0.5}, "domain": "pixel", "mine": [1]}


def _boxes(rng: random.Random, count: int) -> dict[str, Any]:
    """Return box data of `count` boxes; at most one score key, whose order is then defined."""
    boxes = []
    for _ in range(count):
        box: dict[str, Any] = {"position": rng.choice(POSITIONS), "class_id": rng.randrange(4)}
        if rng.random() < 0.5:
            box["scores"] = {"acc": rng.choice((1, 0.25, True))}
        if rng.random() < 0.5:
            box["box_caption"] = rng.choice(("", "cat", "caf\u00e9"))
        if rng.random() < 0.3:
            box["domain"] = "pixel"
        boxes.append(box)
    data: dict[str, Any] = {"box_data": boxes}
    if rng.random() < 0.5:
        data["class_labels"] = dict(rng.sample(sorted(LABELS.items()), rng.randrange(1, 4)))
    return data


def _mask(rng: random.Random) -> dict[str, Any]:
    """Return mask data of a few small classes."""
    data = np.array([[rng.choice((0, 1, 2, 200)) for _ in range(4)] for _ in range(3)])
    mask: dict[str, Any] = {"mask_data": data}
    if rng.random() < 0.5:
        mask["class_labels"] = {0: "none", 1: "cat", 2: "dog", 200: "sky"}
    return mask


for _number, _data in enumerate(
    [
        {"box_data": [BOX]},
        {"box_data": [FULL]},
        {"box_data": [BOX | {"position": POSITIONS[1]}, BOX | {"position": POSITIONS[2]}]},
        {"box_data": []},
        {"box_data": [BOX], "class_labels": LABELS},
        {"box_data": [BOX], "class_labels": {}},
        {"box_data": [{"position": POSITIONS[0]}], "class_labels": LABELS},
        {"box_data": [BOX | {"class_id": True, "scores": {}}]},
    ]
):

    @value(f"overlays.boxes-{_number}")
    def boxes_alone(wandb: Any, root: Path, data: Any = _data) -> Any:
        return stored(wandb, wandb.data_types.BoundingBoxes2D(data, "key"))

    @value(f"overlays.boxes-on-image-{_number}")
    def boxes_on_image(wandb: Any, root: Path, data: Any = _data) -> Any:
        boxes = {"predictions": data, "truth": {"box_data": [FULL | {"class_id": 7}]}}
        return stored(wandb, wandb.Image(green(root), boxes=boxes, classes=CLASSES))


@value("overlays.boxes-object")
def boxes_object(wandb: Any, root: Path) -> Any:
    boxes = wandb.data_types.BoundingBoxes2D({"box_data": [BOX], "class_labels": LABELS}, "other")
    return stored(wandb, wandb.Image(green(root), boxes={"p": boxes}))


for _number, _array in enumerate(
    [
        np.array([[0, 1], [2, 200]]),
        np.array([[255]], dtype=np.uint8),
        np.array([[1.7, 0.2]]),
        np.array([[True, False]]),
        np.zeros((5, 3), dtype=np.int64),
    ]
):

    @value(f"overlays.mask-{_number}")
    def mask_alone(wandb: Any, root: Path, array: Any = _array) -> Any:
        return stored(wandb, wandb.data_types.ImageMask({"mask_data": array}, "key"))

    @value(f"overlays.mask-on-image-{_number}")
    def mask_on_image(wandb: Any, root: Path, array: Any = _array) -> Any:
        masks = {"m": {"mask_data": array}, "n": {"mask_data": array, "class_labels": LABELS}}
        return stored(wandb, wandb.Image(green(root), masks=masks))


@value("overlays.mask-file")
def mask_file(wandb: Any, root: Path) -> Any:
    return stored(wandb, wandb.data_types.ImageMask({"path": green(root)}, "key"))


@value("overlays.mask-file-on-image")
def mask_file_on_image(wandb: Any, root: Path) -> Any:
    masks = {"m": {"path": green(root, "mask.png"), "class_labels": {5: "lost"}}}
    return stored(wandb, wandb.Image(green(root), masks=masks, classes=CLASSES))


@value("overlays.mask-object")
def mask_object(wandb: Any, root: Path) -> Any:
    mask = wandb.data_types.ImageMask({"mask_data": np.eye(3, dtype=np.uint8)}, "other")
    return stored(wandb, wandb.Image(green(root), masks={"m": mask}))


@seeded("overlays.random-boxes", 60)
def random_boxes(wandb: Any, root: Path, seed: int) -> Any:
    """Images with up to three layers of boxes; some lack classes and raise."""
    rng = random.Random(f"artfs-golden-boxes-{seed}")
    layers = {f"layer {n}": _boxes(rng, rng.randrange(4)) for n in range(rng.randrange(1, 4))}
    classes = CLASSES if rng.random() < 0.4 else None
    image = wandb.Image(green(root), boxes=layers, classes=classes, caption=rng.choice((None, "c")))
    return stored(wandb, image)


@seeded("overlays.random-table", 60)
def random_table(wandb: Any, root: Path, seed: int) -> Any:
    """Image columns: the type unites the layers and classes of all rows."""
    rng = random.Random(f"artfs-golden-overlays-{seed}")
    table = wandb.Table(columns=["n", "image"])
    for number in range(rng.randrange(1, 5)):
        boxes = {rng.choice("pq"): _boxes(rng, rng.randrange(1, 3))}
        masks = {"m": _mask(rng)} if rng.random() < 0.2 else None
        classes = rng.choice((None, CLASSES))
        options = {} if rng.random() < 0.2 else {"boxes": boxes, "masks": masks}
        table.add_data(number, wandb.Image(green(root), classes=classes, **options))
    return stored(wandb, table)
