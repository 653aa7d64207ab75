"""What the constructor and the setter make of metadata."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import pathlib
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .registry import error, fact

if TYPE_CHECKING:
    from pathlib import Path


class Pair(NamedTuple):
    """A named tuple, of which a list is kept."""

    left: int
    right: int


class Colour(enum.Enum):
    """An enumeration, of which `str` is kept."""

    RED = 1


GOOD: dict[str, Any] = {
    "none": None,
    "empty": {},
    "plain": {"s": "caf\u00e9", "i": 1, "f": 0.1, "b": True, "n": None, "d": {"l": [1, [2]]}},
    "sequences": {"t": (1, (2,)), "r": range(3), "q": collections.deque([1]), "p": Pair(1, 2)},
    "byte-sequences": {"a": bytearray(b"x"), "m": memoryview(b"x")},
    "mappings": {"o": collections.OrderedDict(x=(1,)), "c": collections.Counter("aab")},
    "slice": {"a": slice(1, 2), "b": slice(None, 5, 2)},
    "floats": {"nan": float("nan"), "in": [float("nan")], "big": 10**30},
    "infinity": {"inf": float("inf"), "ninf": float("-inf")},
    "bytes": {"a": b"caf\xc3\xa9"},
    "dates": {"a": dt.datetime(2020, 1, 2, 3, 4, 5, 6), "b": dt.date(2020, 1, 1)},  # noqa: DTZ001
    "zone": {"a": dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "t": dt.timedelta(1)},
    "callables": {"f": len, "c": str, "m": "x".join},
    "strings-of-objects": {
        "d": Decimal("1.50"),
        "p": pathlib.PurePosixPath("/x"),
        "e": Colour.RED,
    },
    "keys": {1: "a", 2.5: "b", None: "c", False: "d"},
    "array-empty": {"a": np.zeros(0)},
    "array-one": {"a": np.array([5]), "b": np.array(5), "c": np.array([[2.5]])},
    "array-32": {"a": np.arange(32)},
    "array-33": {"a": np.arange(33)},
    "array-square": {"a": np.arange(4).reshape(2, 2), "n": np.array([1, np.nan])},
    "array-text": {"a": np.array(["x", "y"])},
    "scalars": {"f": np.float32(0.1), "i": np.int64(3), "b": np.bool_(True), "s": np.str_("x")},
    "scalar-nan": {"a": np.float64("nan")},
    "scalar-dates": {"a": np.datetime64("2020-01-01"), "t": np.timedelta64(1, "D")},
    "deep": {"a": {"b": [{"c": (np.int8(1), slice(1))}]}},
    "hundred-keys": {str(number): number for number in range(100)},
    "hundred-and-one-keys": {str(number): number for number in range(101)},
}
BAD: dict[str, Any] = {
    "list": [],
    "text": "x",
    "pairs": [("a", 1)],
    "number": 5,
    "set": {"a": {1}},
    "frozenset": {"a": frozenset([1])},
    "complex": {"a": 1j},
    "mapping-proxy": {"a": MappingProxyType({"x": 1})},
    "bytes": {"a": b"\xff"},
    "tuple-key": {(1, 2): "a"},
    "numpy-key": {np.int64(3): "a"},
}


def _built(wandb: Any, root: Path, given: Any) -> Any:
    """Return the metadata of an artifact that is built with `given`."""
    return wandb.Artifact("golden", type="dataset", metadata=given).metadata


def _set(wandb: Any, root: Path, given: Any) -> Any:
    """Return the metadata of an artifact after `given` was assigned."""
    artifact = wandb.Artifact("golden", type="dataset", metadata={"old": 1})
    artifact.metadata = given
    return artifact.metadata


for _label, _given in GOOD.items():
    fact(f"metadata.{_label}")(partial(_built, given=_given))
    fact(f"metadata.{_label}-set")(partial(_set, given=_given))
for _label, _given in BAD.items():
    error(f"metadata.bad-{_label}")(partial(_built, given=_given))
    error(f"metadata.bad-{_label}-set")(partial(_set, given=_given))


@fact("metadata.is-a-copy")
def is_a_copy(wandb: Any, root: Path) -> Any:
    """The argument is copied, but what is read is the artifact's own dictionary."""
    given = {"a": [1]}
    artifact = wandb.Artifact("golden", type="dataset", metadata=given)
    given["a"].append(2)
    artifact.metadata["later"] = "kept"
    return artifact.metadata
