"""Pages of lists as Relay has them, and the filters and orders that clients ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import re2

from artfs.errors import InvalidArgument, Unsupported

T = TypeVar("T")

DEFAULT_PAGE = 50
MAX_PAGE = 10_000
_MAX_PATTERN_CHARS = 200
_MAX_CONDITIONS = 200

_MAX_PATTERN_BYTES = 1 << 20


def page_bounds(first: int | None, after: str | None) -> tuple[int, int]:
    """Where a page begins, and how many items it has at most. Raises: InvalidArgument."""
    count = DEFAULT_PAGE if first is None else first
    if not 0 <= count <= MAX_PAGE:
        raise InvalidArgument(f"first: {first}", f"a page has at most {MAX_PAGE} items")
    if not after:
        return 0, count
    if not after.isdecimal() or len(after) > 18:
        raise InvalidArgument(f"after: {after[:40]!r}", "is no cursor of this server")
    return int(after), count


def connection(
    items: Sequence[T],
    first: int | None,
    after: str | None,
    edge: Callable[[T], dict[str, Any]],
) -> dict[str, Any]:
    """A page of `items`; `edge` makes of one what an edge says, but for its cursor."""
    start, count = page_bounds(first, after)
    shown = items[start : start + count]
    return edges(
        [edge(item) for item in shown], start, more=start + count < len(items), total=len(items)
    )


def edges(
    found: Sequence[dict[str, Any]], start: int, *, more: bool, total: int | None = None
) -> dict[str, Any]:
    """A page that begins at `start` of a longer list."""
    return {
        "edges": [
            {**each, "cursor": str(position)} for position, each in enumerate(found, start + 1)
        ],
        "pageInfo": {"hasNextPage": more, "endCursor": str(start + len(found)) if found else None},
        "totalCount": total,
    }


def nodes(items: Iterable[Any]) -> list[dict[str, Any]]:
    """Edges that say nothing but their node."""
    return [{"node": item} for item in items]


# --- filters -----------------------------------------------------------------------------------


def matching(items: Sequence[T], filters: str | None, view: Callable[[T], Any]) -> list[T]:
    """The items whose `view`, a value of JSON, is as a filter in MongoDB's words says.

    Raises: InvalidArgument, Unsupported for an operator that is not known here.
    """
    if not filters:
        return list(items)
    try:
        wanted = msgspec.json.decode(filters)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidArgument("filters", f"not JSON ({error})") from None
    if not wanted:
        return list(items)
    counted = _Counted()
    return [item for item in items if counted.holds(wanted, view(item))]


class _Counted:
    """Evaluates filters of bounded size."""

    def holds(self, wanted: Any, value: Any, depth: int = 0) -> bool:
        if not isinstance(wanted, dict) or depth > 8 or len(wanted) > _MAX_CONDITIONS:
            raise InvalidArgument("filters", "not a filter", hint='write {"name": {"$eq": …}}')
        return all(self._clause(key, condition, value, depth) for key, condition in wanted.items())

    def _clause(self, key: str, condition: Any, value: Any, depth: int) -> bool:
        if key in {"$and", "$or", "$nor"}:
            if not isinstance(condition, list) or len(condition) > _MAX_CONDITIONS:
                raise InvalidArgument("filters", f"{key} wants a list")
            results = (self.holds(each, value, depth + 1) for each in condition)
            return all(results) if key == "$and" else any(results) == (key == "$or")
        if key == "$not":
            return not self.holds(condition, value, depth + 1)
        if key.startswith("$"):
            raise Unsupported(f"filter {key!r}", "is not known to this server")
        return self._field(_looked_up(value, key), condition, depth)

    def _field(self, found: Any, condition: Any, depth: int) -> bool:
        if not (isinstance(condition, dict) and any(key.startswith("$") for key in condition)):
            return _equal(found, condition)
        if depth > 8:
            raise InvalidArgument("filters", "nested too deeply")
        for operator, operand in condition.items():
            if operator == "$not":
                holds = not self._field(found, operand, depth + 1)
            elif operator in _OPERATORS:
                holds = _OPERATORS[operator](found, operand)
            else:
                raise Unsupported(f"filter {operator!r}", "is not known to this server")
            if not holds:
                return False
        return True


def _looked_up(value: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _equal(found: Any, wanted: Any) -> bool:
    return found == wanted or (isinstance(found, list) and wanted in found)


def _compared(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(found: Any, wanted: Any) -> bool:
        numbers = isinstance(found, int | float) and isinstance(wanted, int | float)
        texts = isinstance(found, str) and isinstance(wanted, str)
        return (numbers or texts) and test(found, wanted)

    return compare


def _among(found: Any, wanted: Any) -> bool:
    if not isinstance(wanted, list):
        raise InvalidArgument("filters", "$in wants a list")
    return any(_equal(found, each) for each in wanted)


def _matches(found: Any, pattern: Any) -> bool:
    if not isinstance(pattern, str) or len(pattern) > _MAX_PATTERN_CHARS:
        raise InvalidArgument("filters", f"$regex has at most {_MAX_PATTERN_CHARS} characters")
    return isinstance(found, str) and _compiled(pattern).search(found) is not None


@lru_cache(64)
def _compiled(pattern: str) -> Any:
    """A pattern that takes time in proportion to the text. Raises: InvalidArgument."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_PATTERN_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args else "not a pattern"
        raise InvalidArgument(f"$regex {pattern!r}", reason) from None


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _equal,
    "$ne": lambda found, wanted: not _equal(found, wanted),
    "$gt": _compared(lambda found, wanted: found > wanted),
    "$gte": _compared(lambda found, wanted: found >= wanted),
    "$lt": _compared(lambda found, wanted: found < wanted),
    "$lte": _compared(lambda found, wanted: found <= wanted),
    "$in": _among,
    "$nin": lambda found, wanted: not _among(found, wanted),
    "$exists": lambda found, wanted: (found is not None) == bool(wanted),
    "$regex": _matches,
}


def ordered(items: Sequence[T], order: str | None, view: Callable[[T], Any]) -> list[T]:
    """The items by one field of their `view`; `-field` is from the greatest down.

    Several fields may stand behind each other, with commas; without any, they stay as they are.
    """
    found = list(items)
    for part in reversed([each.strip() for each in (order or "").split(",") if each.strip()]):
        name = part.lstrip("+-")
        found.sort(
            key=lambda item, name=name: _rank(_looked_up(view(item), name)),  # type: ignore[misc]
            reverse=part.startswith("-"),
        )
    return found


def _rank(value: Any) -> tuple[int, Any]:
    """A key by which values of any kind can be sorted: nothing, numbers, texts, all else."""
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    return (2, value) if isinstance(value, str) else (3, str(value))
