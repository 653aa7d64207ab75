"""Filters in MongoDB's words, and orders, as W&B's clients give them to lists of runs and so on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from artfs.catalog.records import RunRecord
from artfs.errors import InvalidArgument, Unsupported
from artfs.model import Metadata
from artfs.repository.runnames import run_name

T = TypeVar("T")

_MAX_PATTERN_CHARS = 200
_MAX_CONDITIONS = 200
_MAX_PATTERN_BYTES = 1 << 20


def matching(
    items: Sequence[T], filters: str | Metadata | None, view: Callable[[T], Any]
) -> list[T]:
    """The items whose `view`, a value of JSON, is as a filter in MongoDB's words says.

    A filter is JSON, or the value that JSON stands for.
    Raises: InvalidArgument, Unsupported for an operator that is not known here.
    """
    if not filters:
        return list(items)
    try:
        wanted = msgspec.json.decode(filters) if isinstance(filters, str) else filters
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidArgument("filters", f"not JSON ({error})") from None
    if not wanted:
        return list(items)
    counted = _Counted()
    counted.holds(wanted, {})
    return [item for item in items if counted.holds(wanted, view(item))]


class _Counted:
    """Evaluates filters of bounded size."""

    def holds(self, wanted: Any, value: Any, depth: int = 0) -> bool:
        if not isinstance(wanted, dict) or depth > 8 or len(wanted) > _MAX_CONDITIONS:
            raise InvalidArgument("filters", "not a filter", hint='write {"name": {"$eq": …}}')
        # Every clause is looked at: what is wrong is told, whatever there is to filter.
        results = [self._clause(key, each, value, depth) for key, each in wanted.items()]
        return all(results)

    def _clause(self, key: str, condition: Any, value: Any, depth: int) -> bool:
        if key in {"$and", "$or", "$nor"}:
            if not isinstance(condition, list) or len(condition) > _MAX_CONDITIONS:
                raise InvalidArgument("filters", f"{key} wants a list")
            results = [self.holds(each, value, depth + 1) for each in condition]
            return all(results) if key == "$and" else any(results) == (key == "$or")
        if key == "$not":
            return not self.holds(condition, value, depth + 1)
        if key.startswith("$"):
            raise Unsupported(f"filter {key!r}", "is not known", hint=_KNOWN)
        return self._field(_looked_up(value, key), condition, depth)

    def _field(self, found: Any, condition: Any, depth: int) -> bool:
        if not (isinstance(condition, dict) and any(key.startswith("$") for key in condition)):
            return _equal(found, condition)
        if depth > 8:
            raise InvalidArgument("filters", "nested too deeply")
        results = [self._holds(found, *each, depth) for each in condition.items()]
        return all(results)

    def _holds(self, found: Any, operator: str, operand: Any, depth: int) -> bool:
        if operator == "$not":
            return not self._field(found, operand, depth + 1)
        if operator not in _OPERATORS:
            raise Unsupported(f"filter {operator!r}", "is not known", hint=_KNOWN)
        return _OPERATORS[operator](found, operand)


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
    import re2  # noqa: PLC0415 - few filters have a pattern

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_PATTERN_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args else "not a pattern"
        raise InvalidArgument(f"$regex {pattern!r}", reason) from None


_KNOWN = "use $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $regex, $and, $or, $nor and $not"

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


def check_order(order: str, names: Collection[str]) -> None:
    """Raises: InvalidArgument for an order by a field that is none of `names`."""
    for part in (each.strip().lstrip("+-") for each in order.split(",")):
        if part and part.partition(".")[0] not in names:
            raise InvalidArgument(
                f"order {order!r}", "is by nothing known", hint=f"use {', '.join(sorted(names))}"
            )


def _rank(value: Any) -> tuple[int, Any]:
    """A key by which values of any kind can be sorted: nothing, numbers, texts, all else."""
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    return (2, value) if isinstance(value, str) else (3, str(value))


def time_text(at_ns: int) -> str:
    """A time as W&B writes it: UTC, in whole seconds."""
    at = datetime.fromtimestamp(at_ns / 1e9, UTC).replace(tzinfo=None)
    return at.isoformat(timespec="seconds")


def run_view(run: RunRecord, details: Metadata) -> Metadata:
    """What filters and orders see of a run; `details` is what it says of itself."""
    shown = {
        "name": run_name(run),
        "display_name": run.name,
        "state": run.state.value,
        "job_type": run.job_type,
        "group": details.get("group"),
        "tags": details.get("tags") or [],
        "notes": details.get("notes"),
        "created_at": time_text(run.created_at_ns),
        "config": {key: {"value": value} for key, value in run.config.items()} | run.config,
        "summary_metrics": details.get("summary") or {},
    }
    other = {"displayName": "display_name", "jobType": "job_type", "createdAt": "created_at"}
    return shown | {name: shown[known] for name, known in other.items()}
