"""Metadata and configs as plain JSON values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from types import UnionType
from typing import Any

from artfs.errors import InvalidArgument
from artfs.model import MAX_METADATA_KEYS, Metadata


def normalize_metadata(value: object, *, subject: str = "metadata") -> Metadata:
    """A deep copy of a dict that holds plain JSON values only; None is an empty one.

    Tuples and sets become lists, arrays lists or numbers, slices dicts, dates text, NaN None.
    Raises: TypeError for anything but a dict, and for what JSON cannot say; InvalidArgument for
    too many keys.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"{subject} must be dict, not {type(value).__name__}")
    copy: Metadata = json.loads(json.dumps(plain(value)))
    if len(copy) > MAX_METADATA_KEYS:
        raise InvalidArgument(
            subject, f"{len(copy)} keys, at most {MAX_METADATA_KEYS} are allowed at the top"
        )
    return copy


def plain(value: object) -> Any:
    """The nearest JSON value, by duck typing: no array library is imported for it."""
    for kind, converted in _CONVERSIONS:
        if isinstance(value, kind):
            return converted(value)
    if hasattr(value, "tolist"):
        return _plain_array(value)
    if callable(value):
        return f"{value.__module__}.{getattr(value, '__qualname__', type(value).__name__)}"
    return value if type(value).__module__ == "builtins" else str(value)


def _plain_list(value: Iterable[object]) -> list[Any]:
    return [plain(item) for item in value]


def _plain_dict(value: Mapping[object, object]) -> dict[Any, Any]:
    return {_plain_key(key): plain(item) for key, item in value.items()}


def _plain_slice(value: slice) -> dict[str, Any]:
    return _plain_dict(
        {"slice_start": value.start, "slice_step": value.step, "slice_stop": value.stop}
    )


def _unchanged(value: object) -> object:
    return value


def _plain_float(value: float) -> float | None:
    # numpy's float64 is a float, but not one that everybody can write as JSON.
    return None if math.isnan(value) else float(value)


def _iso(value: date) -> str:
    return value.isoformat()


def _decoded(value: bytes) -> str:
    return value.decode("utf-8")


_CONVERSIONS: tuple[tuple[type | UnionType, Callable[[Any], Any]], ...] = (
    (bool | int | str | None, _unchanged),
    (float, _plain_float),
    (Mapping, _plain_dict),
    (slice, _plain_slice),
    (bytes, _decoded),
    (date, _iso),
    (set | frozenset, _plain_list),
    (Sequence, _plain_list),
)


def _plain_key(key: object) -> Any:
    return key.item() if hasattr(key, "item") else key


def _plain_array(value: Any) -> Any:
    # numpy arrays and scalars, and torch tensors once they are off their device and graph.
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    listed = value.tolist()
    while isinstance(listed, list) and len(listed) == 1:
        listed = listed[0]
    return plain(listed)
