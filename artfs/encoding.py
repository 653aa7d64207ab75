"""JSON that every program can read."""

from __future__ import annotations

import json
import math
from typing import Any

_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON; what numbers it has no words for are strings: "NaN", "Infinity".

    Without `indent` it is as short as it can be. Half a pair of surrogates stays an escape.
    """
    try:
        return _dumped(value, indent)
    except ValueError:
        return _dumped(_finite(value), indent)


def _dumped(value: Any, indent: int | None) -> str:
    if indent is not None:
        return json.dumps(value, indent=indent, allow_nan=False)
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE.get(value, "NaN")
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
