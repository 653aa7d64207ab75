"""What of a metric becomes the run's summary: `define_metric`."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from artfs.errors import UsageError

_OPERATIONS = frozenset({"min", "max", "mean", "last", "first", "best", "copy", "none"})

NOTHING: Final = object()
"""What is not to be in the summary."""


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """How a metric was defined; `name` may end with `*`, for all that begin so."""

    name: str
    step_metric: str | None = None
    step_sync: bool | None = None
    hidden: bool | None = None
    summary: tuple[str, ...] | None = None
    goal: str | None = None


def defined(
    name: object,
    *,
    step_metric: object = None,
    step_sync: bool | None = None,
    hidden: bool | None = None,
    summary: object = None,
    goal: object = None,
) -> Metric:
    """A metric's definition, checked. Raises: UsageError for what W&B refuses as well."""
    if not isinstance(name, str):
        raise UsageError("define_metric", f"the name is a {type(name).__name__}, not text")
    if not name:
        raise UsageError("define_metric", "the name is empty")
    if "*" in name[:-1]:
        raise UsageError(f"define_metric {name!r}", "a star can only be at the end")
    if isinstance(step_metric, Metric):
        step_metric = step_metric.name
    if step_metric is not None and not isinstance(step_metric, str):
        raise UsageError(f"define_metric {name!r}", "step_metric is neither a name nor a metric")
    if goal not in {None, "minimize", "maximize"}:
        raise UsageError(f"define_metric {name!r}", "goal is neither minimize nor maximize")
    return Metric(
        name=name,
        step_metric=step_metric,
        step_sync=step_sync,
        hidden=hidden,
        summary=None if summary is None else _operations(name, summary),
        goal=None if goal is None else str(goal),
    )


def _operations(name: str, summary: object) -> tuple[str, ...]:
    if not isinstance(summary, str):
        raise UsageError(f"define_metric {name!r}", "summary is not text")
    operations = tuple(each.strip().lower() for each in summary.split(","))
    for each in operations:
        if each not in _OPERATIONS:
            known = ", ".join(sorted(_OPERATIONS))
            raise UsageError(
                f"define_metric {name!r}", f"there is no summary {each!r}", hint=f"use {known}"
            )
    return operations


class Metrics:
    """The definitions of a run, and what they need of the values before."""

    def __init__(self) -> None:
        self._defined: dict[str, Metric] = {}
        self._folds: dict[str, _Fold] = {}

    def define(self, metric: Metric, *, overwrite: bool = False) -> Metric:
        """Take a definition: what it leaves out stays, unless it is to `overwrite` the old one."""
        old = self._defined.get(metric.name)
        if old is not None and not overwrite:
            said = {
                name: value
                for name, value in msgspec.structs.asdict(metric).items()
                if value is not None
            }
            metric = msgspec.structs.replace(old, **said)
        self._defined[metric.name] = metric
        return metric

    def summarized(self, key: str, value: Any) -> Any:
        """What the summary should say under a key from now on; NOTHING: leave it as it is."""
        if not self._defined:
            return value
        if isinstance(value, dict) and value and "_type" not in value:
            parts = {name: self.summarized(f"{key}.{name}", each) for name, each in value.items()}
            kept = {name: each for name, each in parts.items() if each is not NOTHING}
            return kept or NOTHING
        metric = self._of(key)
        if metric is None or metric.summary is None:
            return value
        fold = self._folds.get(key)
        if fold is None:
            fold = self._folds[key] = _Fold(metric)
        return fold.add(value)

    def _of(self, key: str) -> Metric | None:
        found = self._defined.get(key)
        if found is not None:
            return found
        fitting = [
            metric
            for name, metric in self._defined.items()
            if name.endswith("*") and key.startswith(name[:-1])
        ]
        return max(fitting, key=lambda metric: len(metric.name), default=None)


class _Fold:
    """The summary of the values of one metric, one after the other."""

    def __init__(self, metric: Metric) -> None:
        self._operations = metric.summary or ()
        self._greatest_is_best = metric.goal == "maximize"
        self._count = 0
        self._sum = 0.0
        self._said: dict[str, Any] = {}

    def add(self, value: Any) -> Any:
        number = _number(value)
        if "copy" in self._operations or (number is None and self._operations != ("none",)):
            if "copy" in self._operations or not self._said:
                return value
            return NOTHING
        if number is None or math.isnan(number):
            return dict(self._said) if self._said else NOTHING
        self._count += 1
        self._sum += number
        for each in self._operations:
            if each != "none":
                self._said[each] = self._next(each, value, number)
        return dict(self._said) if self._said else NOTHING

    def _next(self, operation: str, value: Any, number: float) -> Any:
        before = self._said.get(operation)
        if operation == "mean":
            return self._sum / self._count
        if before is None or operation == "last":
            return value
        if operation == "best":
            operation = "max" if self._greatest_is_best else "min"
        is_new = number > before if operation == "max" else number < before
        return value if operation != "first" and is_new else before


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        item = getattr(value, "item", None)
        try:
            value = item() if callable(item) else None
        except (TypeError, ValueError, RuntimeError):
            return None
    return float(value) if isinstance(value, int | float) else None
