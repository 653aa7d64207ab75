"""Hugging Face `datasets` reads versions by their addresses and from a mount, and writes elsewhere.

It has an environment of its own, which scripts/hunt makes: it wants another fsspec than others do.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from artfs.model import BLOCK_SIZE_BYTES
from artfs.repository.stores import open_store
from tests.servers.nginx import Nginx
from tests.support.mounts import ended_at_the_end, runtime
from tests.support.stores import commit_references

__all__ = ["runtime"]

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv" / "datasets" / "bin" / "python"

IMPORTS = """
import gc
from pathlib import Path

import artfs
import datasets
from PIL import Image

datasets.disable_progress_bars()
"""

SETTING = """
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


def run(directory: Path, code: str, *, setting: str = IMPORTS + SETTING) -> None:
    """Run a script with `datasets`, over a store of its own. It asks no other machine."""
    script = directory / "script.py"
    script.write_text(setting + code)
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


MAKING = """
import os

import datasets
from PIL import Image

for number in range(6):
    place = Path("images", "train", ("cat", "dog")[number % 2], f"{number}.png")
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.frombytes("RGB", (600, 600), os.urandom(600 * 600 * 3)).save(place)
rows = datasets.Dataset.from_dict(
    {"x": list(range(200)), "payload": [os.urandom(200_000) for _ in range(200)]}
)
rows.save_to_disk("saved", num_shards=2)
"""
"""Images of a MB, and two shards of 20 MB, each of one record batch: five blocks."""

COUNTED_IMAGES = {
    "streamed by address": """
found = datasets.load_dataset(
    "imagefolder", data_files="artfs://demo/data:v0/train/**", split="train", streaming=True
)
seen = [each["image"].size for each in found.take(2)]
assert seen == [(600, 600)] * 2
""",
    "named by address": """
names = [f"artfs://demo/data:v0/train/{kind}" for kind in ("cat/0.png", "dog/1.png")]
found = datasets.load_dataset("imagefolder", data_files=names, split="train")
assert [each["image"].size for each in found] == [(600, 600)] * 2
""",
    "streamed from a mount": """
with artfs.mount("demo/data:v0") as place:
    found = datasets.load_dataset(
        "imagefolder", data_dir=str(place), split="train", streaming=True
    )
    assert [each["image"].size for each in found.take(2)] == [(600, 600)] * 2
    del found
    gc.collect()
""",
    "loaded from a mount": """
with artfs.mount("demo/data:v0") as place:
    found = datasets.load_dataset("imagefolder", data_dir=str(place), split="train")
    assert len(found) == 6
    assert [found[at]["image"].size for at in (1, 4)] == [(600, 600)] * 2
    del found
    gc.collect()
""",
}

ONE_SHARD = """
name = "artfs://demo/data:v0/data-00001-of-00002.arrow"
rows = datasets.load_dataset("arrow", data_files=name, split="train", streaming=True)
assert next(iter(rows))["x"] == 100
"""

ONE_COLUMN = """
with artfs.mount("demo/data:v0") as place:
    rows = datasets.load_from_disk(str(place))
    numbers = rows.select_columns("x")
    assert numbers[150] == {"x": 150}
    mapped = numbers.map(
        lambda row: {"y": 2 * row["x"]}, cache_file_name=str(Path("mapped.arrow").absolute())
    )
    assert mapped[199]["y"] == 398
    del rows, numbers, mapped
    gc.collect()
"""

ALL_ROWS = """
rows = datasets.load_from_disk("artfs://demo/data:v0")
assert rows[150]["x"] == 150
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and a data set that was saved, as files."""
    directory = tmp_path_factory.mktemp("made")
    run(directory, MAKING, setting=IMPORTS)
    return directory


class Served(msgspec.Struct, frozen=True):
    """A version that refers to files on a web server, which nobody has read yet."""

    nginx: Nginx
    sizes: dict[str, int]

    def sent(self) -> dict[str, int]:
        """Of each file that was asked for, how many bytes were sent."""
        sent = {}
        for name in self.sizes:
            # The ones without a range are those of the commit, which did not wait for the body.
            asked = [each for each in self.nginx.requests(name) if each.range != "-"]
            if asked:
                sent[name] = sum(each.body_bytes for each in asked)
        return sent


def _serve(nginx: Nginx, source: Path, directory: Path) -> Served:
    key = directory.name
    sizes, entries = {}, {}
    for path in sorted(each for each in source.rglob("*") if each.is_file()):
        name = f"{key}/{path.relative_to(source)}"
        nginx.write(name, path.read_bytes())
        sizes[name] = path.stat().st_size
        entries[str(path.relative_to(source))] = f"{nginx.url}/{name}"
    repository = open_store(str(directory / "store"), create=True)
    commit_references(repository, "demo/data", checksum=True, **entries)
    repository.close()
    return Served(nginx, sizes)


@pytest.mark.parametrize("how", COUNTED_IMAGES)
def test_of_six_images_those_that_are_looked_at_are_fetched_once(
    tmp_path: Path, runtime: Path, nginx: Nginx, made: Path, how: str
) -> None:
    served = _serve(nginx, made / "images", tmp_path)
    with ended_at_the_end(runtime):
        run(tmp_path, COUNTED_IMAGES[how], setting=IMPORTS)
    sent = served.sent()
    assert len(sent) == 2
    assert sent == {name: served.sizes[name] for name in sent}


def test_of_two_shards_the_one_that_is_named_is_fetched_once(
    tmp_path: Path, nginx: Nginx, made: Path
) -> None:
    served = _serve(nginx, made / "saved", tmp_path)
    run(tmp_path, ONE_SHARD, setting=IMPORTS)
    [(name, sent_bytes)] = served.sent().items()
    assert name.endswith("data-00001-of-00002.arrow")
    assert 0 < sent_bytes <= served.sizes[name]


def test_columns_that_nobody_looks_at_are_not_fetched_from_a_mount(
    tmp_path: Path, runtime: Path, nginx: Nginx, made: Path
) -> None:
    served = _serve(nginx, made / "saved", tmp_path)
    with ended_at_the_end(runtime):
        run(tmp_path, ONE_COLUMN, setting=IMPORTS)
    shards = {name: size for name, size in served.sent().items() if name.endswith(".arrow")}
    assert len(shards) == 2
    for name, sent_bytes in shards.items():
        # The first block, the last, and what the kernel reads around them.
        assert sent_bytes <= served.sizes[name] - BLOCK_SIZE_BYTES


def test_a_saved_data_set_that_is_loaded_by_its_address_is_fetched_once(
    tmp_path: Path, nginx: Nginx, made: Path
) -> None:
    served = _serve(nginx, made / "saved", tmp_path)
    run(tmp_path, ALL_ROWS, setting=IMPORTS)
    assert served.sent() == served.sizes
