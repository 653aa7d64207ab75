"""Versions: when a new one is made, what it is built on, and many writers at once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import artfs
from artfs.catalog.records import CommitRequest
from artfs.errors import EntryNotFound
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import DirectoryEntry, FileEntry
from artfs.model import Digest
from artfs.repository.facade import Repository
from tests.unit.sdk.helpers import files_below, logged, write


def test_c3_the_content_of_latest_makes_no_new_version(run: artfs.Run) -> None:
    first = logged(run, {"x": "1"})
    again = logged(run, {"x": "1"})
    assert (again.version, again.id) == ("v0", first.id)
    assert logged(run, {"x": "2"}).version == "v1"
    assert logged(run, {"x": "1"}).version == "v2"


def test_aliases_move_with_or_without_a_new_version(run: artfs.Run) -> None:
    artifact = artfs.Artifact("data", type="dataset")
    run.log_artifact(artifact, aliases=["best", "best", "latest"])
    assert artifact.aliases == ["best", "latest"]
    logged(run, {"x": "1"})
    again = artfs.Artifact("data", type="dataset")
    with again.new_file("x") as file:
        file.write("1")
    run.log_artifact(again, aliases="best")
    assert run.use_artifact("data:best").version == "v1"
    assert run.use_artifact("data:v0").aliases == []


def test_incremental_builds_on_latest(run: artfs.Run, workplace: Path) -> None:
    logged(run, {"a": "1", "b/c": "2", "b/d": "3"})
    artifact = artfs.Artifact("data", type="dataset", incremental=True)
    assert artifact.incremental
    with artifact.new_file("b/c") as file:
        file.write("changed")
    with artifact.new_file("new") as file:
        file.write("4")
    assert run.log_artifact(artifact).version == "v1"
    assert files_below(Path(artifact.download())) == {
        "a": b"1",
        "b/c": b"changed",
        "b/d": b"3",
        "new": b"4",
    }


def test_incremental_on_nothing_is_a_first_version(run: artfs.Run) -> None:
    artifact = artfs.Artifact("data", type="dataset", incremental=True)
    with artifact.new_file("x") as file:
        file.write("1")
    assert run.log_artifact(artifact).version == "v0"


def test_incremental_without_a_change_makes_no_new_version(run: artfs.Run) -> None:
    logged(run, {"a": "1", "b": "2"})
    artifact = artfs.Artifact("data", type="dataset", incremental=True)
    with artifact.new_file("b") as file:
        file.write("2")
    assert run.log_artifact(artifact).version == "v0"


def test_incremental_shares_every_directory_that_it_does_not_touch(
    run: artfs.Run, repository: Repository, tmp_path: Path
) -> None:
    tree = wide_tree(repository, directories=300, files=100)
    before = store_bytes(tmp_path)
    artifact = artfs.Artifact("wide", type="dataset", incremental=True)
    with artifact.new_file("d007/f050") as file:
        file.write("changed")
    run.log_artifact(artifact)
    assert artifact.version == "v1"
    # 30,000 entries are there; one directory of 100 and the root of 300 were written.
    assert store_bytes(tmp_path) - before < 100_000
    old, new = (
        entries(repository, tree),
        entries(repository, Digest(bytes.fromhex(artifact.commit_hash))),
    )
    assert [name for name in old if old[name] != new[name]] == ["d007"]


def test_removing_from_an_incremental_draft_removes_from_latest(
    run: artfs.Run, workplace: Path
) -> None:
    logged(run, {"a": "1", "b/c": "2", "b/d": "3", "e/f/g": "4"})
    artifact = artfs.Artifact("data", type="dataset", incremental=True)
    with artifact.new_file("b/new") as file:
        file.write("new")
    with artifact.new_file("unwanted") as file:
        file.write("unwanted")
    for path in ("b/c", "e/f/g", "unwanted"):
        artifact.remove(path)
    with artifact.new_file("e") as file:
        file.write("in the place of a directory")
    for missing in ("b/c", "unwanted", "nothing", "b/c/d"):
        with pytest.raises(EntryNotFound):
            artifact.remove(missing)
    assert run.log_artifact(artifact).version == "v1"
    assert files_below(Path(artifact.download())) == {
        "a": b"1",
        "b/d": b"3",
        "b/new": b"new",
        "e": b"in the place of a directory",
    }


def test_what_others_removed_meanwhile_may_be_removed_too(run: artfs.Run) -> None:
    logged(run, {"a": "1", "b": "2"})
    drafts = [artfs.Artifact("data", type="dataset", incremental=True) for _ in range(2)]
    for number, draft in enumerate(drafts):
        draft.remove("b")
        draft.add_bytes(b"x", f"new{number}")
    for draft in drafts:
        run.log_artifact(draft)
    assert set(drafts[1].manifest.entries) == {"a", "new0", "new1"}


def test_a_draft_of_a_version_begins_with_its_content(run: artfs.Run, workplace: Path) -> None:
    first = logged(run, {"a": "1", "b/c": "2", "b/d": "3"})
    logged(run, {"other": "content"})
    draft = first.new_draft()
    assert (draft.name, draft.type, draft.state) == ("data", "dataset", "PENDING")
    assert (draft.size, draft.find_entry("b/c")) == (3, first.get_path("b/c"))
    draft.add_bytes(b"changed", "a")
    draft.remove(first.get_path("b/c"))
    draft.remove("b")
    assert draft.find_entry("b/c") is None
    draft.add_bytes(b"new", "b/e")
    assert draft.size == len("changednew")
    assert list(draft.manifest.entries) == ["a", "b/e"]
    digest = draft.digest
    with pytest.raises(artfs.ArtifactFinalizedError):
        draft.remove("a")
    assert run.log_artifact(draft).version == "v2"
    assert draft.digest == digest
    assert files_below(Path(draft.download())) == {"a": b"changed", "b/e": b"new"}
    assert files_below(Path(first.download())) == {"a": b"1", "b/c": b"2", "b/d": b"3"}


def test_an_unchanged_draft_of_latest_makes_no_new_version(run: artfs.Run) -> None:
    first = artfs.Artifact("data", type="dataset", metadata={"n": 1})
    first.add_bytes(b"1", "a")
    draft = run.log_artifact(first).new_draft()
    assert draft.metadata == {"n": 1}
    assert run.log_artifact(draft).version == "v0"


def test_a_draft_of_a_version_fetches_and_writes_only_what_is_touched(
    run: artfs.Run, repository: Repository, tmp_path: Path
) -> None:
    wide_tree(repository, directories=300, files=100)
    before = store_bytes(tmp_path)
    draft = run.use_artifact("wide:v0").new_draft()
    draft.add_bytes(b"changed", "d007/f050")
    draft.remove("d008/f001")
    run.log_artifact(draft)
    assert store_bytes(tmp_path) - before < 100_000
    assert len(draft.manifest.entries) == 29_999


def test_only_a_logged_artifact_has_new_drafts(run: artfs.Run) -> None:
    with pytest.raises(artfs.ArtifactNotLoggedError):
        artfs.Artifact("data", type="dataset").new_draft()


def test_what_was_added_can_be_removed(run: artfs.Run, workplace: Path) -> None:
    artifact = artfs.Artifact("data", type="dataset")
    for path in ("a/b/c", "a/d", "e"):
        artifact.add_bytes(path.encode(), path)
    artifact.remove("a/b/c")
    artifact.remove("e")
    artifact.add_bytes(b"another", "a/b")
    with pytest.raises(EntryNotFound):
        artifact.remove("e")
    run.log_artifact(artifact)
    assert files_below(Path(artifact.download())) == {"a/b": b"another", "a/d": b"a/d"}


def wide_tree(repository: Repository, *, directories: int, files: int) -> Digest:
    """A version `wide:v0` of directories with tiny files."""
    ingest = repository.ingest()
    content = ingest.add_bytes(b"tiny")
    builder = TreeBuilder(ingest.directory_loader(repository.directory))
    for number in range(directories * files):
        path = f"d{number // files:03}/f{number % files:03}"
        entry = FileEntry("", content.sha256, 4, content.md5, None, False, number)
        builder.put(path, entry)
    tree = builder.build(ingest.add_directory)
    repository.commit(ingest, tree, CommitRequest(project="demo", name="wide", type="dataset"))
    return tree.sha256


def entries(repository: Repository, tree: Digest) -> dict[str, DirectoryEntry]:
    found = repository.directory(tree).entries()
    return {entry.name: entry for entry in found if isinstance(entry, DirectoryEntry)}


def store_bytes(tmp_path: Path) -> int:
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if "sqlite" not in path.name)


# --- many writers ------------------------------------------------------------------------------


def log_some(worker: int, count: int, versions: multiprocessing.Queue[list[str]]) -> None:
    run = artfs.init(project="demo")
    made = []
    for number in range(count):
        artifact = artfs.Artifact("shared", type="dataset")
        with artifact.new_file("x") as file:
            file.write(f"{worker} {number}")
        made.append(run.log_artifact(artifact, aliases=[f"worker-{worker}"]).version)
    run.finish()
    versions.put(made)


def grow(worker: int, count: int, versions: multiprocessing.Queue[list[str]]) -> None:
    run = artfs.init(project="demo")
    made = []
    for number in range(count):
        artifact = artfs.Artifact("shared", type="dataset", incremental=True)
        with artifact.new_file(f"{worker}-{number}") as file:
            file.write("x")
        made.append(run.log_artifact(artifact).version)
    run.finish()
    versions.put(made)


def in_processes(work: Callable[..., None], workers: int, count: int) -> list[list[str]]:
    context = multiprocessing.get_context("spawn")
    versions = context.Queue()
    processes = [
        context.Process(target=work, args=(worker, count, versions)) for worker in range(workers)
    ]
    for process in processes:
        process.start()
    made = [versions.get(timeout=100) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return made


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this module importable for processes that start from nothing."""
    root = str(Path(artfs.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", root)
    assert os.environ["ARTFS_STORE"]


def numbers(made: Sequence[Sequence[str]]) -> list[int]:
    return sorted(int(version[1:]) for each in made for version in each)


def test_c1_eight_processes_get_dense_unique_versions_and_the_right_latest(
    importable: None,
) -> None:
    made = in_processes(log_some, workers=8, count=4)
    assert numbers(made) == list(range(32))
    assert all(list(each) == sorted(each, key=lambda version: int(version[1:])) for each in made)
    api = artfs.Api()
    assert api.artifact("demo/shared:latest").version == "v31"
    versions = api.artifact_versions("dataset", "demo/shared")
    assert [artifact.version for artifact in versions] == [f"v{n}" for n in range(31, -1, -1)]
    for worker in range(8):
        content = api.artifact(f"demo/shared:worker-{worker}").get_path("x").read_bytes()
        assert content == f"{worker} 3".encode()


def test_incremental_writers_lose_nothing_of_each_other(importable: None) -> None:
    made = in_processes(grow, workers=4, count=3)
    assert numbers(made) == list(range(12))
    manifest = artfs.Api().artifact("demo/shared:latest").manifest
    wanted = {f"{worker}-{number}" for worker in range(4) for number in range(3)}
    assert set(manifest.entries) == wanted


def test_a_forked_child_can_log_what_its_parent_began(run: artfs.Run, workplace: Path) -> None:
    write(workplace, {"x": "1"})
    artifact = artfs.Artifact("data", type="dataset")
    logged(run, {"before": "1"}, name="other")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            artifact.add_file("x")
            status = 0 if run.log_artifact(artifact).version == "v0" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run.use_artifact("data:v0").get_path("x").read_bytes() == b"1"
    assert run.state == "running"
