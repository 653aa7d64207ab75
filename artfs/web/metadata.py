"""Metadata as a tree, in steps that a template follows without going deep itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

_MAX_STEPS = 2000
_MAX_DEPTH = 24
_MAX_TEXT = 2000


class Step(msgspec.Struct, frozen=True):
    """`open` a branch, `close` it, or show a `leaf`; `cut` says that there is more."""

    kind: str
    key: str = ""
    text: str = ""
    """A leaf's value, or how much a branch holds."""
    type: str = ""
    """null, boolean, number or string; a branch's is object or array."""


def tree_steps(value: Any) -> list[Step]:
    """The steps of a JSON object or array, the first 2000 of them."""
    steps: list[Step] = []
    open_branches = 0
    for step in _steps(value):
        if len(steps) >= _MAX_STEPS:
            steps.append(Step("cut"))
            return steps + [Step("close")] * open_branches
        open_branches += {"open": 1, "close": -1}.get(step.kind, 0)
        steps.append(step)
    return steps


def _steps(value: Any) -> Iterator[Step]:
    stack = [_items(value)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
            if stack:
                yield Step("close")
            continue
        key, each = item
        if isinstance(each, dict | list) and each and len(stack) < _MAX_DEPTH:
            kind = "object" if isinstance(each, dict) else "array"
            yield Step("open", key, str(len(each)), kind)
            stack.append(_items(each))
        else:
            yield Step("leaf", key, leaf_text(each), _type(each))


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        return ((str(key), each) for key, each in value.items())
    if isinstance(value, list):
        return ((str(index), each) for index, each in enumerate(value))
    return iter([("", value)])


def leaf_text(value: Any) -> str:
    """A value on one line, as JSON but for a string, which is as it is."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "…"
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "other"


def flat(value: Any, *, limit: int) -> dict[str, str]:
    """Leaves by dotted path, at most `limit`: how two objects are compared."""
    found: dict[str, str] = {}
    path: list[str] = []
    for step in _steps(value):
        if step.kind == "open":
            path.append(step.key)
        elif step.kind == "close":
            path.pop()
        else:
            if len(found) >= limit:
                break
            found[".".join([*path, step.key])] = step.text
    return found
