"""The words by which people search versions: `roses type:dataset metadata.accuracy > 0.9`.

All words must hold. One is text that stands anywhere, or a field, an operator and a value; `-`
before it means that it must not hold. See docs/web.md.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from artfs.catalog.queries import NAMES, NUMBERS, Operator, Term, Value
from artfs.errors import InvalidArgument

_MAX_CHARS = 1000
_MAX_TERMS = 20
_FIELDS = (*NAMES, *NUMBERS, "description", "metadata.KEY")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_WORD = re.compile(
    rf"""(?P<minus>-?)
    (?: (?P<field>[A-Za-z_][\w./@-]*) (?P<colon>:) (?P<given>{_QUOTED}|[^\s"]+)
      | (?P<name>[A-Za-z_][\w./@-]*) \s* (?P<operator>!=|>=|<=|>|<|=|~) \s*
        (?P<value>{_QUOTED}|[^\s"]+)
      | (?P<text>{_QUOTED}|[^\s"]+)
    ) (?=\s|$)""",
    re.VERBOSE,
)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12} | {
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?i?)b?", re.IGNORECASE)
_OPERATORS = {operator.value: operator for operator in Operator}


def parse_query(text: str) -> tuple[Term, ...]:
    """The conditions of a query; none where it is empty. Raises: InvalidArgument."""
    if len(text) > _MAX_CHARS:
        raise InvalidArgument("search", f"a query has at most {_MAX_CHARS} characters")
    if "\0" in text or (not text.isascii() and text.encode("utf-8", "ignore").decode() != text):
        raise InvalidArgument("search", "has characters that stand for nothing")
    terms: list[Term] = []
    position = 0
    while rest := text[position:].lstrip():
        position = len(text) - len(rest)
        match = _WORD.match(text, position)
        if match is None:
            raise InvalidArgument("search", f"cannot be read at {rest[:40]!r}", hint='write "…"')
        terms.append(_term(match))
        position = match.end()
    if len(terms) > _MAX_TERMS:
        raise InvalidArgument("search", f"a query has at most {_MAX_TERMS} words")
    return tuple(terms)


def _term(match: re.Match[str]) -> Term:
    negated = bool(match["minus"])
    if match["text"] is not None:
        return Term(field="text", text=_unquoted(match["text"]), negated=negated)
    if match["colon"]:
        field, path = _field(match["field"])
        if field is None:
            # A name with a version, or an address.
            whole = f"{match['field']}:{_unquoted(match['given'])}"
            return Term(field="text", text=whole, negated=negated)
        return _made(field, path, "=", match["given"], negated=negated)
    field, path = _field(match["name"])
    if field is None:
        field, path = "metadata", tuple(match["name"].split("."))
    operator = match["operator"]
    if operator == "!=":
        operator, negated = "=", not negated
    return _made(field, path, operator, match["value"], negated=negated)


def _field(name: str) -> tuple[str | None, tuple[str, ...]]:
    head, _, rest = name.partition(".")
    if head in {"metadata", "meta"}:
        if not rest:
            raise InvalidArgument(f"search: {name}", "names no key", hint="write metadata.KEY")
        return "metadata", tuple(rest.split("."))
    if name in {*NAMES, *NUMBERS, "description"}:
        return name, ()
    return None, ()


def _made(field: str, path: tuple[str, ...], sign: str, written: str, *, negated: bool) -> Term:
    text = _unquoted(written)
    operator = _OPERATORS[sign]
    value: Value = text
    if field in NUMBERS:
        value = _size(text) if field != "created" else _time_ns(text)
        if operator is Operator.CONTAINS:
            operator = Operator.IS
    elif field == "metadata":
        value = text if written.startswith('"') else _json_value(text)
    elif operator not in {Operator.IS, Operator.CONTAINS}:
        raise InvalidArgument(
            f"search: {field}", f"cannot be {sign} anything", hint=f"{field}:{text}"
        )
    return Term(field=field, path=path, operator=operator, value=value, text=text, negated=negated)


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _json_value(text: str) -> Value:
    if text in {"true", "false", "null"}:
        found: Value = json.loads(text)
        return found
    try:
        number = float(text)
    except ValueError:
        return text
    if text.lstrip("+-").isdecimal() and len(text) < 19:
        return int(text)
    return number if abs(number) < 1e300 else text


def _size(text: str) -> int | float:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"search: {text[:40]!r}", "is no size or count", hint="write 10MiB")
    size = float(match[1]) * _UNITS[match[2].lower()]
    return int(size)


def _time_ns(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(
            f"search: {text[:40]!r}", "is no time", hint="write 2026-01-31 or 2026-01-31T12:00"
        ) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    try:
        return int(at.timestamp()) * 10**9
    except (OverflowError, OSError, ValueError):
        raise InvalidArgument(f"search: {text[:40]!r}", "is out of range") from None
