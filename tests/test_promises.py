"""Every promise of docs/semantics.md has a test that is named after it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PROMISE = re.compile(r"^\*\*([RWC][0-9])\. ", re.MULTILINE)
_TEST = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
_TESTS = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "artfs/testing").rglob("*.py")]
"""The contract suites that ship with the package are tests too: tests/contract runs them."""


def promises() -> set[str]:
    return set(_PROMISE.findall((ROOT / "docs/semantics.md").read_text("utf-8")))


def promises_with_a_test() -> set[str]:
    names = [name for path in _TESTS for name in _TEST.findall(path.read_text("utf-8"))]
    return {part.upper() for name in names for part in name.split("_")[1:4]}


def test_the_document_makes_all_promises() -> None:
    expected = (
        {f"R{n}" for n in range(1, 9)}
        | {f"W{n}" for n in range(1, 6)}
        | {f"C{n}" for n in range(1, 5)}
    )
    assert promises() == expected


def test_every_promise_has_a_test_named_after_it() -> None:
    assert promises() - promises_with_a_test() == set()
