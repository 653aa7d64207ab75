"""Reading the golden values, and the cases that produce them."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))
_cases = import_module("cases")
CASES: dict[str, Any] = _cases.CASES
DIVERGES: dict[str, str] = _cases.DIVERGES


@cache
def expected(group: str) -> dict[str, Any]:
    """What wandb 0.15.0 did with each case of a group, by the case's name."""
    packed = HERE / "values" / f"{group}.json.gz"
    if packed.exists():
        text = gzip.decompress(packed.read_bytes()).decode()
    else:
        text = packed.with_suffix("").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)["cases"]
    return found


@cache
def random_trees() -> list[dict[str, Any]]:
    """The recipes of the random trees, with what wandb 0.15.0 makes of them."""
    text = gzip.decompress((HERE / "digests.json.gz").read_bytes())
    found: list[dict[str, Any]] = json.loads(text)["cases"]
    return found


def names(group: str, kind: str) -> list[str]:
    """The cases of a group and kind that artfs answers as wandb does."""
    return [
        case.name
        for case in CASES.values()
        if case.group == group and case.kind == kind and case.name not in DIVERGES
    ]


def text_sha256(document: object, root: Path) -> str:
    """The hash of a manifest's text with the case's directory written as {root}."""
    text = json.dumps(placeholder(document, root), indent=4)
    return hashlib.sha256(text.encode()).hexdigest()


def placeholder(document: Any, root: Path) -> Any:
    """`document` with `root` written as {root} in every string of it."""
    if isinstance(document, str):
        return document.replace(str(root), "{root}")
    if isinstance(document, dict):
        return {placeholder(key, root): placeholder(item, root) for key, item in document.items()}
    if isinstance(document, list | tuple):
        return [placeholder(each, root) for each in document]
    return document
