"""A store of its own for each test, chosen by the environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import artfs
from artfs.repository.facade import Repository
from artfs.sdk.session import shared_repository


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, empty; a run that a test leaves behind ends with it."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("ARTFS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("ARTFS_ENTITY", "team")
    monkeypatch.setenv("ARTFS_PROJECT", "demo")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ARTFS_RUN_ID", raising=False)
    yield place
    artfs.finish()


@pytest.fixture
def repository() -> Repository:
    """The test's store, opened."""
    return shared_repository()


@pytest.fixture
def run() -> artfs.Run:
    """A run that is current during the test."""
    return artfs.init(project="demo", job_type="test")
