"""What an index of searches keeps of a version, and what of it a search can ask for; no SQL.

Text is kept as grams: three characters that follow each other, each a number below SLICES. All of
this only leaves out what cannot be meant; queries.py decides.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

import msgspec

from artfs.catalog.queries import Operator, Term, texts_of
from artfs.catalog.records import VersionRecord

SLICES = 2048
"""Kinds of grams that are told apart: a version of 200 grams has a tenth of them."""

ALL_PATHS = ""
"""The path of those versions that have more numbers than are kept."""

_GRAM = 3
_MOST_GRAMS_ASKED = 10
_MOST_NUMBERS = 256
_LONGEST_PATH = 200


class Wanted(msgspec.Struct, frozen=True):
    """What every version that a term means has."""

    slices: tuple[int, ...] = ()
    path: str | None = None
    """Of metadata: where a number is, from `least` to `most`."""
    least: float = float("-inf")
    most: float = float("inf")


class Kept(msgspec.Struct, frozen=True):
    """What is kept of a version."""

    slices: frozenset[int]
    numbers: Mapping[str, Sequence[float]]


def kept(version: VersionRecord) -> Kept:
    """What is kept of a version, as seen through its own artifact."""
    slices: set[int] = set()
    for text in texts_of(version):
        slices.update(_slices(text))
    numbers: dict[str, list[float]] = {}
    for count, (path, number) in enumerate(_numbers(version.metadata)):
        if count >= _MOST_NUMBERS or len(path) > _LONGEST_PATH:
            return Kept(frozenset(slices), {ALL_PATHS: [0.0]})
        numbers.setdefault(path, []).append(number)
    return Kept(frozenset(slices), numbers)


UNKNOWN = Kept(frozenset(range(SLICES)), {ALL_PATHS: [0.0]})
"""Of a version that cannot be read: whoever searches is told."""


def _slices(text: str) -> set[int]:
    # Whether a sigma ends a word decides how it is written in lower case.
    folded = text.lower().replace("\u03c2", "\u03c3")
    grams = {folded[at : at + _GRAM] for at in range(len(folded) - _GRAM + 1)}
    return {crc32(gram.encode("utf-8", "surrogatepass")) % SLICES for gram in grams}


def _numbers(metadata: Any) -> Iterator[tuple[str, float]]:
    """Numbers, and text that may be one, by the keys that lead to them with dots between."""
    left: list[tuple[str, Any]] = [("", metadata)]
    while left:
        path, value = left.pop()
        if isinstance(value, dict):
            left += [(f"{path}.{key}" if path else key, each) for key, each in value.items()]
            continue
        for each in value if isinstance(value, list) else [value]:
            number = _number(each)
            if number is not None and path:
                yield path, number


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    except OverflowError:
        return float("inf") if isinstance(value, int) and value > 0 else float("-inf")
    # What is no number is neither more nor less than one.
    return number if number == number else None  # noqa: PLR0124


def wanted(term: Term) -> Wanted | None:
    """What all that a term means has; None where that is not known."""
    if term.negated:
        return None
    slices: set[int] = set()
    for needle in _needles(term):
        slices.update(_slices(needle))
    asked = tuple(sorted(slices)[:: max(1, len(slices) // _MOST_GRAMS_ASKED)])
    path = ".".join(term.path)
    if term.field == "metadata" and path and isinstance(term.value, int | float):
        limits = _limits(term)
        if limits is not None:
            return Wanted(asked, path, *limits)
    return Wanted(asked) if asked else None


def _limits(term: Term) -> tuple[float, float] | None:
    number = _number(term.value)
    if number is None:
        return None
    if term.operator in {Operator.GREATER, Operator.AT_LEAST}:
        return number, float("inf")
    if term.operator in {Operator.LESS, Operator.AT_MOST}:
        return float("-inf"), number
    return (number, number) if term.operator is Operator.IS else None


def _needles(term: Term) -> Iterable[str]:
    """Texts that stand in what is kept of each version that a term means."""
    if term.field in {"text", "description"}:
        return [term.text]
    if term.field == "metadata":
        return [*map(_in_json, term.path), *_of_value(term)]
    if term.field not in {"name", "project", "tag", "alias"}:
        return []
    return [term.text] if term.operator is Operator.CONTAINS else _parts(term.text)


def _of_value(term: Term) -> Iterable[str]:
    if term.operator is Operator.CONTAINS:
        # Of text its characters are meant, of all else how it is written.
        return [term.text] if _in_json(term.text) == term.text else []
    if term.operator is Operator.IS and isinstance(term.value, str):
        return map(_in_json, _parts(term.text))
    return []


def _parts(pattern: str) -> list[str]:
    return pattern.replace("?", "*").split("*")


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def pack_numbers(numbers: Iterable[tuple[float, int]]) -> bytes:
    """Numbers, each with the position of its version: ordered values, then positions."""
    ordered = sorted(numbers)
    values = array("d", [value for value, _ in ordered])
    positions = array("H", [position for _, position in ordered])
    if _IS_BIG:
        values.byteswap()
        positions.byteswap()
    return values.tobytes() + positions.tobytes()


def between(packed: bytes, least: float, most: float) -> int:
    """The positions of numbers within limits, as bits. Raises: ValueError."""
    count, rest = divmod(len(packed), _BYTES)
    if rest:
        raise ValueError("not packed numbers")
    values = array("d", packed[: count * 8])
    positions = array("H", packed[count * 8 :])
    if _IS_BIG:
        values.byteswap()
        positions.byteswap()
    bits = 0
    for position in positions[bisect_left(values, least) : bisect_right(values, most)]:
        bits |= 1 << position
    return bits


_BYTES = 10
_IS_BIG = array("H", [1]).tobytes() != b"\1\0"
