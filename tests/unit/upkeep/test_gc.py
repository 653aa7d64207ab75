"""gc frees what no version needs, and never anything else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Event, Thread

import pytest

from artfs.blobs.base import Namespace, Transfer
from artfs.catalog.records import VersionRecord, VersionUpdate
from artfs.errors import ArtfsError, BlobNotFound, Conflict, NotFound
from artfs.manifest.entries import DirectoryEntry, FileEntry
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.sdk.publish import PutRequest, put
from artfs.upkeep.doctor import examine
from artfs.upkeep.gc import GcReport, collect
from artfs.upkeep.verify import verify

LARGE_BYTES = 1_100_000
LONG_S = 3_600.0


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    """A new embedded store."""
    with open_store(str(tmp_path / "store"), create=True) as opened:
        yield opened


def put_files(
    repository: Repository,
    directory: Path,
    files: dict[str, bytes],
    *,
    name: str = "p/a",
    ttl_s: int | None = None,
) -> VersionRecord:
    """Commit a version with exactly these files."""
    for path, data in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    outcome = put(repository, [directory], PutRequest(name=name, ttl_s=ttl_s))
    for path in files:
        (directory / path).unlink()
    return outcome.version


def stored(repository: Repository) -> dict[str, int]:
    """Every stored object and its size."""
    return {
        str(found.key): found.size_bytes
        for namespace in Namespace
        for found in repository.objects.objects(namespace)
    }


def assert_all_right(repository: Repository) -> None:
    """Every version can be read, and nothing is missing or left over."""
    versions = [version for version, _ in repository.catalog.live_trees()]
    with open_store(repository.info.location) as fresh:
        assert verify(fresh, versions).damages == ()
        assert examine(fresh) == []


def work_directory(tmp_path: Path) -> Path:
    """An empty directory to put from."""
    directory = tmp_path / "work"
    directory.mkdir(exist_ok=True)
    return directory


def test_what_versions_need_is_not_touched(repository: Repository, tmp_path: Path) -> None:
    work = work_directory(tmp_path)
    put_files(repository, work, {"large": os.urandom(LARGE_BYTES), "d/small": b"small"})
    put_files(repository, work, {"d/small": b"small", "other": b"other"})
    before = stored(repository)
    report = collect(repository, grace_s=0)
    assert report == GcReport(dry_run=False)
    assert stored(repository) == before
    assert_all_right(repository)


def test_what_a_deleted_version_alone_needed_is_removed_after_the_grace_period(
    repository: Repository, tmp_path: Path
) -> None:
    work = work_directory(tmp_path)
    shared = os.urandom(LARGE_BYTES)
    gone = put_files(repository, work, {"gone": os.urandom(LARGE_BYTES), "shared": shared})
    put_files(repository, work, {"shared": shared})
    repository.catalog.delete_version(gone.id, delete_aliases=True)

    first = collect(repository, grace_s=LONG_S)
    assert first.condemned.count == first.waiting.count == 2
    assert first.removed.count == 0
    again = collect(repository, grace_s=LONG_S)
    assert again.condemned.count == 0
    assert again.waiting.count == 2
    assert len(stored(repository)) == 4

    last = collect(repository, grace_s=1e-6)
    assert last.removed.count == 2
    assert last.packs_removed.count == 1
    assert last.waiting.count == 0
    assert len(stored(repository)) == 2
    assert_all_right(repository)


def test_without_grace_one_run_suffices(repository: Repository, tmp_path: Path) -> None:
    version = put_files(repository, work_directory(tmp_path), {"a": os.urandom(LARGE_BYTES)})
    repository.catalog.delete_version(version.id, delete_aliases=True)
    report = collect(repository, grace_s=0)
    assert report.removed.count == 2
    assert stored(repository) == {}
    assert_all_right(repository)


def test_a_dry_run_changes_nothing(repository: Repository, tmp_path: Path) -> None:
    work = work_directory(tmp_path)
    version = put_files(repository, work, {"a": os.urandom(LARGE_BYTES)})
    put_files(repository, work, {"b": b"b"}, name="p/b")
    repository.catalog.delete_version(version.id, delete_aliases=True)
    collect(repository, grace_s=LONG_S)
    left_by_a_killed_process(tmp_path)
    orphan_object(repository, tmp_path)
    before, trees = stored(repository), list(repository.catalog.live_trees())
    report = collect(repository, grace_s=1e-6, dry_run=True)
    assert stored(repository) == before
    assert list(repository.catalog.live_trees()) == trees
    assert report.removed.count == 2
    assert report.orphans.count == 1
    assert list(repository.catalog.condemned(before_ns=time.time_ns())) != []


def test_a_version_whose_time_is_over_is_deleted(repository: Repository, tmp_path: Path) -> None:
    work = work_directory(tmp_path)
    put_files(repository, work, {"a": b"a"}, ttl_s=0)
    put_files(repository, work, {"b": b"b"}, ttl_s=100_000)
    kept = put_files(repository, work, {"c": b"c"})
    assert collect(repository, grace_s=LONG_S, dry_run=True).expired == ["p/a:v0"]
    assert collect(repository, grace_s=0).expired == ["p/a:v0"]
    versions = repository.catalog.versions(repository.catalog.artifact("p", "a").id)
    assert [version.version for version in versions] == ["v2", "v1"]
    assert repository.resolve("p/a").id == kept.id
    assert_all_right(repository)


def test_a_pack_that_is_mostly_dead_is_written_anew_and_readers_find_the_new_one(
    repository: Repository, tmp_path: Path
) -> None:
    work = work_directory(tmp_path)
    files = {f"{number:03}": os.urandom(20_000) for number in range(100)}
    gone = put_files(repository, work, files)
    kept = put_files(repository, work, {"007": files["007"], "050": files["050"]})
    before = stored(repository)
    with open_store(repository.info.location) as reader:
        # It knows where everything was before gc moves it.
        entry = reader.find(kept.tree, "007")
        assert isinstance(entry, FileEntry)
        reader.prepare([entry])
        repository.catalog.delete_version(gone.id, delete_aliases=True)
        report = collect(repository, grace_s=0)
        assert report.packs_rewritten.count == 1
        assert report.removed.count == 99
        assert sum(stored(repository).values()) < sum(before.values()) / 20
        assert reader.blobs.read(entry.sha256) == files["007"]
    assert_all_right(repository)


def test_a_pack_that_is_mostly_alive_stays_as_it_is(repository: Repository, tmp_path: Path) -> None:
    work = work_directory(tmp_path)
    files = {f"{number:03}": os.urandom(20_000) for number in range(100)}
    gone = put_files(repository, work, files)
    del files["007"]
    put_files(repository, work, files)
    before = stored(repository)
    repository.catalog.delete_version(gone.id, delete_aliases=True)
    report = collect(repository, grace_s=0)
    assert report.packs_rewritten.count == 0
    assert report.waiting.count == 2
    assert stored(repository) == before
    assert_all_right(repository)


def test_small_files_with_a_large_index_are_not_taken_for_dead(
    repository: Repository, tmp_path: Path
) -> None:
    files = {f"{number:04}": number.to_bytes(4, "big") for number in range(2_000)}
    put_files(repository, work_directory(tmp_path), files)
    before = stored(repository)
    assert collect(repository, grace_s=0).packs_rewritten.count == 0
    assert stored(repository) == before


def left_by_a_killed_process(tmp_path: Path) -> Path:
    """A temporary file that nobody holds."""
    left = tmp_path / "store" / "tmp" / "0123456789abcdef" / "put.0123456789abcdef"
    left.parent.mkdir()
    left.write_bytes(b"left")
    return left


def orphan_object(repository: Repository, tmp_path: Path) -> None:
    """What a put leaves that is killed before its commit."""
    source = tmp_path / "orphan"
    source.write_bytes(os.urandom(LARGE_BYTES))
    ingest = repository.ingest()
    ingest.add_file(source, transfer=Transfer.COPY)
    ingest.add_bytes(b"small")
    # No finish: the pack stays in the workspace.


def test_orphans_and_temporaries_go_once_they_are_old(
    repository: Repository, tmp_path: Path
) -> None:
    put_files(repository, work_directory(tmp_path), {"a": b"a"})
    orphan_object(repository, tmp_path)
    left = left_by_a_killed_process(tmp_path)
    assert {finding.kind for finding in examine(repository)} >= {"orphan-blob", "temporary"}
    young = collect(repository, grace_s=LONG_S)
    assert young.orphans.count == 0
    assert young.waiting.count == 1
    assert young.temporaries.count == 1
    assert not left.exists()
    old = collect(repository, grace_s=0)
    assert (old.removed.count, old.removed.size_bytes) == (1, LARGE_BYTES)
    orphan_object(repository, tmp_path)
    at_once = collect(repository, grace_s=0)
    assert (at_once.orphans.count, at_once.orphans.size_bytes) == (1, LARGE_BYTES)
    assert at_once.removed.count == 0
    assert "orphan-blob" not in {finding.kind for finding in examine(repository)}


def test_a_put_that_meets_an_orphan_keeps_it(repository: Repository, tmp_path: Path) -> None:
    orphan_object(repository, tmp_path)
    content = (tmp_path / "orphan").read_bytes()
    put_files(repository, work_directory(tmp_path), {"a": content})
    (blob,) = (blob for blob in repository.catalog.blobs() if blob.pack is None)
    key = next(found.key for found in repository.objects.objects(Namespace.BLOBS))
    assert key.sha256 == blob.sha256
    collect(repository, grace_s=0)
    assert verify(repository, [repository.resolve("p/a")]).damages == ()


def test_condemned_content_that_is_committed_again_is_saved(
    repository: Repository, tmp_path: Path
) -> None:
    work = work_directory(tmp_path)
    content = {"a": os.urandom(LARGE_BYTES), "b": b"b"}
    version = put_files(repository, work, content)
    repository.catalog.delete_version(version.id, delete_aliases=True)
    assert collect(repository, grace_s=LONG_S).condemned.count == 3
    put_files(repository, work, content)
    collect(repository, grace_s=0)
    assert_all_right(repository)


def test_with_a_damaged_directory_nothing_is_removed(
    repository: Repository, tmp_path: Path
) -> None:
    work = work_directory(tmp_path)
    gone = put_files(repository, work, {"x": os.urandom(LARGE_BYTES)})
    put_files(repository, work, {"y": b"y"})
    repository.catalog.delete_version(gone.id, delete_aliases=True)
    record = repository.blobs.locate(repository.resolve("p/a").tree)
    assert record.pack is not None
    pack = tmp_path / "store" / "packs" / record.pack.hex()[:2] / record.pack.hex()[2:]
    pack.unlink()
    before = stored(repository)
    with open_store(repository.info.location) as fresh, pytest.raises(BlobNotFound):
        collect(fresh, grace_s=0)
    assert stored(repository) == before


@pytest.mark.parametrize("seed", range(4))
def test_any_mix_of_puts_deletions_and_collections_keeps_what_is_committed(
    repository: Repository, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    work = work_directory(tmp_path)
    pool = [random.randbytes(random.choice([10, 5_000, 60_000, LARGE_BYTES])) for _ in range(12)]
    for _ in range(30):
        action = random.random()
        versions = [version for version, _ in repository.catalog.live_trees()]
        if action < 0.5 or not versions:
            chosen = random.sample(range(len(pool)), random.randint(1, 6))
            files = {f"{index % 3}/{index}": pool[index] for index in chosen}
            put_files(repository, work, files, name=f"p/{random.choice('ab')}")
        elif action < 0.75:
            version = random.choice(versions)
            repository.catalog.delete_version(version.id, delete_aliases=True)
        else:
            collect(repository, grace_s=random.choice([0, 1e-6, LONG_S]))
    collect(repository, grace_s=0)
    versions = [version for version, _ in repository.catalog.live_trees()]
    with open_store(repository.info.location) as fresh:
        assert verify(fresh, versions).damages == ()


def test_commits_that_race_with_collections_lose_nothing(
    repository: Repository, tmp_path: Path
) -> None:
    stop = Event()
    failures: list[BaseException] = []
    pool = [Random(seed).randbytes(size) for seed, size in enumerate([30, 9_000, LARGE_BYTES] * 3)]

    def publish(number: int) -> None:
        random = Random(number)
        work = tmp_path / f"work{number}"
        work.mkdir()
        try:
            with open_store(repository.info.location) as own:
                while not stop.is_set():
                    chosen = random.sample(range(len(pool)), 3)
                    files = {str(index): pool[index] for index in chosen}
                    try:
                        version = put_files(own, work, files, name=f"p/{number}")
                        if random.random() < 0.7:
                            own.catalog.delete_version(version.id, delete_aliases=True)
                    except (Conflict, NotFound):
                        # gc was faster: nothing was committed, and the next put stores it anew.
                        continue
        except ArtfsError as error:
            failures.append(error)

    publishers = [Thread(target=publish, args=(number,)) for number in range(2)]
    for publisher in publishers:
        publisher.start()
    removed = 0
    deadline_s = time.monotonic() + 60
    while removed < 15 and time.monotonic() < deadline_s and not failures:
        # Longer than one of these puts takes, shorter than the test.
        removed += collect(repository, grace_s=1).removed.count
    stop.set()
    for publisher in publishers:
        publisher.join()
    assert failures == []
    versions = [version for version, _ in repository.catalog.live_trees()]
    with open_store(repository.info.location) as fresh:
        assert verify(fresh, versions).damages == ()


@pytest.mark.parametrize("holder", ["an alias", "a portfolio", "an alias there"])
def test_what_somebody_has_a_use_for_outlives_its_time_until_he_lets_go(
    repository: Repository, tmp_path: Path, holder: str
) -> None:
    work = work_directory(tmp_path)
    version = put_files(repository, work, {"a": b"a"}, ttl_s=0)
    put_files(repository, work, {"b": b"b"})
    catalog = repository.catalog
    if holder == "an alias":
        catalog.update_version(version.id, VersionUpdate(add_aliases=("production",)))
        why = "it has the alias 'production'"
    else:
        names = ("best",) if holder == "an alias there" else ()
        catalog.link(version.id, "p", "models", names)
        why = "it has the alias 'best'" if names else "it is linked into p/models"
    for dry_run in (True, False):
        report = collect(repository, grace_s=0, dry_run=dry_run)
        assert report.kept == [f"p/a:v0: {why}"]
        assert report.expired == []
    assert repository.find(repository.resolve("p/a:v0").tree, "a").name == "a"
    if holder == "an alias":
        catalog.update_version(version.id, VersionUpdate(remove_aliases=("production",)))
    else:
        catalog.unlink(version.id, "p", "models")
    assert collect(repository, grace_s=0).expired == ["p/a:v0"]
    assert_all_right(repository)


def test_a_file_with_the_bytes_of_a_directory_object_hides_nothing_of_that(
    repository: Repository, tmp_path: Path
) -> None:
    below = {"d/x": b"below"}
    first = put_files(repository, tmp_path / "in", below)
    entry = repository.find(first.tree, "d")
    assert isinstance(entry, DirectoryEntry)
    encoded = repository.blobs.read(entry.sha256)
    # It comes before the directory, and is reached first.
    put_files(repository, tmp_path / "in", {"a": encoded, **below})
    repository.catalog.delete_version(first.id, delete_aliases=True)
    collect(repository, grace_s=0)
    assert_all_right(repository)
