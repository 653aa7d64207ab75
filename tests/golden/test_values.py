"""Value types: what artfs stores is, byte for byte, what wandb 0.15.0 stores.

Where bytes come from an encoder of pictures, arrays or sounds that differs from the one that made
the fixtures, what they hold is compared instead.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import artfs
from tests.golden.fixtures import CASES, DIVERGES, expected, placeholder

GROUPS = (
    "arrays",
    "frames",
    "images",
    "keys",
    "media",
    "overlays",
    "sounds",
    "tables",
    "tables_random",
)
MEDIA_ERRORS = tuple(
    f"errors.{kind}-"
    for kind in (
        "table",
        "boxes",
        "mask",
        "image",
        "classes",
        "html",
        "audio",
        "video",
        "object3d",
        "final-by",
    )
)
KINDER = {
    "frames.nullable-int": "the missing number of a column of numbers is None",
    "frames.nullable-int-as-data": "the missing number of a column of numbers is None",
}
"""Cases that fail in wandb and not in artfs, and why."""

NAMES = [
    name
    for name, case in CASES.items()
    if (case.group in GROUPS or name.startswith(MEDIA_ERRORS)) and name not in DIVERGES
]
RAISING = [name for name in NAMES if "error" in expected(CASES[name].group)[name]]
STORED = [name for name in NAMES if "contents" in expected(CASES[name].group)[name]]
FACTS = [name for name in NAMES if "value" in expected(CASES[name].group)[name]]

HASHES = re.compile(r"[0-9a-f]{64}|[0-9a-f]{20}|[A-Za-z0-9+/]{22}==")
OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>")
_TEXT_LIMIT = 2000


def test_every_case_of_value_types_is_compared() -> None:
    assert len(NAMES) >= 1200
    assert sorted(RAISING + STORED + FACTS) == sorted(NAMES)


@pytest.mark.parametrize("name", STORED)
def test_what_is_stored_is_what_wandb_stores(name: str, tmp_path: Path) -> None:
    wanted = expected(CASES[name].group)[name]
    artifact = CASES[name].recipe(artfs, tmp_path)
    contents = placeholder(artifact.manifest.to_manifest_json()["contents"], tmp_path)
    if contents == wanted["contents"]:
        assert artifact.digest == wanted["digest"]
        assert artifact.size == wanted["size"]
        return
    artifact.save()
    assert "encoder_dependent" in wanted, difference(artifact, contents, wanted)
    assert decoded_files(artifact) == decoded_fixture(wanted)


@pytest.mark.parametrize("name", [name for name in RAISING if name not in KINDER])
def test_what_fails_in_wandb_fails_in_the_same_way(name: str, tmp_path: Path) -> None:
    wanted = expected(CASES[name].group)[name]
    with pytest.raises(Exception) as caught:
        CASES[name].recipe(artfs, tmp_path)
    classes = {each.__name__ for each in type(caught.value).__mro__}
    assert {wanted["error"], *wanted["bases"]} <= classes
    if not isinstance(caught.value, artfs.ArtfsError):
        # The errors of artfs' own tree say it in their own words.
        text = OBJECT.sub("{object}", str(caught.value).replace(str(tmp_path), "{root}"))
        assert text == wanted["message"]


@pytest.mark.parametrize("name", FACTS)
def test_what_values_say_is_what_wandb_says(name: str, tmp_path: Path) -> None:
    assert CASES[name].recipe(artfs, tmp_path) == expected(CASES[name].group)[name]["value"]


@pytest.mark.parametrize("name", sorted(KINDER))
def test_what_only_pandas_calls_missing_is_none(name: str, tmp_path: Path) -> None:
    artifact = CASES[name].recipe(artfs, tmp_path)
    artifact.save()
    assert artifact.get("thing").data == [[1], [None]]


def difference(artifact: Any, contents: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The files that are not as they should be, for people."""
    lines = []
    for path in sorted(contents.keys() | wanted["contents"].keys()):
        if contents.get(path) != wanted["contents"].get(path):
            found = artifact.get_path(path).read_bytes() if path in contents else None
            lines.append(
                f"{path}\n  got  {found!r:.{_TEXT_LIMIT}}\n  want {wanted['files'].get(path)}"
            )
    return "\n".join(lines)


def decoded_files(artifact: Any) -> dict[str, Any]:
    """What the files of a logged artifact hold, whatever encoded them."""
    files = {path: entry.read_bytes() for path, entry in artifact.manifest.entries.items()}
    return neutral({path: decoded(path, content) for path, content in files.items()})


def decoded(path: str, content: bytes) -> dict[str, Any]:
    """What one file holds, as the fixtures have it."""
    if path.endswith(".png"):
        with Image.open(io.BytesIO(content)) as image:
            sha256 = hashlib.sha256(image.tobytes()).hexdigest()
            return {"pixels": {"mode": image.mode, "size": list(image.size), "sha256": sha256}}
    if path.endswith(".npz"):
        with np.load(io.BytesIO(content), allow_pickle=True) as arrays:
            return {"arrays": {key: array_record(arrays[key]) for key in arrays.files}}
    if path.endswith(".json"):
        return {"text": content.decode()}
    return {}


def array_record(array: Any) -> dict[str, Any]:
    """One array of an npz file, as the fixtures have it."""
    record: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if array.size <= 64 and array.dtype.kind in "biuf":
        return record | {"values": array.tolist()}
    if array.dtype.kind == "O":
        listed = repr(array.tolist()).encode()
        return record | {"repr_sha256": hashlib.sha256(listed).hexdigest()}
    return record | {"sha256": hashlib.sha256(array.tobytes()).hexdigest()}


def decoded_fixture(wanted: dict[str, Any]) -> dict[str, Any]:
    """The same of a fixture."""
    kinds = ("pixels", "arrays", "text")
    files = {
        path: {kind: record[kind] for kind in kinds if kind in record}
        for path, record in wanted["files"].items()
    }
    return neutral(files)


def neutral(files: dict[str, Any]) -> dict[str, list[Any]]:
    """Files with the hashes in their names and JSON written as #: all that are called so then."""
    found: dict[str, list[Any]] = {}
    for path, record in files.items():
        shown = {
            kind: HASHES.sub("#", each) if kind == "text" else each for kind, each in record.items()
        }
        found.setdefault(HASHES.sub("#", path), []).append(shown)
    return {path: sorted(records, key=repr) for path, records in found.items()}
