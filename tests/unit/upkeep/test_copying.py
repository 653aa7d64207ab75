"""A copy holds what its source does: digests, trees, numbers, names; and is sent only once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from artfs.catalog.records import ArtifactChange, CommitRequest, VersionRecord, VersionUpdate
from artfs.errors import ArtfsError, IntegrityError, NotFound, VersionExists
from artfs.manifest.directory import directory_digest, encode_directory
from artfs.manifest.entries import DirectoryEntry, FileEntry
from artfs.manifest.tree import walk
from artfs.model import Digest, RunState
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.system.progress import Progress, ProgressMeter
from artfs.upkeep.copy_selection import CopyReport, CopyRequest, select
from artfs.upkeep.copying import copy
from artfs.upkeep.gc import collect
from artfs.upkeep.verify import verify
from tests.support.stores import (
    Content,
    EmptyDirectory,
    File,
    Link,
    commit,
    commit_encoded,
    commit_references,
)

LARGE = os.urandom(4 * 1024 * 1024 + 17)
ALL = CopyRequest(all_versions=True)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Repository]:
    with open_store(str(tmp_path / "source"), create=True, entity="team") as opened:
        yield opened


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Repository]:
    with open_store(str(tmp_path / "target"), create=True, entity="team") as opened:
        yield opened


def copied(
    source: Repository,
    target: Repository | None,
    request: CopyRequest = ALL,
    *,
    dry_run: bool = False,
    on_progress: Any = None,
) -> CopyReport:
    report = CopyReport(dry_run=dry_run)
    meter = ProgressMeter(on_progress)
    copy(source, target, request, select(source, request, report), report=report, meter=meter)
    return report


def versions(repository: Repository, path: str = "p/a") -> dict[int, VersionRecord]:
    project, _, name = path.partition("/")
    artifact = repository.catalog.artifact(project, name)
    return {each.index: each for each in repository.catalog.versions(artifact.id)}


def assert_sound(repository: Repository) -> None:
    found = [version for version, _ in repository.catalog.live_trees()]
    assert verify(repository, found).damages == ()


# --- what is the same ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"a": b"", "b": b"b", "c/d/e": File(b"x", executable=True), "l": Link("../away")},
        {"empty": EmptyDirectory(), "x/empty": EmptyDirectory(), "large": LARGE, "again": LARGE},
        {"/".join(["deep"] * 400): b"down"},
        {f"same{number}/f": b"s" for number in range(5)}
        | {"ü\n:": b"odd", "z.b": b"1", "z/b": b"2"},
    ],
    ids=["nothing", "kinds", "large", "deep", "repeated"],
)
def test_a_copy_has_the_same_tree_digests_and_facts(
    source: Repository, target: Repository, content: Content
) -> None:
    made = commit(source, "p/a", content, metadata={"k": [1]}, aliases=("best",))
    update = VersionUpdate(description="d", tags=("t", "u"), ttl_s=10**6)
    made = source.catalog.update_version(made.id, update)
    copied(source, target, CopyRequest(aliases=True))
    (found,) = versions(target).values()
    assert found == made
    assert dict(walk(target.directory, found.tree)) == dict(walk(source.directory, made.tree))
    assert_sound(target)
    again = copied(source, target, CopyRequest(aliases=True))
    assert (again.created, again.sent_bytes, again.aliases, len(again.versions)) == ([], 0, [], 1)


def test_a_second_version_sends_what_is_new_in_it(source: Repository, target: Repository) -> None:
    first = commit(source, "p/a", {"sub/large": LARGE, "sub/s": b"s", "t": b"t"})
    copied(source, target)
    commit(source, "p/a", {"t": b"changed"}, base=first)
    report = copied(source, target, CopyRequest())
    assert report.versions[0].sent_blobs == 2
    assert report.sent_bytes < 1_000
    assert_sound(target)


def test_references_stay_references(source: Repository, target: Repository, tmp_path: Path) -> None:
    (tmp_path / "far").write_bytes(b"far away")
    data = commit(source, "p/data", {"f": b"f"})
    commit_references(source, "p/a", far=(tmp_path / "far").as_uri(), other="artfs://p/data:v0/f")
    report = copied(source, target, CopyRequest(project="p", name="a"))
    assert report.unresolved == [f"p/a:v0: {data.id}"]
    assert versions(target)[0].digest == versions(source)[0].digest
    assert copied(source, target, CopyRequest(project="p", name="data")).unresolved == []
    entry = target.find(versions(target)[0].tree, "other")
    assert isinstance(entry, type(source.find(versions(source)[0].tree, "other")))
    assert bytes(target.content(entry).load_block(0)) == b"f"  # type: ignore[arg-type]


# --- numbers and names -----------------------------------------------------------------------


def test_numbers_are_kept_whichever_version_is_copied_first(
    source: Repository, target: Repository
) -> None:
    made = [commit(source, "p/a", {"f": b"%d" % number}) for number in range(5)]
    source.catalog.delete_version(made[1].id, delete_aliases=True)
    copied(source, target, CopyRequest())
    copied(source, target, CopyRequest(project="p", name="a", selector="v2"))
    assert (sorted(versions(target)), versions(target)[4].aliases) == ([2, 4], ("latest",))
    copied(source, target)
    assert sorted(versions(target)) == [0, 2, 3, 4]
    assert versions(target) == versions(source)
    assert commit(target, "p/a", {"f": b"own"}).index == 5


def test_the_same_content_twice_is_two_versions_with_their_numbers(
    source: Repository, target: Repository
) -> None:
    for data in (b"a", b"b", b"a"):
        commit(source, "p/a", {"f": data})
    copied(source, target)
    assert versions(target) == versions(source)


def test_beside_others_versions_get_the_next_numbers_and_equal_ones_are_found(
    source: Repository, target: Repository
) -> None:
    commit(target, "p/a", {"f": b"own"})
    commit(target, "p/a", {"f": b"1"})
    for number in range(3):
        commit(source, "p/a", {"f": b"%d" % number}, aliases=(f"n{number}",))
    report = copied(source, target, CopyRequest(all_versions=True, aliases=True))
    assert [(each.source, each.target, each.created) for each in report.versions] == [
        ("p/a:v0", "p/a:v2", True),
        ("p/a:v1", "p/a:v1", False),
        ("p/a:v2", "p/a:v3", True),
    ]
    assert {index: each.aliases for index, each in versions(target).items()} == {
        0: (),
        1: ("n1",),
        2: ("n0",),
        3: ("latest", "n2"),
    }
    assert copied(source, target).created == []


def test_a_name_that_is_one_of_something_else_is_said_and_the_rest_copied(
    source: Repository, target: Repository
) -> None:
    commit(source, "p/a", {"f": b"1"})
    other = commit(source, "p/b", {"f": b"2"})
    target.catalog.link(commit(target, "q/x", {}).id, "p", "a", [])
    report = copied(source, target)
    assert [type(each.error) for each in report.failures] == [VersionExists]
    assert versions(target, "p/b")[0].id == other.id


def test_projects_and_artifacts_are_called_otherwise(
    source: Repository, target: Repository
) -> None:
    made = commit(source, "p/a", {"f": b"1"})
    copied(source, target, CopyRequest(project="p", new_project="q"))
    copied(source, target, CopyRequest(project="p", name="a", new_project="q", new_name="b"))
    assert versions(target, "q/a")[0].id == made.id
    assert versions(target, "q/b")[0].digest == made.digest


def test_a_portfolio_is_copied_with_what_is_in_it(source: Repository, target: Repository) -> None:
    made = [commit(source, "p/a", {"f": b"%d" % number}) for number in range(3)]
    for version in (made[2], made[0]):
        source.catalog.link(version.id, "team", "best", [f"was{version.index}"])
    request = CopyRequest(project="team", all_versions=True, aliases=True)
    assert copied(source, target, request).links == ["team/best:v0", "team/best:v1"]
    assert versions(target, "team/best") == versions(source, "team/best")
    assert sorted(versions(target)) == [0, 2]
    assert copied(source, target, request).links == []


def test_lineage_is_copied_with_its_runs(source: Repository, target: Repository) -> None:
    def started(name: str) -> str:
        run = source.catalog.create_run("p", name=name, job_type="train", config={"lr": 0.1})
        source.catalog.describe_run(run.id, {"notes": name})
        return run.id

    maker, user = started("maker"), started("user")
    version = commit(source, "p/a", {"f": b"1"}, run_id=maker)
    source.catalog.record_use(user, version.id, use_as=None)
    source.catalog.finish_run(maker, RunState.FINISHED)
    request = CopyRequest(all_versions=True, lineage=True)
    report = copied(source, target, request)
    assert (report.runs, report.uses) == (2, 2)
    assert target.catalog.maker_of(version.id) == source.catalog.run(maker)
    assert [run.id for run in target.catalog.users_of(version.id)] == [user]
    assert target.catalog.run_details([user]) == {user: {"notes": "user"}}
    again = copied(source, target, request)
    assert (again.runs, again.uses) == (0, 0)
    source.catalog.finish_run(user, RunState.FAILED)
    assert copied(source, target, request).runs == 1
    assert target.catalog.run(user) == source.catalog.run(user)


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(
    source: Repository, target: Repository
) -> None:
    commit(source, "p/a", {"large": LARGE, "s/s": b"s"})
    dry = copied(source, target, dry_run=True)
    without = copied(source, None, dry_run=True)
    assert target.catalog.projects() == []
    assert dry.sent_bytes == without.sent_bytes
    sent = copied(source, target)
    assert sent.sent_bytes == dry.sent_bytes


# --- faults ----------------------------------------------------------------------------------


def test_damage_in_the_source_does_not_come_into_the_target(
    source: Repository, target: Repository
) -> None:
    commit(source, "p/a", {"large": LARGE})
    commit(source, "p/a", {"s": b"right"})
    blob = next(each for each in source.catalog.blobs() if each.pack is None)
    assert source.info.root is not None
    path = source.info.root / "blobs" / blob.sha256.hex()[:2] / blob.sha256.hex()[2:]
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"X")
    report = copied(source, target)
    assert [(each.source, type(each.error)) for each in report.failures] == [
        ("p/a:v0", IntegrityError)
    ]
    assert "large" in str(report.failures[0].error)
    assert list(versions(target)) == [1]
    assert_sound(target)
    path.write_bytes(LARGE)
    with open_store(str(source.info.root)) as healed:
        assert [each.target for each in copied(healed, target).created] == ["p/a:v0"]


@pytest.mark.parametrize("lie", ["md5", "size_bytes", "blocks", "catalog"])
def test_a_source_that_lies_is_not_believed(
    source: Repository, target: Repository, lie: str
) -> None:
    made = commit(source, "p/a", {"large": LARGE, "s": b"s"})
    entry = source.find(made.tree, "large")
    assert isinstance(entry, FileEntry)
    lies: dict[str, Any] = {
        "md5": b"0" * 16,
        "size_bytes": 12,
        "blocks": Digest(source.find(made.tree, "s").sha256),  # type: ignore[union-attr]
    }
    if lie == "catalog":
        commit_encoded(source, "p/lie", encode_directory([entry]))
    else:
        encoded = encode_directory([msgspec.structs.replace(entry, **{lie: lies[lie]})])
        ingest, digest = source.ingest(), directory_digest(encoded)
        ingest.add_directory(digest, encoded)
        request = CommitRequest(project="p", name="lie", type="dataset")
        source.commit(ingest, DirectoryEntry("", digest, len(LARGE), 1), request)
    report = copied(source, target, CopyRequest(project="p", name="lie"))
    assert len(report.failures) == 1
    with pytest.raises(NotFound):
        target.catalog.artifact("p", "lie")


def test_gc_of_both_stores_takes_nothing_from_a_running_copy(
    source: Repository, target: Repository
) -> None:
    made = commit(source, "p/a", {f"{number}": os.urandom(1_100_000) for number in range(4)})
    collected: list[bool] = []

    def collect_both(_: Progress) -> None:
        if not collected:
            collected.append(True)
            source.catalog.delete_version(made.id, delete_aliases=True)
        for repository in (source, target):
            collect(repository, grace_s=0)

    report = copied(source, target, on_progress=collect_both)
    assert (collected, report.failures) == ([True], [])
    assert versions(target)[0].id == made.id
    collect(target, grace_s=0)
    assert_sound(target)


def test_what_was_sent_before_a_fault_is_not_sent_again(
    source: Repository, target: Repository
) -> None:
    contents = {f"{number}": os.urandom(1_100_000) for number in range(4)}
    commit(source, "p/a", contents)

    def fail(progress: Progress) -> None:
        if progress.files_done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copied(source, target, on_progress=fail)
    assert target.catalog.projects() == []
    there = target.catalog.totals().blobs
    assert there >= 1
    assert copied(source, target).versions[0].sent_blobs == 5 - there
    assert_sound(target)


def test_two_copies_at_once_make_each_version_once(source: Repository, target: Repository) -> None:
    for number in range(6):
        commit(source, "p/a", {f"{number}": b"%d" % number, "large": LARGE})
    failed: list[ArtfsError] = []
    reports: list[CopyReport] = []

    def work() -> None:
        try:
            reports.append(copied(source, target))
        except ArtfsError as error:
            failed.append(error)

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [each.failures for each in reports] == [[], []]
    assert versions(target) == versions(source)
    assert_sound(target)


def test_what_is_said_of_an_artifact_goes_where_nothing_is_said_of_it(
    source: Repository, target: Repository
) -> None:
    commit(source, "p/a", {"f": File(b"1")})
    commit(source, "p/b", {"f": File(b"2")})
    for name in ("a", "b"):
        change = ArtifactChange(description=f"of {name}", add_tags=("x",))
        source.catalog.change_artifact(source.catalog.artifact("p", name).id, change)
    commit(target, "p/b", {"f": File(b"2")})
    own = ArtifactChange(description="its own")
    target.catalog.change_artifact(target.catalog.artifact("p", "b").id, own)
    copied(source, target, CopyRequest(all_versions=True, aliases=True))
    said = [(each.description, each.tags) for each in target.catalog.artifacts()]
    assert said == [("of a", ("x",)), ("its own", ())]
