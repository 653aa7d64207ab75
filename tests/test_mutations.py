"""The mutants of scripts/mutate can be made, and every promise has some."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scripts.mutations.__main__ import Mutant, mutants
from tests.test_promises import promises

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: f"{mutant.promise} {mutant.what}")
def test_what_a_mutant_changes_is_there_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text("utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
    assert all((ROOT / each).exists() for each in mutant.tests if each.startswith("tests/"))


def test_every_promise_has_a_mutant() -> None:
    counted = Counter(mutant.promise for mutant in mutants())
    assert set(counted) == promises()
