"""Metadata and configs as plain JSON values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from enum import Enum
from types import UnionType
from typing import Any

from artfs.errors import InvalidArgument, InvalidName
from artfs.model import MAX_METADATA_KEYS, Metadata, check_alias
from artfs.repository.facade import LATEST

_TAG = re.compile(r"[-\w]+( +[-\w]+)*")


class ArtifactTTL(Enum):
    """The one TTL that is not a time."""

    INHERIT = "inherit"
    """As the store says of all versions: they live for ever."""


Ttl = timedelta | ArtifactTTL | None


def ttl_seconds(ttl: Ttl) -> int | None:
    """A TTL in whole seconds; None: for ever.

    Raises: InvalidArgument for a time that is not positive, TypeError for what is no TTL.
    """
    if ttl is None or ttl is ArtifactTTL.INHERIT:
        return None
    if not isinstance(ttl, timedelta):
        raise TypeError(f"ttl must be a timedelta, None or ArtifactTTL.INHERIT, not {ttl!r}")
    seconds = int(ttl.total_seconds())
    if seconds <= 0:
        raise InvalidArgument("ttl", f"{ttl} is not at least a second")
    return seconds


def check_tags(tags: Iterable[str]) -> list[str]:
    """Tags without repetitions, sorted.

    Raises: InvalidArgument for one that is not letters, digits, `_`, `-` and single words.
    """
    found = sorted({tags} if isinstance(tags, str) else set(tags))
    for tag in found:
        if _TAG.fullmatch(tag) is None:
            raise InvalidArgument(
                f"tag {tag!r}", "is not valid", hint="use letters, digits, '_', '-' and spaces"
            )
    return found


def check_use_as(use_as: str | None) -> str | None:
    """`use_as` if it may be one. Raises: InvalidArgument for one with '/' or ':'."""
    if use_as is not None and ("/" in use_as or ":" in use_as):
        raise InvalidArgument(f"use_as {use_as!r}", "cannot contain '/' or ':'")
    return use_as


def chosen_aliases(aliases: str | Iterable[str] | None) -> tuple[str, ...]:
    """The aliases that a user asks for, once each, without `latest`, which moves by itself.

    Raises: InvalidName.
    """
    wanted = [aliases] if isinstance(aliases, str) else list(aliases or ())
    for alias in wanted:
        if not isinstance(alias, str):
            raise InvalidName(repr(alias), "an alias is a string")
    return tuple(check_alias(alias) for alias in dict.fromkeys(wanted) if alias != LATEST)


def normalize_metadata(
    value: object, *, subject: str = "metadata", max_keys: int | None = MAX_METADATA_KEYS
) -> Metadata:
    """A deep copy of a dict that holds plain JSON values only; None is an empty one.

    Tuples and sets become lists, arrays lists or numbers, slices dicts, dates text, NaN None.
    Raises: TypeError for anything but a dict, and for what JSON cannot say; UnicodeDecodeError, as
    W&B's own, for bytes that are not UTF-8; InvalidArgument for too many keys, and what is nested
    too deep.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"{subject} must be dict, not {type(value).__name__}")
    try:
        copy: Metadata = json.loads(json.dumps(plain(value)))
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        # Python writes no number of more than 4,300 digits.
        raise InvalidArgument(subject, f"holds what JSON cannot say ({error})") from None
    except RecursionError:
        raise InvalidArgument(subject, "is nested too deep for JSON") from None
    if max_keys is not None and len(copy) > max_keys:
        raise InvalidArgument(
            subject, f"{len(copy)} keys, at most {max_keys} are allowed at the top"
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
