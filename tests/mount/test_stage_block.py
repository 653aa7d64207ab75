"""`artfs.stage`: a block whose directory becomes a version."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import artfs
from artfs.errors import InvalidArgument, MountError, NotFound
from artfs.mounts import client
from artfs.repository.facade import Repository
from artfs.staging.area import Area
from artfs.staging.listing import staging_areas
from tests.support.staging import Stager


@pytest.fixture
def store(
    staged: Stager, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Repository]:
    monkeypatch.setenv("ARTFS_STORE", repository.info.location)
    yield repository
    assert staging_areas(repository.info) == []


def test_the_block_makes_a_version_of_the_current_run(store: Repository) -> None:
    with artfs.init(project="p") as run:
        with artfs.stage("data", type="model", aliases=["best"], metadata={"a": 1}) as path:
            (path / "weights").write_bytes(b"w" * 1000)
        run_id = run.id
    version = store.resolve("p/data:best")
    assert (version.version, version.type, version.metadata) == ("v0", "model", {"a": 1})
    assert [each.id for each in store.catalog.outputs_of(run_id)] == [version.id]
    assert not path.exists()


def test_the_block_builds_upon_a_version(store: Repository, staged: Stager) -> None:
    staged.put({"kept": b"kept", "changed": b"old"})
    with artfs.stage("p/data", base="latest") as path:
        assert (path / "kept").read_bytes() == b"kept"
        (path / "changed").write_bytes(b"new")
    assert staged.version("v1") == {"kept": b"kept", "changed": b"new"}


@pytest.mark.parametrize("by_error", [True, False])
def test_a_forked_child_that_leaves_the_block_does_not_end_it(
    by_error: bool, store: Repository, staged: Stager
) -> None:
    child = -1
    try:
        with artfs.stage("p/data") as path:
            (path / "before").write_bytes(b"1")
            child = os.fork()
            if child == 0 and by_error:
                raise SystemExit  # noqa: TRY301 - as a child ends
            if child:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                (path / "after").write_bytes(b"2")
    except (SystemExit, InvalidArgument) as error:
        assert child == 0
        os._exit(0 if by_error or "forked" in str(error) else 1)
    if child == 0:
        os._exit(2)
    assert staged.version("v0") == {"before": b"1", "after": b"2"}


def test_an_exception_drops_what_was_staged(store: Repository, staged: Stager) -> None:
    seen: list[Path] = []

    def fail() -> None:
        with artfs.stage("p/data") as path:
            seen.append(path)
            (path / "file").write_bytes(b"x")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert staged.version_count() == 0
    assert not seen[0].exists()


def test_w4_a_block_whose_mount_is_killed_raises_and_keeps_what_was_staged(
    store: Repository, staged: Stager
) -> None:
    block = artfs.stage("p/data")
    path = block.__enter__()
    (path / "file").write_bytes(b"kept")
    pid = client.status(path).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(MountError, match="everything is kept: `artfs staging commit"):
        block.__exit__(None, None, None)
    assert not path.exists()
    (record,) = staging_areas(store.info)
    area = Area.open(store, record.meta.id)
    assert area.tree.resolve("file") is not None
    area.drop()


def test_what_cannot_be_staged_raises_what_is_wrong(store: Repository) -> None:
    with pytest.raises(NotFound, match="no such artifact"), artfs.stage("p/data", base="nosuch"):
        pass


def test_a_directory_that_is_still_in_use_is_kept(
    staged: Stager, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTFS_STORE", repository.info.location)
    block = artfs.stage("p/data")
    path = block.__enter__()
    with (path / "open").open("w") as file:
        file.write("half")
        with pytest.raises(MountError, match="busy"):
            block.__exit__(None, None, None)
    staged.finish(path)
    path.rmdir()
    assert staged.version() == {"open": b"half"}
