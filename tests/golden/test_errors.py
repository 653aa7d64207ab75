"""Calls that fail in wandb 0.15.0 fail in artfs, with exceptions that the same handlers catch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import artfs
from tests.golden.fixtures import CASES, DIVERGES, expected, names

MEDIA = ("table", "boxes", "mask", "image", "classes", "html", "audio", "video", "object3d")
NEEDS_MEDIA = {
    name
    for name in CASES
    if name.startswith(tuple(f"errors.{kind}-" for kind in MEDIA))
    or (name.startswith("errors.final-by-") and name.endswith(("-add", "-set-item")))
}
KINDER = {
    "errors.draft-link": "linking a draft logs it first",
    "metadata.bad-set": "a set becomes a list",
    "metadata.bad-set-set": "a set becomes a list",
    "metadata.bad-frozenset": "a set becomes a list",
    "metadata.bad-frozenset-set": "a set becomes a list",
    "metadata.bad-mapping-proxy": "every mapping becomes a dict",
    "metadata.bad-mapping-proxy-set": "every mapping becomes a dict",
    "metadata.bad-numpy-key": "a number of numpy is a number as a key too",
    "metadata.bad-numpy-key-set": "a number of numpy is a number as a key too",
}
"""Calls that fail in wandb and not in artfs, and why."""

KINDER_VALUES: dict[str, Any] = {
    "metadata.array-one": {"a": 5, "b": 5, "c": 2.5},
    "metadata.array-33": {"a": list(range(33))},
}
"""wandb writes these arrays as text."""

FAILING = [
    name
    for name in names("errors", "error") + names("metadata", "error")
    if name not in NEEDS_MEDIA and name not in KINDER
]


@pytest.mark.parametrize("name", FAILING)
def test_a_call_that_fails_in_wandb_fails_with_the_same_class(name: str, tmp_path: Path) -> None:
    wanted = expected(CASES[name].group)[name]
    with pytest.raises(Exception) as caught:
        CASES[name].recipe(artfs, tmp_path)
    classes = {each.__name__ for each in type(caught.value).__mro__}
    assert wanted["error"] in classes
    assert {base for base in wanted["bases"] if base.isidentifier()} <= classes


@pytest.mark.parametrize("name", sorted(KINDER.keys() - {"errors.draft-link"}))
def test_metadata_that_wandb_refuses_is_taken(name: str, tmp_path: Path) -> None:
    metadata = CASES[name].recipe(artfs, tmp_path)
    assert metadata in ({"a": [1]}, {"a": {"x": 1}}, {"3": "a"})


@pytest.mark.parametrize("name", names("errors", "fact") + names("metadata", "fact"))
def test_what_drafts_and_metadata_say_is_what_wandb_says(name: str, tmp_path: Path) -> None:
    found = CASES[name].recipe(artfs, tmp_path)
    wanted = KINDER_VALUES.get(
        name.removesuffix("-set"), expected(CASES[name].group)[name]["value"]
    )
    assert found == wanted or (math.isnan(found) and math.isnan(wanted))


@pytest.mark.parametrize("name", [name for name in DIVERGES if name.startswith("metadata.")])
def test_more_than_a_hundred_keys_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 100"):
        CASES[name].recipe(artfs, tmp_path)
