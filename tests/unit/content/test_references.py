"""References through a repository: promises of issue-sized reads, outages, many processes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random

import msgspec
import pytest

from artfs.blobs.cache import BlockCache
from artfs.catalog.records import CommitRequest
from artfs.content.base import Content, read_blocks
from artfs.content.references import ReferenceReader
from artfs.content.remote import CachedContent
from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    IntegrityError,
    PathNotFound,
    ReferenceChanged,
    Unsupported,
    VersionNotFound,
)
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.manifest.tree import walk
from artfs.manifest.wandb import tree_entries
from artfs.model import BLOCK_SIZE_BYTES, ByteRange, Digest, block_count
from artfs.references.file import FileHandler
from artfs.references.http import HttpHandler
from artfs.references.registry import References
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.upkeep.gc import collect
from tests.servers.faultproxy import Fault, fault_proxy
from tests.servers.gcs import GcsEmulator
from tests.servers.nginx import Nginx
from tests.servers.seaweedfs import REGION, SeaweedFS
from tests.support.faults import wait_until
from tests.support.references import QUICK, ROOMY, Reading
from tests.support.stores import commit

DATA = Random(11).randbytes(3 * BLOCK_SIZE_BYTES + 77)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return open_store(str(tmp_path / "store"), create=True)


def commit_all(repository: Repository, name: str, *uris: str) -> Digest:
    """A version with these references, each in a directory of its number; its tree."""
    ingest = repository.ingest()
    builder = TreeBuilder(ingest.directory_loader(repository.directory), None)
    for number, uri in enumerate(uris):
        for path, entry in repository.references.describe(uri):
            builder.put(f"{number}/{path}", entry)
    tree = builder.build(ingest.add_directory)
    request = CommitRequest(project="p", name=name, type="dataset")
    return repository.commit(ingest, tree, request).version.tree


def contents(repository: Repository, tree: Digest) -> dict[str, bytes]:
    found = {}
    for path, entry in walk(repository.directory, tree):
        if isinstance(entry, (FileEntry, ReferenceEntry)):
            found[path] = b"".join(read_blocks(repository.content(entry)))
    return found


def test_a_version_of_mixed_references_is_listed_without_a_request_for_content(
    repository: Repository,
    nginx: Nginx,
    seaweedfs: SeaweedFS,
    gcs: GcsEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = seaweedfs.new_prefix()
    client = seaweedfs.client()
    for number in range(5):
        client.put_object(Bucket=seaweedfs.bucket, Key=f"{prefix}/{number}", Body=b"s3")
        gcs.put(f"{prefix}/{number}", b"gs")
        nginx.write(f"{prefix}/{number}", b"web")
        path = tmp_path / "files" / str(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"file")
    for number in range(5, 1000 - 15):
        (tmp_path / "files" / str(number)).write_bytes(b"file")
    with fault_proxy(seaweedfs.endpoint_url) as s3, fault_proxy(gcs.url) as gs:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs.url)
        tree = commit_all(
            repository,
            "mixed",
            f"s3://{seaweedfs.bucket}/{prefix}",
            f"gs://{gcs.bucket}/{prefix}",
            f"file://{tmp_path}/files",
            *(f"{nginx.url}/plain/{prefix}/{number}" for number in range(5)),
        )
        before = (s3.request_count, gs.request_count, nginx.log.read_text())
        listed = [
            entry
            for _, entry in walk(repository.directory, tree)
            if isinstance(entry, ReferenceEntry)
        ]
        assert len(listed) == 1000
        assert all(entry.size_bytes is not None for entry in listed)
        assert (s3.request_count, gs.request_count, nginx.log.read_text()) == before
        found = contents(repository, tree)
    assert found["0/3"] == b"s3"
    assert found["1/3"] == b"gs"
    assert found["2/999"[:-1]] == b"file"
    assert found["5/2"] == b"web"


def test_without_the_network_what_was_warmed_reads_and_the_rest_fails_in_time(
    nginx: Nginx, tmp_path: Path
) -> None:
    nginx.write("offline.bin", DATA)
    nginx.write("cold.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        reading = Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})
        warm = reading.one(f"{proxy.url}/plain/offline.bin")
        unknown = reading.one(f"{proxy.url}/plain/offline.bin", checksum=False)
        measured = reading.one(f"{proxy.url}/no-size/offline.bin", checksum=False)
        cold = reading.one(f"{proxy.url}/plain/cold.bin")
        for entry in (warm, unknown, measured):
            assert reading.bytes_of(entry) == DATA
    # Another process, later, and nobody listens any more.
    later = Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})
    for entry in (warm, unknown, measured):
        assert later.bytes_of(entry) == DATA
    started_s = time.monotonic()
    with pytest.raises(BackendUnavailable, match="refused"):
        later.bytes_of(cold)
    assert time.monotonic() - started_s < QUICK.deadline_s


def test_a_damaged_block_is_fetched_again(nginx: Nginx, tmp_path: Path) -> None:
    nginx.write("damaged.bin", DATA)
    reading = Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})
    entry = reading.one(f"{nginx.url}/plain/damaged.bin")
    assert reading.bytes_of(entry) == DATA
    victim = next(block for block in reading.cache.layout.blocks() if block.index == 1)
    victim.path.chmod(0o600)
    with victim.path.open("r+b") as file:
        file.write(b"damage")
    assert reading.bytes_of(entry) == DATA


def test_a_local_file_that_is_changed_in_place_is_compared_with_its_md5_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "local.bin"
    path.write_bytes(DATA)
    reading = Reading(tmp_path / "cache", {"file": FileHandler()})
    entry = reading.one(f"file://{path}")
    span = ByteRange(10, 20)

    def read(content: Content) -> bytes:
        return b"".join(read_blocks(content))

    def is_proved() -> bool:
        """A file that changed just now is not trusted."""
        assert read(content) == DATA
        return content.try_read(span) == DATA[10:30]

    content = reading.reader.content(entry)
    wait_until(is_proved)
    status = path.stat()
    (tmp_path / "link").hardlink_to(path)
    # Nothing but its names has changed.
    wait_until(is_proved)
    with path.open("r+b") as file:
        file.seek(15)
        file.write(b"changed")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    # Whether it is open already, is opened anew, or is read by another process.
    others = Reading(tmp_path / "cache", {"file": FileHandler()}).reader.content(entry)
    for found in (content, reading.reader.content(entry), others):
        assert found.try_read(span) is None
        with pytest.raises(IntegrityError):
            read(found)


def test_a_local_file_that_is_changed_in_place_behind_a_read_is_compared_with_its_md5_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "local.bin"
    path.write_bytes(b"right")
    reading = Reading(tmp_path / "cache", {"file": FileHandler()})
    content = reading.reader.content(reading.one(f"file://{path}"))
    status = path.stat()
    read = os.pread

    def read_and_change(fd: int, length: int, offset: int) -> bytes:
        data = read(fd, length, offset)
        with path.open("r+b") as file:
            file.write(b"WRONG")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return data

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", read_and_change)
        assert content.load_block(0) == b"right"
    assert content.try_read(ByteRange(0, 5)) is None
    with pytest.raises(IntegrityError):
        content.load_block(0)


def test_reading_goes_on_when_the_cache_is_deleted_or_cannot_be_written(
    nginx: Nginx, tmp_path: Path
) -> None:
    nginx.write("deleted.bin", DATA)
    reading = Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})
    content = reading.reader.content(reading.one(f"{nginx.url}/plain/deleted.bin"))
    content.load_block(0)
    shutil.rmtree(tmp_path / "cache")
    # What is open stays readable, and what is missing comes again.
    assert content.load_block(0) == DATA[:BLOCK_SIZE_BYTES]
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_bytes(b"in the way")
    for index in range(block_count(len(DATA))):
        assert content.load_block(index) == DATA[index * BLOCK_SIZE_BYTES :][:BLOCK_SIZE_BYTES]


def test_a_server_without_ranges_is_readable_without_a_cache(nginx: Nginx, tmp_path: Path) -> None:
    nginx.write("bypassed.bin", DATA)
    (tmp_path / "cache").write_bytes(b"in the way")
    reading = Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})
    content = reading.reader.content(reading.one(f"{nginx.url}/no-ranges/bypassed.bin"))
    for index in (2, 0, 1, 3, 3):
        assert content.load_block(index) == DATA[index * BLOCK_SIZE_BYTES :][:BLOCK_SIZE_BYTES]


def test_loaded_bytes_are_served_from_memory_across_blocks(nginx: Nginx, tmp_path: Path) -> None:
    nginx.write("memory.bin", DATA)
    reading = Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})
    content = reading.reader.content(reading.one(f"{nginx.url}/plain/memory.bin"))
    span = ByteRange(BLOCK_SIZE_BYTES - 10, 20)
    assert content.try_read(span) is None
    assert isinstance(content, CachedContent)
    list(content.load_run(0, 2))
    found = content.try_read(span)
    assert found is not None
    assert bytes(found) == DATA[span.start : span.stop]
    assert content.try_read(ByteRange(2 * BLOCK_SIZE_BYTES - 1, 2)) is None


def _read_all(
    root: Path, entry: ReferenceEntry, start: Barrier, results: Queue[str], by_run: bool
) -> None:
    references = References({"http": HttpHandler()})
    reader = ReferenceReader(references, BlockCache(root, ROOMY))
    content = reader.content(entry)
    start.wait(120)
    try:
        count = range(block_count(content.size_bytes))
        blocks = read_blocks(content) if by_run else map(content.load_block, count)
        for index, block in zip(count, blocks, strict=True):
            # Sparse: all zeros but the number of the block at its beginning.
            assert block[:8] == index.to_bytes(8)
    except (ArtfsError, AssertionError) as error:
        results.put(repr(error))
    else:
        results.put("")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("by_run", [False, True])
def test_64_processes_that_read_one_cold_file_request_each_block_once(
    nginx: Nginx, tmp_path: Path, by_run: bool
) -> None:
    # All of the gigabyte takes a minute: it is mostly the 64 GiB of SHA-256.
    blocks = 256 if os.environ.get("ARTFS_TEST_LARGE") else 24
    large = nginx.root / f"shared-{by_run}.bin"
    with large.open("wb") as file:
        for index in range(blocks):
            file.seek(index * BLOCK_SIZE_BYTES)
            file.write(index.to_bytes(8))
        file.truncate(blocks * BLOCK_SIZE_BYTES)
    [(_, entry)] = References().describe(f"{nginx.url}/plain/{large.name}")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "artfs.references.http"])
    start, results = context.Barrier(64), context.Queue()
    arguments = (tmp_path / "cache", entry, start, results, by_run)
    processes = [context.Process(target=_read_all, args=arguments) for _ in range(64)]
    for process in processes:
        process.start()
    assert [results.get(timeout=300) for _ in processes] == [""] * 64
    for process in processes:
        process.join()
    requests = [request for request in nginx.requests(large.name) if request.range != "-"]
    # Each byte once: by as many requests as there are blocks, or fewer.
    assert sum(request.body_bytes for request in requests) == blocks * BLOCK_SIZE_BYTES
    ranges = {request.range for request in requests}
    assert len(ranges) == len(requests)
    assert len(requests) < blocks if by_run else len(requests) == blocks
    large.unlink()


def test_references_to_other_versions_are_resolved_and_read(
    repository: Repository, tmp_path: Path
) -> None:
    base = commit(repository, "p/base", {"dir/a.bin": DATA, "b": b"bee"})
    other = tmp_path / "foreign"
    other.write_bytes(b"foreign")
    web = commit_all(repository, "foreign", f"file://{other}")
    tree = commit_all(
        repository,
        "refs",
        f"wandb-artifact://{base.id}/dir/a.bin",
        "artfs://p/base:latest/b",
        "artfs://p/foreign:v0/0/foreign",
    )
    again = commit_all(repository, "chain", "artfs://p/refs:v0/0/a.bin")
    entries = {entry.path: entry for entry in tree_entries(repository.directory, tree)}
    assert entries["0/a.bin"].ref == f"wandb-artifact://{base.id}/dir/a.bin"
    assert entries["1/b"].ref == f"wandb-artifact://{base.id}/b"
    assert [entry.size_bytes for entry in entries.values()] == [0, 0, 0]
    [chained] = tree_entries(repository.directory, again)
    assert chained.ref == f"wandb-artifact://{base.id}/dir/a.bin"
    assert chained.digest == entries["0/a.bin"].digest
    assert contents(repository, tree) == {
        "0/a.bin": DATA,
        "1/b": b"bee",
        "2/foreign": b"foreign",
    }
    assert contents(repository, again) == {"0/a.bin": DATA}
    listed = repository.find(tree, "0/a.bin")
    assert isinstance(listed, ReferenceEntry)
    assert listed.size_bytes == len(DATA)
    assert web


def test_what_a_version_refers_to_outlives_the_version_that_it_belongs_to(
    repository: Repository,
) -> None:
    base = commit(repository, "p/base", {"d/a": DATA, "d/b": b"small", "other": b"other"})
    tree = commit_all(
        repository, "refs", f"wandb-artifact://{base.id}/d/a", f"wandb-artifact://{base.id}/d/b"
    )
    # This one refers to an entry of a version by way of another reference.
    chained = commit_all(repository, "chain", "artfs://p/refs:latest/0/a")
    repository.catalog.delete_version(base.id, delete_aliases=True)
    report = collect(repository, grace_s=0)
    # All but what nobody refers to: its own file, not the directories on the way.
    assert report.condemned.count == 1
    assert contents(repository, tree) == {"0/a": DATA, "1/b": b"small"}
    # Once nobody refers to it, it goes.
    for name in ("refs", "chain"):
        found = repository.resolve(f"p/{name}:v0")
        assert contents(repository, chained) == {"0/a": DATA}
        repository.catalog.delete_version(found.id, delete_aliases=True)
        collect(repository, grace_s=0)
    assert not repository.catalog.locate([base.tree])


def test_a_version_that_was_deleted_is_not_referred_to_anew(repository: Repository) -> None:
    base = commit(repository, "p/base", {"a": b"a"})
    repository.catalog.delete_version(base.id, delete_aliases=True)
    with pytest.raises(VersionNotFound, match="deleted"):
        list(repository.references.describe(f"wandb-artifact://{base.id}/a"))


def test_gc_takes_nothing_from_a_commit_that_begins_to_refer_to_it(
    repository: Repository,
) -> None:
    base = commit(repository, "p/base", {"a": DATA})
    ingest = repository.ingest()
    builder = TreeBuilder(ingest.directory_loader(repository.directory), None)
    for path, entry in repository.references.describe(f"wandb-artifact://{base.id}/a"):
        builder.put(path, entry)
    tree = builder.build(ingest.add_directory)
    # The version goes, and its content is condemned, before the commit.
    repository.catalog.delete_version(base.id, delete_aliases=True)
    collect(repository, grace_s=3600)
    assert len(list(repository.catalog.condemned(before_ns=time.time_ns()))) > 0
    request = CommitRequest(project="p", name="late", type="dataset")
    version = repository.commit(ingest, tree, request).version
    assert not list(repository.catalog.condemned(before_ns=time.time_ns()))
    assert contents(repository, version.tree) == {"a": DATA}


def test_a_reference_to_what_the_store_has_lost_is_an_error(repository: Repository) -> None:
    base = commit(repository, "p/base", {"a": b"a"})
    tree = commit_all(repository, "refs", f"wandb-artifact://{base.id}/a")
    entry = repository.find(tree, "0/a")
    assert isinstance(entry, ReferenceEntry)
    lost = msgspec.structs.replace(entry, uri=f"wandb-artifact://{'0' * len(base.id)}/a")
    with pytest.raises(ReferenceChanged, match="gone"):
        repository.content(lost)


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("wandb-artifact://0123/a", ArtfsError),
        ("wandb-artifact://0123", ValueError),
        ("artfs://p/base:v0/missing", PathNotFound),
        ("artfs://p/base:v0/dir", PathNotFound),
        ("artfs://p/base", ValueError),
        ("artfs://p/base:v0/../a", ValueError),
    ],
)
def test_references_to_nothing_are_refused(
    repository: Repository, uri: str, error: type[Exception]
) -> None:
    commit(repository, "p/base", {"dir/a": b"a"})
    with pytest.raises(error):
        list(repository.references.describe(uri))


def test_an_unreadable_scheme_says_so(repository: Repository) -> None:
    [(_, entry)] = repository.references.describe("odd://x", name="x")
    with pytest.raises(Unsupported):
        repository.content(entry)


def test_a_fault_of_one_source_does_not_slow_another(nginx: Nginx, tmp_path: Path) -> None:
    nginx.write("fine.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        reading = Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})
        broken = reading.one(f"{proxy.url}/plain/fine.bin")
        fine = reading.one(f"{nginx.url}/plain/fine.bin")
        proxy.set(Fault(never_answer=True))
        started_s = time.monotonic()
        assert reading.bytes_of(fine) == DATA
        assert time.monotonic() - started_s < QUICK.step_timeout_s
        with pytest.raises(BackendUnavailable):
            reading.bytes_of(broken)
