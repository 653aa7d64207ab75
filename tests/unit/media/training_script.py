"""Log a dataset with a table of images, masks and boxes; train; link the model; read all back."""

import json
import pathlib

import numpy as np
import wandb

CLASSES = wandb.Classes([{"id": 0, "name": "dark"}, {"id": 1, "name": "light"}])
SIZE = 8


def picture(rng: np.random.Generator) -> np.ndarray:
    """Return a dark picture with one light square."""
    pixels = rng.integers(0, 60, size=(SIZE, SIZE, 3), dtype=np.uint8)
    top, left = rng.integers(0, SIZE - 3, size=2)
    pixels[top : top + 3, left : left + 3] = 255
    return pixels


def example(pixels: np.ndarray) -> wandb.Image:
    """Return the picture with its square as a mask and as a box."""
    mask = (pixels.min(axis=2) == 255).astype(int)
    rows, columns = np.nonzero(mask)
    box = {
        "position": {
            "minX": int(columns.min()),
            "maxX": int(columns.max()) + 1,
            "minY": int(rows.min()),
            "maxY": int(rows.max()) + 1,
        },
        "class_id": 1,
        "domain": "pixel",
        "scores": {"certainty": 1.0},
    }
    return wandb.Image(
        pixels,
        caption="a square",
        classes=CLASSES,
        boxes={"truth": {"box_data": [box], "class_labels": {1: "light"}}},
        masks={"truth": {"mask_data": mask, "class_labels": {0: "dark", 1: "light"}}},
    )


with wandb.init(project="squares", job_type="prepare") as run:
    rng = np.random.default_rng(7)
    table = wandb.Table(columns=["id", "image", "brightness"])
    for number in range(12):
        pixels = picture(rng)
        table.add_data(f"square-{number}", example(pixels), float(pixels.mean()))
    dataset = wandb.Artifact("squares", type="dataset", metadata={"size": SIZE})
    dataset.add(table, "examples")
    run.log_artifact(dataset, aliases=["prepared"])

with wandb.init(project="squares", job_type="train", config={"steps": 20}) as run:
    dataset = run.use_artifact("squares:prepared")
    examples = dataset.get("examples")
    weight = 0.0
    for _ in range(run.config["steps"]):
        for _, (_, image, brightness) in examples.iterrows():
            weight += 0.1 * (float(np.asarray(image.image).mean()) / brightness - weight)
    pathlib.Path("model.json").write_text(json.dumps({"weight": weight}))
    model = wandb.Artifact("squares-model", type="model", metadata={"weight": weight})
    model.add_file("model.json")
    run.log_artifact(model)
    model.wait()
    run.link_artifact(model, "model-registry/squares", aliases=["production"])

with wandb.init(project="squares", job_type="check") as run:
    model = run.use_artifact("model-registry/squares:production")
    weights = json.loads(pathlib.Path(model.get_path("model.json").download()).read_text())
    assert abs(weights["weight"] - 1) < 0.1, weights
    assert model.metadata == weights
    examples = run.use_artifact("squares:latest").get("examples")
    for _, (name, image, brightness) in examples.iterrows():
        pixels = np.asarray(image.image)
        assert pixels.shape == (SIZE, SIZE, 3), name
        assert float(pixels.mean()) == brightness, name
        mask = np.asarray(image.masks["truth"].to_data_array())
        box = image.boxes["truth"].boxes[0]["position"]
        inside = mask[box["minY"] : box["maxY"], box["minX"] : box["maxX"]]
        assert mask.sum() == inside.sum() == 9, name
    print(len(examples.data), "examples read back")
