"""Small references that are read one after the other are on their way before they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from artfs.repository.facade import Repository
from tests.servers.nginx import Nginx
from tests.support.faults import wait_until
from tests.support.mounts import Mounter
from tests.support.stores import commit_references

COUNT = 120

Asked = Callable[[], set[int]]


@pytest.fixture
def small(
    repository: Repository,
    mounted: Mounter,
    nginx: Nginx,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[list[Path], Asked]:
    """Files on a server, in their order, and which of them it was asked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))
    names = [f"neighbour{number:03}-{os.urandom(4).hex()}" for number in range(COUNT)]
    for name in names:
        nginx.write(name, name.encode())
    uris = {name: f"{nginx.url}/plain/{name}" for name in names}
    commit_references(repository, "p/small", checksum=True, **uris)
    where = mounted(repository, "p/small:latest")
    described = len(nginx.log.read_text().splitlines())

    def asked() -> set[int]:
        lines = nginx.log.read_text().splitlines()[described:]
        found = {Path(urlsplit(line.split()[1]).path).name for line in lines}
        return {number for number, name in enumerate(names) if name in found}

    return [where / name for name in names], asked


def read(paths: list[Path]) -> None:
    for path in paths:
        assert path.read_bytes() == path.name.encode()


def test_files_in_a_row_are_fetched_ahead(small: tuple[list[Path], Asked]) -> None:
    paths, asked = small
    read(paths[:2])
    wait_until(lambda: asked() == {0, 1})
    read(paths[2:5])
    # One more behind the third file, two behind the fourth, four behind the fifth.
    wait_until(lambda: asked() == set(range(9)))
    read(paths)
    wait_until(lambda: asked() == set(range(COUNT)))


def test_r3_files_here_and_there_bring_no_others(small: tuple[list[Path], Asked]) -> None:
    paths, asked = small
    order = [0, 100, 40, 41, 80, 20, 60, 119, 61, 0, 40]
    for number in order:
        read([paths[number]])
    # What is asked for in vain would be asked for before this one.
    read([paths[102]])
    wait_until(lambda: asked() == {*order, 102})
