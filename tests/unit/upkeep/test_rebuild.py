"""Rebuilding a catalog: whatever was done to a store, the same comes back."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from artfs.catalog.copies import empty_copy
from artfs.catalog.records import Copy, VersionUpdate
from artfs.errors import ArtfsError, Conflict
from artfs.model import RunState
from artfs.repository.facade import Repository
from artfs.repository.opening import open_store
from artfs.repository.recovery import CommitRecord
from artfs.repository.replacement import lost_catalog
from artfs.upkeep.rebuild import RebuildReport, rebuild_catalog
from artfs.upkeep.replay import replay
from tests.support.stores import commit, new_store

OPERATIONS = 40


def rebuild(store: Path) -> RebuildReport:
    """Lose the catalog, and make it again."""
    for path in store.glob("catalog.sqlite*"):
        path.unlink()
    return rebuild_catalog(lost_catalog(str(store), blobs=None))


def do_something(repository: Repository, random: Random) -> None:
    """One change of names; one that cannot be, such as of what was deleted, is none."""
    catalog = repository.catalog
    name = random.choice("ab")
    versions = [version for version, _ in catalog.live_trees()]
    version = random.choice(versions) if versions else None
    what = random.randrange(9)
    if what <= 2 or version is None:
        run = catalog.create_run("p", name=None, job_type=None, config={})
        content = {"x": random.randbytes(8), "d/y": b"same"}
        aliases = (random.choice("uvw"),) if what else ()
        commit(repository, f"p/{name}", content, aliases=aliases, run_id=run.id)
        catalog.finish_run(run.id, RunState.FINISHED)
    elif what == 3:
        catalog.update_version(version.id, VersionUpdate(add_aliases=(random.choice("uvw"),)))
    elif what == 4:
        update = VersionUpdate(description="d", tags=(random.choice("st"),), metadata={"m": [1]})
        catalog.update_version(version.id, update)
    elif what == 5:
        catalog.delete_version(version.id, delete_aliases=True)
    elif what == 6:
        catalog.link(version.id, "q", "portfolio", [random.choice("uvw")])
    elif what == 7:
        run = catalog.create_run("p", name="r", job_type=None, config={"c": 1})
        catalog.record_use(run.id, version.id, use_as=None)
    elif random.random() < 0.3:
        catalog.delete_artifact(catalog.artifact("p", name).id)


def names(store: Path) -> Copy:
    with open_store(str(store)) as repository:
        assert repository.catalog.check() == []
        copied = repository.catalog.copy_names()
    # That count checkpoints.
    copied["settings"] = [row for row in copied["settings"] if row["key"] != "checkpoints"]
    return {table: sorted(rows, key=repr) for table, rows in copied.items()}


@pytest.mark.parametrize("seed", range(4))
def test_c4_whatever_was_done_comes_back(tmp_path: Path, seed: int) -> None:
    store, random = tmp_path / "store", Random(seed)
    new_store(store).close()
    for _ in range(3):
        with open_store(str(store)) as repository:
            for _ in range(OPERATIONS // 3):
                try:
                    do_something(repository, random)
                except ArtfsError:
                    continue
        before = names(store)
        report = rebuild(store)
        assert report.ok, report
        assert names(store) == before


@pytest.mark.parametrize("seed", range(2))
def test_c4_without_checkpoints_all_commits_come_back(tmp_path: Path, seed: int) -> None:
    store, random = tmp_path / "store", Random(seed)
    with new_store(store) as repository:
        for _ in range(OPERATIONS):
            content = {"x": random.randbytes(8)}
            commit(repository, f"p/{random.choice('ab')}", content, aliases=(random.choice("uv"),))
    before = names(store)
    for path in (store / "checkpoints").iterdir():
        path.unlink()
    report = rebuild(store)
    assert (report.checkpoint_at_ns, len(report.replayed.added)) == (None, OPERATIONS)
    after = names(store)
    assert {row["id"] for row in after["versions"]} == {row["id"] for row in before["versions"]}
    with open_store(str(store)) as repository:
        for artifact in repository.catalog.artifacts():
            assert artifact.latest is not None
            assert artifact.latest.index == artifact.version_count - 1


def test_a_sound_catalog_is_left_to_whoever_asks_for_it(tmp_path: Path) -> None:
    with new_store(tmp_path / "store") as repository:
        commit(repository, "p/a", {"x": b"1"})
    with pytest.raises(Conflict, match="sound"):
        rebuild_catalog(lost_catalog(str(tmp_path / "store"), blobs=None))


# --- commits and checkpoints -----------------------------------------------------------------


def record(index: int, **changes: Any) -> CommitRecord:
    values: dict[str, Any] = {
        "format": 1,
        "id": f"{index:032x}",
        "project": "p",
        "name": "a",
        "type": "dataset",
        "index": index,
        "digest": "0" * 32,
        "content_digest": "c",
        "tree": "1" * 64,
        "size_bytes": 1,
        "file_count": 1,
        "description": None,
        "metadata": {},
        "created_at_ns": index,
        "ttl_s": None,
        "aliases": ["latest"],
        "tags": [],
    }
    return CommitRecord(**(values | changes))


def aliases(copied: Copy) -> dict[str, str]:
    return {row["name"]: row["version_id"] for row in copied["aliases"]}


def test_what_a_checkpoint_knows_a_record_does_not_change() -> None:
    copied = empty_copy()
    replay(copied, [record(0, aliases=["latest", "best"]), record(1)])
    copied["aliases"] = [row for row in copied["aliases"] if row["name"] != "best"]
    replayed = replay(copied, [record(0, aliases=["latest", "best"]), record(1), record(2)])
    assert replayed.added == ["p/a:v2"]
    assert aliases(copied) == {"latest": record(2).id}


def test_of_two_versions_with_one_number_both_come_back_and_no_latest_is_invented() -> None:
    copied = empty_copy()
    older = record(1, id="f" * 32, created_at_ns=1, aliases=["latest", "mine"])
    newer = record(1, created_at_ns=2)
    replayed = replay(copied, [record(0), older, newer, record(2)])
    assert replayed.renumbered == ["p/a:v3, committed as v1"]
    assert aliases(copied) == {"latest": record(2).id}
    assert {row["index"] for row in copied["links"]} == {0, 1, 2, 3}


def test_a_number_that_is_missing_is_not_given_again() -> None:
    copied = empty_copy()
    replay(copied, [record(0), record(5)])
    assert copied["artifacts"][0]["next_index"] == 6
    assert aliases(copied) == {"latest": record(5).id}


def test_a_version_whose_name_belongs_to_something_else_is_named() -> None:
    copied = empty_copy()
    replay(copied, [record(0)])
    replayed = replay(copied, [record(1, type="model")])
    assert replayed.left_out == ["p/a:v1: the name is one of type 'dataset'"]
    assert len(copied["versions"]) == 1
