"""Rebuilding a catalog: whatever was done to a store, the same comes back."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from artfs.catalog.copies import empty_copy
from artfs.catalog.records import Copy, VersionUpdate
from artfs.errors import ArtfsError, BlobNotFound, Conflict
from artfs.model import RunState
from artfs.repository.facade import Repository
from artfs.repository.recovery import CommitRecord
from artfs.repository.replacement import lost_catalog
from artfs.repository.stores import make_store, open_store
from artfs.upkeep.doctor import examine
from artfs.upkeep.gc import collect
from artfs.upkeep.rebuild import RebuildReport, rebuild_catalog
from artfs.upkeep.replay import replay
from artfs.upkeep.verify import verify
from tests.servers.postgres import PostgreSQL
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


# --- what is not as it was -------------------------------------------------------------------


def damaged_paths(report: RebuildReport) -> list[tuple[str, str]]:
    return [(damage.version, damage.path) for damage in report.damages]


def all_right(store: Path) -> bool:
    with open_store(str(store)) as repository:
        versions = [version for version, _ in repository.catalog.live_trees()]
        return bool(versions) and verify(repository, versions).damages == ()


def test_a_version_that_lacks_a_file_comes_back_and_is_healed(tmp_path: Path) -> None:
    store, content = tmp_path / "store", {"small": b"s", "large": b"x" * 1_500_000}
    with new_store(store) as repository:
        commit(repository, "p/a", content)
    (large,) = [path for path in (store / "blobs").rglob("*") if path.is_file()]
    large.unlink()
    assert damaged_paths(rebuild(store)) == [("p/a:v0", "large")]
    with open_store(str(store)) as repository:
        commit(repository, "p/a", content)
    assert all_right(store)


def test_a_version_that_lacks_its_directory_comes_back_and_gc_removes_nothing(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    with new_store(store) as repository:
        commit(repository, "p/a", {"small": b"s", "large": b"x" * 1_500_000})
    (pack,) = [path for path in (store / "packs").rglob("*") if path.is_file()]
    aside = pack.rename(tmp_path / "pack")
    assert damaged_paths(rebuild(store)) == [("p/a:v0", ".")]
    with open_store(str(store)) as repository, pytest.raises(BlobNotFound):
        collect(repository, grace_s=0)
    aside.rename(pack)
    assert rebuild(store).ok
    assert all_right(store)


def test_a_pack_without_a_footer_is_named(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with new_store(store) as repository:
        commit(repository, "p/a", {"small": b"s"})
    (pack,) = [path for path in (store / "packs").rglob("*") if path.is_file()]
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:-1])
    report = rebuild(store)
    assert "trailer" in report.unusable[0]
    assert not report.ok


def test_a_catalog_that_is_an_older_copy_gets_the_rest_back(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with new_store(store) as repository:
        commit(repository, "p/a", {"x": b"1"})
    copy = (store / "catalog.sqlite").read_bytes()
    with open_store(str(store)) as repository:
        commit(repository, "p/a", {"x": b"2"}, aliases=("best",))
    (store / "catalog.sqlite").write_bytes(copy)
    with open_store(str(store)) as repository:
        (unknown,) = [each for each in examine(repository) if each.kind == "unknown-commit"]
        assert unknown.count == 1
        commit(repository, "p/a", {"x": b"3"})
    report = rebuild_catalog(lost_catalog(str(store), blobs=None), on_sound=lambda: None)
    assert report.replayed.renumbered == ["p/a:v2, committed as v1"]
    with open_store(str(store)) as repository:
        versions = [version for version, _ in repository.catalog.live_trees()]
        assert {version.index: version.aliases for version in versions} == {
            0: (),
            1: ("latest",),
            2: (),
        }


def test_gc_removes_records_with_their_versions(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with new_store(store) as repository:
        first = commit(repository, "p/a", {"x": b"1"})
        second = commit(repository, "p/a", {"x": b"2"})
        repository.catalog.delete_version(first.id, delete_aliases=False)
        collect(repository, dry_run=True)
        assert len(list((store / "commits").iterdir())) == 2
        collect(repository)
        assert [path.name for path in (store / "commits").iterdir()] == [second.id]


def test_what_only_the_catalog_knows_is_said_until_gc_writes_it_down(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with new_store(store) as repository:
        commit(repository, "p/a", {"x": b"1"})
        for path in (store / "commits").iterdir():
            path.unlink()
        (store / "checkpoints" / f"{1:012d}").unlink()
        counts = {each.kind: each.count for each in examine(repository)}
        assert counts["unrecorded"] == 1
        collect(repository)
        assert "unrecorded" not in {each.kind for each in examine(repository)}


def test_c4_a_lost_database_over_a_directory_is_rebuilt(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    blobs = (tmp_path / "objects").as_uri()
    old, new = postgresql.new_schema(), postgresql.new_schema()
    make_store(old, blobs=blobs, entity="team")
    with open_store(old) as repository:
        version = commit(repository, "p/a", {"x": b"1"}, aliases=("best",))
    assert rebuild_catalog(lost_catalog(new, blobs=blobs)).ok
    with open_store(new) as repository:
        assert repository.catalog.version("p", "a", "best") == version
        assert repository.info.entity == "team"


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


def test_a_copy_that_was_put_in_among_others_gets_its_number_back() -> None:
    copied = empty_copy()
    replay(copied, [record(3)])
    replayed = replay(copied, [record(1, aliases=["mine"]), record(3)])
    assert (replayed.added, replayed.renumbered) == (["p/a:v1"], [])
    assert aliases(copied) == {"latest": record(3).id, "mine": record(1).id}


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
