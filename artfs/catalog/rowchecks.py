"""What every row of a catalog is checked with, before a record is made of it (checked.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from artfs.catalog.blob_port import OnDamage
from artfs.decoding import analysed
from artfs.errors import ArtfsError, DamagedRecord, InvalidArgument
from artfs.model import Metadata, check_alias, check_type

T = TypeVar("T")

_MAX_DEPTH = 300
"""Levels of JSON: Python's own writer and reader end at about 1,000 calls."""
_MAX_SHOWN = 80
HINT = "`artfs doctor` looks for more"
"""What whoever meets a damaged row may do."""

WRONG = (ArtfsError, ValueError, TypeError, OverflowError, RecursionError)
"""What checks raise: RecursionError for JSON that is too deep, UnicodeError, a ValueError, for text
that is none."""

Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Bytes, counts, and nanoseconds since the epoch: until the year 2262."""
Number = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Seconds = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Sha256 = Annotated[bytes, Meta(min_length=32, max_length=32)]
BlockListKey = Annotated[bytes, Meta(min_length=64, max_length=64)]
Wandb = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
Md5 = Annotated[bytes, Meta(min_length=16, max_length=16)]
RunId = Annotated[str, Meta(min_length=1, max_length=256)]


def sound(
    rows: Iterable[Sequence[Any]], record: Callable[[Any], T], on_damage: OnDamage | None
) -> Iterator[T]:
    """The records of rows; with `on_damage` without those that it gets to know.

    Raises: DamagedRecord without it.
    """
    for row in rows:
        try:
            made = record(row)
        except DamagedRecord as error:
            if on_damage is None:
                raise
            on_damage(error)
        else:
            yield made


def json_object(text: Any, *, kind: str, name: Any) -> Metadata:
    """The object that a column of JSON holds. Raises: DamagedRecord."""
    with naming(kind, name):
        return parsed_object(msgspec.convert(text, analysed(str)))


def json_text(value: Metadata) -> str:
    """The text of an object that is to be kept. Raises: InvalidArgument for what is too deep."""
    try:
        text = json.dumps(value)
        parsed_object(text)
    except WRONG as error:
        raise InvalidArgument("JSON", f"cannot be kept ({reason_of(error)})") from error
    return text


def checked_row(row: Sequence[Any], kind: type[T]) -> T:
    """The row as a struct of `kind`. Raises: what is in WRONG."""
    return msgspec.convert(tuple(row), analysed(kind), builtin_types=(bytes,))


def parsed_object(text: str) -> Metadata:
    """The object that JSON is, not too deep. Raises: what is in WRONG."""
    if text == "{}":
        return {}
    if text.count("[") + text.count("{") > _MAX_DEPTH and _is_deep(text):
        raise ValueError(f"JSON of more than {_MAX_DEPTH} levels")
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("JSON that is no object")
    return value


def _is_deep(text: str) -> bool:
    # Brackets in strings count as well where they do not close: then the parser is asked.
    depth = 0
    for character in text:
        if character in "[{":
            depth += 1
            if depth > _MAX_DEPTH:
                return _measured(json.loads(text)) > _MAX_DEPTH
        elif character in "]}":
            depth -= 1
    return False


def _measured(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


@lru_cache(maxsize=4096)
def check_names(project: str, name: str | None = None) -> None:
    """Names that a mount can show. Raises: ValueError."""
    # Not by the rules for new names: what is older or made by others is read, if a mount can.
    for text in (project,) if name is None else (project, name):
        if text in {"", ".", ".."} or "/" in text or "\0" in text:
            raise ValueError("a name that is a path")
        text.encode()


@lru_cache(maxsize=1024)
def check_artifact_type(text: str) -> None:
    """A type, of text that is UTF-8. Raises: InvalidName, ValueError."""
    check_type(text)
    text.encode()


def check_any_alias(alias: Any) -> None:
    """An alias, whatever a database has there. Raises: InvalidName, TypeError, ValueError."""
    if not isinstance(alias, str):
        raise TypeError("an alias that is no text")
    _check_alias_text(alias)


@lru_cache(maxsize=4096)
def _check_alias_text(alias: str) -> None:
    check_alias(alias)
    alias.encode()


def check_text(*texts: Any) -> None:
    """Text that is UTF-8, or None. Raises: TypeError, ValueError."""
    for text in texts:
        if text is None:
            continue
        if not isinstance(text, str):
            raise TypeError("a text that is none")
        if not text.isascii():
            text.encode()


@contextmanager
def naming(kind: str, name: Any, *, names: tuple[Any, ...] = ()) -> Iterator[None]:
    """What is wrong inside becomes an error that names the row. Raises: DamagedRecord."""
    try:
        yield
    except WRONG as error:
        raise DamagedRecord(
            f"{kind} {shown(name)}",
            f"its row in the catalog is damaged ({reason_of(error)})",
            hint=HINT,
            kind=kind,
            names=names,
        ) from error


def shown(name: Any) -> str:
    """The name of a row, as text that can be printed."""
    text = name.hex() if isinstance(name, bytes) else str(name)
    return text.encode(errors="backslashreplace").decode()[:_MAX_SHOWN]


def reason_of(error: BaseException) -> str:
    """What is wrong, in a few words."""
    if isinstance(error, RecursionError):
        return "JSON that is too deep"
    if isinstance(error, UnicodeError):
        return "text that is not UTF-8"
    return shown(error)
