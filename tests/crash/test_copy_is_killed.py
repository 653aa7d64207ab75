"""`kill -9` of `artfs copy` at any line: what is there is whole, and the next one ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from artfs.errors import StoreNotFound
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.upkeep.doctor import Severity, examine
from artfs.upkeep.gc import collect
from artfs.upkeep.verify import verify
from tests.support.stores import commit

ROOT = Path(__file__).resolve().parents[2]
KILLED = Path(__file__).with_name("killed.py")
SHARES = [0.4, 0.7, 0.85, 0.97]
"""How far the copy gets, of all the lines that it runs."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions with small and large files."""
    root = tmp_path_factory.mktemp("data") / "source"
    random = Random(0)
    with open_store(str(root), create=True, entity="tester") as repository:
        for number in range(3):
            small = {f"sub/{each}": random.randbytes(1_000) for each in range(5)}
            large = {"large": random.randbytes(1_200_000), "new": b"%d" % number}
            commit(repository, "p/a", small | large, aliases=(f"n{number}",))
    return root


def copied(source: Path, target: Path, *, line: int) -> subprocess.CompletedProcess[str]:
    """Copy all, killed at a line; 0: not at all."""
    return subprocess.run(
        [sys.executable, KILLED, str(line), "copy", source, target, "--all-versions", "--aliases"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def line_count(source: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many lines a copy runs, about: threads make it vary."""
    done = copied(source, tmp_path_factory.mktemp("counted") / "store", line=0)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1])


def assert_whole(repository: Repository) -> int:
    """Nothing is damaged; how many versions there are."""
    damaged = [each for each in examine(repository) if each.severity is Severity.DAMAGE]
    found = [version for version, _ in repository.catalog.live_trees()]
    assert (damaged, verify(repository, found).damages) == ([], ())
    return len(found)


@pytest.mark.parametrize("share", SHARES)
def test_a_second_copy_after_a_kill_ends_what_the_first_began(
    source: Path, line_count: int, tmp_path: Path, share: float
) -> None:
    target = tmp_path / "target"
    killed = copied(source, target, line=int(line_count * share))
    assert killed.returncode in {-signal.SIGKILL, 0}
    try:
        with open_store(str(target)) as repository:
            assert assert_whole(repository) <= 3
    except StoreNotFound:
        assert share < 0.5
    again = copied(source, target, line=0)
    assert again.returncode == 0, again.stderr
    with open_store(str(target)) as repository, open_store(str(source)) as original:
        found = repository.catalog.versions(repository.catalog.artifact("p", "a").id)
        wanted = original.catalog.versions(original.catalog.artifact("p", "a").id)
        assert found == wanted
        collect(repository, grace_s=0)
        assert assert_whole(repository) == 3
