"""`kill -9` of `artfs doctor --rebuild-catalog` at any line leaves the old or the new state."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.errors import StoreFormatError
from artfs.repository.stores import open_store
from artfs.upkeep.gc import collect
from tests.crash.test_put_is_killed import KILLED, ROOT
from tests.support.stores import commit, new_store

SHARES = (0.3, 0.9, 0.94, 0.96, 0.98)
"""How far it gets, of all the lines that it runs; the new catalog takes its place near the end."""


def rebuild(store: Path, *, line: int) -> subprocess.CompletedProcess[str]:
    """Rebuild, killed at a line; 0: not at all."""
    words = ("doctor", "--rebuild-catalog", "--yes", "--store", store)
    return subprocess.run(
        [sys.executable, KILLED, str(line), *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def names(store: Path) -> list[str]:
    """Versions, with all that is known of them."""
    with open_store(str(store)) as repository:
        assert repository.catalog.check() == []
        return sorted(repr(version) for version, _ in repository.catalog.live_trees())


@pytest.mark.parametrize("lost", [True, False])
def test_c4_a_rebuild_that_is_killed_begins_anew(tmp_path: Path, *, lost: bool) -> None:
    store = tmp_path / "store"
    with new_store(store) as repository:
        first = commit(repository, "p/a", {"x": b"1"}, aliases=("best",))
        commit(repository, "p/a", {"x": b"2"}, base=first)
        repository.catalog.link(first.id, "p", "portfolio", ["prod"])
    before = names(store)
    shutil.copytree(store, tmp_path / "counted")
    if lost:
        (tmp_path / "counted" / "catalog.sqlite").unlink()
    done = rebuild(tmp_path / "counted", line=0)
    assert done.returncode == 0, done.stderr
    line_count = int(done.stderr.split()[-1])
    for share in SHARES:
        if lost:
            for path in store.glob("catalog.sqlite*"):
                path.unlink()
        done = rebuild(store, line=int(share * line_count))
        assert done.returncode == -signal.SIGKILL, done.stderr
        if (store / "catalog.sqlite").exists():
            assert names(store) == before
        else:
            with pytest.raises(StoreFormatError, match="rebuild-catalog"):
                open_store(str(store))
    assert rebuild(store, line=0).returncode == 0
    assert names(store) == before
    with open_store(str(store)) as repository:
        assert repository.catalog.version("p", "portfolio", "prod").id == first.id
        collect(repository)
    assert [path for path in (store / "tmp").iterdir() if any(path.iterdir())] == []
