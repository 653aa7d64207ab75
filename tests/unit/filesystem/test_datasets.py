"""Hugging Face `datasets` reads versions by their addresses and from a mount, and writes elsewhere.

It has an environment of its own, which scripts/hunt makes: it wants another fsspec than others do.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.mounts import ended_at_the_end, runtime

__all__ = ["runtime"]

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv" / "datasets" / "bin" / "python"

SETTING = """
import gc
from pathlib import Path

import artfs
import datasets
from PIL import Image

datasets.disable_progress_bars()
for kind in ("cat", "dog"):
    for number in range(3):
        place = Path("images", "train", kind, f"{number}.png")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 20, 0, 0)).save(place)
with artfs.init(project="demo") as run:
    images = artfs.Artifact("images", "dataset")
    images.add_dir("images")
    run.log_artifact(images)
    columns = {"x": list(range(1000)), "text": [str(each) for each in range(1000)]}
    datasets.Dataset.from_dict(columns).save_to_disk("saved")
    saved = artfs.Artifact("saved", "dataset")
    saved.add_dir("saved")
    run.log_artifact(saved)


def doubled(row):
    return {"y": 2 * row["x"]}


def pixels(found):
    return sorted((each["label"], each["image"].getpixel((0, 0))[0]) for each in found)


ALL = [(label, red) for label in (0, 1) for red in (0, 20, 40)]
"""

ADDRESSES = """
FILES = "artfs://demo/images:v0/train/**"
for streaming in (True, False):
    found = datasets.load_dataset(
        "imagefolder", data_files=FILES, split="train", streaming=streaming
    )
    assert pixels(found) == ALL, pixels(found)
rows = datasets.load_from_disk("artfs://demo/saved:v0")
assert (len(rows), rows[7]) == (1000, {"x": 7, "text": "7"})
assert rows.map(doubled)[3]["y"] == 6
"""

MOUNTED = """
with artfs.mount("demo/images:v0") as place:
    found = datasets.load_dataset("imagefolder", data_dir=str(place), split="train")
    assert pixels(found) == ALL, pixels(found)
    del found
    gc.collect()
with artfs.mount("demo/saved:v0") as place:
    rows = datasets.load_from_disk(str(place))
    for workers in (None, 2):
        elsewhere = str(Path(f"mapped-{workers}.arrow").absolute())
        mapped = rows.map(doubled, cache_file_name=elsewhere, num_proc=workers)
        assert [mapped[at]["y"] for at in (0, 999)] == [0, 1998]
        assert str(place) not in str(mapped.cache_files)
    del rows, mapped
    gc.collect()
"""


def run(directory: Path, code: str) -> None:
    """Run a script with `datasets`, over a store of its own. It asks no other machine."""
    script = directory / "script.py"
    script.write_text(SETTING + code)
    environment = {name: value for name, value in os.environ.items() if name != "ARTFS_RUN_ID"}
    places = {
        "ARTFS_STORE": str(directory / "store"),
        "HOME": str(directory),
        "HF_HOME": str(directory / "huggingface"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "XDG_CACHE_HOME": str(directory / "cache"),
        "XDG_STATE_HOME": str(directory / "state"),
    }
    done = subprocess.run(
        [PYTHON, str(script)],
        env=environment | places,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_images_and_saved_datasets_are_read_by_their_addresses(tmp_path: Path) -> None:
    run(tmp_path, ADDRESSES)


def test_they_are_read_from_a_mount_and_a_map_writes_elsewhere(
    tmp_path: Path, runtime: Path
) -> None:
    with ended_at_the_end(runtime):
        run(tmp_path, MOUNTED)
