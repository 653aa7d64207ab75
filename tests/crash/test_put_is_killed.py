"""`kill -9` of `artfs put` at any line leaves the old or the new state, and garbage with a name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from artfs.blobs.base import Namespace
from artfs.catalog.records import VersionRecord
from artfs.errors import ArtifactNotFound, StoreNotFound
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.upkeep.doctor import Severity, examine
from artfs.upkeep.gc import collect
from artfs.upkeep.verify import verify

ROOT = Path(__file__).resolve().parents[2]
KILLED = Path(__file__).with_name("killed.py")
LARGE_BYTES = 1_200_000
SHARES = [index / 9 for index in range(10)]
"""How far the put gets, of all the lines that it runs."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is put: small and large files, and a directory."""
    directory = tmp_path_factory.mktemp("data")
    random = Random(0)
    (directory / "sub").mkdir()
    for number in range(20):
        (directory / "sub" / f"{number}").write_bytes(random.randbytes(1_000))
    for name in ("large", "larger"):
        (directory / name).write_bytes(random.randbytes(LARGE_BYTES))
    return directory


def put(store: Path, data: Path, *, line: int) -> subprocess.CompletedProcess[str]:
    """Put `data`, killed at a line; 0: not at all."""
    return subprocess.run(
        [sys.executable, KILLED, str(line), "put", data, "-n", "p/a", "--store", store],
        env=os.environ | {"PYTHONPATH": str(ROOT), "ARTFS_ENTITY": "tester"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def line_count(data: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many lines a put runs, about: threads make it vary."""
    done = put(tmp_path_factory.mktemp("counted") / "store", data, line=0)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1])


def versions_of(repository: Repository) -> list[VersionRecord]:
    """The versions of p/a, newest first."""
    try:
        artifact = repository.catalog.artifact("p", "a")
    except ArtifactNotFound:
        return []
    return repository.catalog.versions(artifact.id)


def assert_everything_has_a_name(repository: Repository) -> None:
    """Nothing is damaged, and each file of the store is needed or named by doctor."""
    findings = examine(repository)
    assert [finding for finding in findings if finding.severity is Severity.DAMAGE] == []
    named = sum(
        finding.count
        for finding in findings
        if finding.kind in {"orphan-blob", "orphan-pack", "temporary"}
    )
    totals = repository.catalog.totals()
    own = sum(1 for blob in repository.catalog.blobs() if blob.pack is None)
    root = repository.info.root
    assert root is not None
    places = [*(root / name for name in Namespace), root / "tmp"]
    found = sum(1 for place in places for path in place.rglob("*") if path.is_file())
    assert found == named + totals.packs + own


@pytest.mark.parametrize("share", SHARES)
def test_a_second_put_after_a_kill_gives_the_right_version(
    data: Path, line_count: int, tmp_path: Path, share: float
) -> None:
    store = tmp_path / "store"
    killed = put(store, data, line=max(1, int(line_count * share)))
    assert killed.returncode in {-signal.SIGKILL, 0}
    try:
        with open_store(str(store)) as repository:
            assert len(versions_of(repository)) <= 1
            assert_everything_has_a_name(repository)
            assert verify(repository, versions_of(repository)).damages == ()
    except StoreNotFound:
        # Killed before the store was made, or had its name.
        assert share < 0.5

    again = put(store, data, line=0)
    assert again.returncode == 0, again.stderr
    with open_store(str(store)) as repository:
        (version,) = versions_of(repository)
        assert version.version == "v0"
        assert version.file_count == 22
        assert verify(repository, [version]).damages == ()
        assert_everything_has_a_name(repository)
        collect(repository, grace_s=0)
        assert examine(repository) == []
        assert verify(repository, [version]).damages == ()


def test_gc_may_be_killed_as_well(data: Path, tmp_path: Path) -> None:
    original = tmp_path / "original"
    assert put(original, data, line=0).returncode == 0
    shutil.copytree(data, tmp_path / "less", ignore=shutil.ignore_patterns("large", "1*"))
    assert put(original, tmp_path / "less", line=0).returncode == 0
    with open_store(str(original)) as repository:
        repository.catalog.delete_version(versions_of(repository)[-1].id, delete_aliases=True)
    counted = tmp_path / "counted"
    shutil.copytree(original, counted)
    lines = int(gc(counted, line=0).stderr.split()[-1])
    for share in SHARES[1::3]:
        store = tmp_path / f"store-{share}"
        shutil.copytree(original, store)
        gc(store, line=int(lines * share))
        with open_store(str(store)) as repository:
            (version,) = versions_of(repository)
            assert verify(repository, [version]).damages == ()
            assert_everything_has_a_name(repository)
        assert gc(store, line=0).returncode == 0
        with open_store(str(store)) as repository:
            assert verify(repository, versions_of(repository)).damages == ()
            assert examine(repository) == []


def gc(store: Path, *, line: int) -> subprocess.CompletedProcess[str]:
    """Collect everything that is unused, killed at a line; 0: not at all."""
    return subprocess.run(
        [sys.executable, KILLED, str(line), "gc", "--grace", "0", "--store", store],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
