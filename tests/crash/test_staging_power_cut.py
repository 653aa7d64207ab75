"""A host that dies at any line: what was synced is there, and nothing without what came before."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest

from artfs.staging.index import Index
from artfs.staging.journal import Changes
from tests.support.powercut import PowerCut

RUNS = int(os.environ.get("ARTFS_TEST_POWER_CUTS", "6"))
STEPS = 120
Rows = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


@contextmanager
def at_lines(name: str, act: Callable[[FrameType], None]) -> Iterator[None]:
    """Call `act` before each line of a module."""

    def on_line(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            sys.settrace(None)
            try:
                act(frame)
            finally:
                sys.settrace(on_call)
        return on_line

    def on_call(frame: FrameType, _event: str, _argument: Any) -> Any:
        return on_line if frame.f_code.co_filename.endswith(name) else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(before)


class IndexUnderTest:
    """An index that is changed at random, and every state that it was in."""

    def __init__(self, root: Path, random: Random) -> None:
        self.area = root / "area"
        self.area.mkdir()
        self.index = Index(self.area / "index.sqlite", create=True)
        self.index.checkpoint()
        self._random = random
        self._nodes: dict[int, tuple[Any, ...]] = {}
        self._links: dict[tuple[int, str], tuple[Any, ...]] = {}
        self.states: list[Rows] = [([], [])]
        self.synced = 0
        """The oldest state that may come back."""
        self.may_change = True

    def change(self) -> None:
        """One more state, begun and applied."""
        random, changes = self._random, Changes()
        for _ in range(random.choice([1, 1, 2, 40])):
            node_id = random.randrange(1, 40)
            link = (random.randrange(1, 4), f"name {random.randrange(12)}", node_id)
            if node_id in self._nodes and random.random() < 0.3:
                changes.gone.append(node_id)
                changes.removed_links.append(link[:2])
            else:
                content = random.randbytes(random.choice([0, 30, 900]))
                changes.nodes.append((node_id, "f", random.randrange(512), 0, 0, 1, 2, content))
                changes.links.append(link)
        _, removed, gone, nodes, links = changes.record()
        for key in removed:
            self._links.pop(key, None)
        for gone_id in gone:
            self._nodes.pop(gone_id, None)
        self._nodes.update({row[0]: row for row in nodes})
        self._links.update({row[:2]: row for row in links})
        self._remember()
        self.index.apply(changes)

    def sync(self) -> None:
        so_far = len(self.states) - 1
        self.index.sync()
        self.synced = so_far

    def checkpoint(self) -> None:
        so_far = len(self.states) - 1
        self.index.checkpoint()
        self.synced = so_far

    def replace(self) -> None:
        for node_id in self._random.sample(range(1, 40), 20):
            self._nodes.pop(node_id, None)
        self._links.clear()
        self._remember()
        self.may_change = False
        self.index.replace("", list(self._nodes.values()), [])
        self.may_change = True
        self.synced = len(self.states) - 1

    def reopen(self) -> None:
        self.index.close()
        self.may_change = False
        self.index = Index(self.area / "index.sqlite")
        self.may_change = True

    def _remember(self) -> None:
        self.states.append((sorted(self._nodes.values()), sorted(self._links.values())))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(RUNS))
def test_w2_an_index_comes_back_as_it_was_synced_or_later(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    tested = IndexUnderTest(tmp_path, random)
    power = PowerCut(tested.area, random)
    cuts = 0

    def on_line(frame: FrameType) -> None:
        nonlocal cuts
        if random.random() < 0.01:
            cuts += 1
            check_index(power, tested, tmp_path / "left")
        # Others may change the index while it is moved into the SQLite file.
        elif tested.may_change and frame.f_code.co_name == "_write" and random.random() < 0.2:
            tested.change()

    with power.watching(monkeypatch), at_lines("staging/index.py", on_line):
        for _ in range(STEPS):
            random.choices(
                [tested.change, tested.sync, tested.checkpoint, tested.replace, tested.reopen],
                [30, 5, 4, 1, 1],
            )[0]()
    check_index(power, tested, tmp_path / "left")
    tested.index.close()
    power.close()
    assert cuts > 5


def check_index(power: PowerCut, tested: IndexUnderTest, left: Path) -> None:
    power.leave(left)
    for _ in range(2):
        index = Index(left / "index.sqlite")
        found = sorted(index.nodes()), sorted(index.links())
        index.close()
        assert found in tested.states[tested.synced :]
    shutil.rmtree(left)
