"""What versions are searched for, and whether one is it: the truth that databases only narrow."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

from artfs.catalog.records import VersionRecord

MAX_LOOKED_AT = 20_000
"""So many versions one search looks at, where the database cannot tell which are meant."""

Value = str | int | float | bool | None


class Operator(StrEnum):
    """How a field is compared."""

    IS = "="
    """Equal; text with `*` and `?` is a pattern, a list has an element that is equal."""
    GREATER = ">"
    AT_LEAST = ">="
    LESS = "<"
    AT_MOST = "<="
    CONTAINS = "~"
    """Has this text in it, in upper or lower case."""


NAMES = ("name", "project", "type", "tag", "alias")
NUMBERS = ("size", "files", "created")


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One condition. All of a search must hold."""

    field: str
    """`text` (anywhere), `description`, `metadata`, or one of NAMES and NUMBERS."""
    path: tuple[str, ...] = ()
    """Of metadata: the keys that lead to the value."""
    operator: Operator = Operator.IS
    value: Value = None
    """Bytes of a size, nanoseconds since 1970 of a time."""
    text: str = ""
    """The value as it was written."""
    negated: bool = False


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions are meant."""

    terms: tuple[Term, ...]
    projects: tuple[str, ...] | None = None
    """Only in these; None: in all."""
    artifact_id: int | None = None
    """Only in this artifact or portfolio; None: in all artifacts, each version once."""
    limit: int = 100


class Found(msgspec.Struct, frozen=True):
    """Versions, newest first."""

    versions: list[VersionRecord]
    is_cut: bool
    """Whether there may be more."""


def matches(terms: Iterable[Term], version: VersionRecord) -> bool:
    """Whether all conditions hold for a version."""
    return all(_holds(term, version) != term.negated for term in terms)


def _holds(term: Term, version: VersionRecord) -> bool:
    if term.field == "text":
        return any(term.text.lower() in each.lower() for each in texts_of(version))
    if term.field == "description":
        return term.text.lower() in (version.description or "").lower()
    if term.field == "metadata":
        return any(_compared(term, found) for found in looked_up(version.metadata, term.path))
    if term.field in NUMBERS:
        return _compared(term, _number(term.field, version))
    return any(_compared(term, each) for each in _names(term.field, version))


def texts_of(version: VersionRecord) -> Iterable[str]:
    """Where text is looked for."""
    yield version.path
    yield version.description or ""
    yield from version.tags
    yield from version.aliases
    if version.metadata:
        yield json.dumps(version.metadata, ensure_ascii=False)


def _names(field: str, version: VersionRecord) -> Sequence[str]:
    if field == "tag":
        return version.tags
    if field == "alias":
        return version.aliases
    return (str(getattr(version, field)),)


def _number(field: str, version: VersionRecord) -> int:
    if field == "size":
        return version.size_bytes
    return version.file_count if field == "files" else version.created_at_ns


def looked_up(value: Any, path: Sequence[str]) -> Iterable[Any]:
    """What keys lead to, a key with dots in it among them."""
    if not path:
        yield value
    elif isinstance(value, dict):
        for count in range(1, len(path) + 1):
            key = ".".join(path[:count])
            if key in value:
                yield from looked_up(value[key], path[count:])


_ORDERS: dict[Operator, Callable[[Any, Any], Any]] = {
    Operator.GREATER: operator.gt,
    Operator.AT_LEAST: operator.ge,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
}


def _compared(term: Term, found: Any) -> bool:
    if term.operator is Operator.CONTAINS:
        text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
        return term.text.lower() in text.lower()
    if term.operator is Operator.IS:
        if isinstance(found, list):
            return term.text == "*" or any(_equal(term, each) for each in found)
        return _equal(term, found)
    numbers = _is_number(found) and _is_number(term.value)
    if not numbers and not (isinstance(found, str) and isinstance(term.value, str)):
        return False
    return bool(_ORDERS[term.operator](found, term.value))


def _equal(term: Term, found: Any) -> bool:
    if term.text == "*":
        return True
    if isinstance(found, str):
        return is_like(term.text, found)
    if _is_number(found):
        return _is_number(term.value) and bool(found == term.value)
    return found is term.value and not isinstance(found, dict)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_like(pattern: str, text: str) -> bool:
    """Whether a text is as a pattern says, in which `*` is any text and `?` any character."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == text
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(256)
def _compiled(pattern: str) -> Any:
    """A pattern that takes time in proportion to the text."""
    import re2  # noqa: PLC0415 - few searches have a pattern

    known = {"*": "(?s:.*)", "?": "(?s:.)"}
    parts = re.split(r"([*?])", pattern)
    return re2.compile("".join(known.get(part) or re2.escape(part) for part in parts))


def filtered(versions: Iterable[VersionRecord], search: Search) -> Found:
    """What of some versions, which come newest first, a search means."""
    found: list[VersionRecord] = []
    for count, version in enumerate(versions):
        if count >= MAX_LOOKED_AT:
            return Found(found, is_cut=True)
        if matches(search.terms, version):
            if len(found) >= search.limit:
                return Found(found, is_cut=True)
            found.append(version)
    return Found(found, is_cut=False)
