"""Whatever a process and its forked children are told is logged is there, whoever of them ends."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from artfs.manifest.entries import FileEntry
from artfs.repository.shared import create_shared
from artfs.repository.stores import open_store
from tests.servers.postgres import PostgreSQL

ROUNDS = 6
TIMEOUT_S = 240
REPOSITORY = Path(__file__).parents[2]


def forking(store: str, *arguments: str) -> list[str]:
    """Run forking.py until all who have its output are gone; what they told was logged."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.forking", store, *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        out, errors = process.communicate(timeout=TIMEOUT_S)
    # That the store is made is said once.
    assert [line for line in errors.splitlines() if "was made here" not in line] == []
    return out.splitlines()


def check_all_is_there(store: str, told: list[str]) -> None:
    """A process that was not forked reads every version that was told."""
    with open_store(store) as repository:
        for line in told:
            name, version, content = line.split()
            found = repository.resolve(f"demo/{name}:{version}")
            entry = repository.find(found.tree, "x")
            assert isinstance(entry, FileEntry)
            assert repository.blobs.read(entry.sha256) == content.encode(), line
        assert repository.catalog.check() == []


def check_whole(store: Path) -> None:
    with closing(sqlite3.connect(store / "catalog.sqlite")) as catalog:
        assert catalog.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def count(told: list[str], name: str) -> int:
    return sum(line.startswith(f"{name} ") for line in told)


@pytest.mark.parametrize("parent_then", ["ends", "is killed", "goes on", "forks twice"])
@pytest.mark.parametrize("forked_while", ["idle", "committing", "reading"])
def test_what_a_forked_child_is_told_is_logged_is_there(
    forked_while: str, parent_then: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    told: list[str] = []
    for _ in range(ROUNDS):
        some = forking(str(store), forked_while, parent_then)
        assert count(some, "child") == 6
        assert count(some, "grandchild") == (6 if parent_then == "forks twice" else 0)
        told += some
        check_whole(store)
    check_all_is_there(str(store), told)


@pytest.mark.parametrize("parent_then", ["is killed", "goes on", "forks twice"])
def test_the_same_holds_for_a_shared_store(
    parent_then: str, postgresql: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    address = postgresql.new_schema()
    create_shared(address, blobs=blobs.as_uri())
    told = [
        line
        for forked_while in ("idle", "committing", "committing", "reading")
        for line in forking(address, forked_while, parent_then)
    ]
    assert count(told, "child") == 24
    check_all_is_there(address, told)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_workers_of_a_pool_log_what_they_say(method: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    told = forking(str(store), "pool", method)
    assert len(told) == 20
    check_whole(store)
    check_all_is_there(str(store), told)
