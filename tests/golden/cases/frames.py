"""Tables from pandas; the package is imported late, so that the other cases do not need it."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

from .pictures import stored
from .registry import value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


FRAMES: dict[str, Callable[[Any], Any]] = {
    "plain": lambda pd: pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, float("nan")]}),
    "bool": lambda pd: pd.DataFrame({"a": [True, False]}),
    "object": lambda pd: pd.DataFrame({"a": [[1, 2], [3]], "b": [{"k": 1}, None]}),
    "dates": lambda pd: pd.DataFrame({"a": pd.to_datetime(["2020-01-01", "2021-06-07"])}),
    "dates-ns": lambda pd: pd.DataFrame({"a": pd.to_datetime(["2020-01-01T00:00:00.123456789"])}),
    "dates-missing": lambda pd: pd.DataFrame({"a": pd.to_datetime(["2020-01-01", None])}),
    "dates-zone": lambda pd: pd.DataFrame({"a": pd.to_datetime(["2020-01-01"]).tz_localize("UTC")}),
    "categories": lambda pd: pd.DataFrame({"a": pd.Categorical(["x", "y", "x"])}),
    "index": lambda pd: pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
    "int-columns": lambda pd: pd.DataFrame([[1, 2], [3, 4]]),
    "small-types": lambda pd: pd.DataFrame({"a": [1], "b": [2.5]}).astype(
        {"a": "int8", "b": "float32"}
    ),
    "nullable-int": lambda pd: pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
    "nullable-int-full": lambda pd: pd.DataFrame({"a": pd.array([1, 2], dtype="Int64")}),
    "string-type": lambda pd: pd.DataFrame({"a": pd.array(["x", "y"], dtype="string")}),
    "empty": lambda pd: pd.DataFrame({"a": [], "b": []}),
    "no-columns": lambda pd: pd.DataFrame(),
    "tuple-columns": lambda pd: pd.DataFrame({("a", "b"): [1]}),
    "duplicate-columns": lambda pd: pd.DataFrame([[1, 2]], columns=["a", "a"]),
}


def _frame(wandb: Any, root: Path, make: Callable[[Any], Any], argument: str) -> Any:
    """Store the table of a frame given as `data` or `dataframe`."""
    pd = importlib.import_module("pandas")

    return stored(wandb, wandb.Table(**{argument: make(pd)}))


for _label, _make in FRAMES.items():
    value(f"frames.{_label}")(partial(_frame, make=_make, argument="dataframe"))
    value(f"frames.{_label}-as-data")(partial(_frame, make=_make, argument="data"))
