"""The mutants of scripts/mutate can be made, and every promise has some."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scripts.mutations.__main__ import Mutant, judged, mutants
from tests.test_promises import promises

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: f"{mutant.promise} {mutant.what}")
def test_what_a_mutant_changes_is_there_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text("utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
    assert all((ROOT / each).exists() for each in mutant.tests if each.startswith("tests/"))


def test_every_promise_has_three_mutants() -> None:
    counted = Counter(mutant.promise for mutant in mutants())
    assert set(counted) == promises()
    assert min(counted.values()) >= 3


@pytest.mark.parametrize(
    ("code", "said", "outcome"),
    [
        (0, "3 passed in 1s\n", "SURVIVED"),
        (1, "FAILED tests/x.py::y\n1 failed, 2 passed in 1s\n", "killed"),
        (1, "ERROR tests/x.py::y\n1 error in 1s\n", "killed"),
        (1, "...\nTraceback (most recent call last):\nValueError: x\n", "COULD NOT BE TRIED"),
        (5, "3 deselected in 1s\n", "COULD NOT BE TRIED"),
    ],
)
def test_a_mutant_is_killed_by_tests_that_fail_and_by_nothing_else(
    code: int, said: str, outcome: str
) -> None:
    assert judged(code, said).partition("\n")[0] == outcome
