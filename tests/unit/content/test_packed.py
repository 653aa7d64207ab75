"""Small blobs that are elsewhere come with their neighbours, and are as right as any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Barrier

import msgspec
import pytest

from artfs.blobs.base import Namespace, ObjectKey
from artfs.content.base import read_blocks
from artfs.content.remote_packs import FIRST_BYTES, WINDOW_BYTES
from artfs.errors import BackendUnavailable, IntegrityError
from artfs.manifest.entries import FileEntry
from artfs.repository.facade import Repository
from artfs.system.progress import ProgressMeter
from artfs.upkeep.gc import collect
from artfs.upkeep.verify import reading_anew, verify
from artfs.upkeep.warm import warm
from tests.servers.faultproxy import Fault, fault_proxy
from tests.servers.seaweedfs import SeaweedFS
from tests.support.stores import commit
from tests.unit.content.test_remote_blobs import Remote, contents, store

_RANDOM = Random(21)
FILES = {f"{number:04}": _RANDOM.randbytes(4096) for number in range(2000)}
FILES_BYTES = 2000 * 4096
FOOTER_AND_DIRECTORY_BYTES = 600_000


@pytest.fixture(scope="module")
def filled(seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """A store with 2,000 files of 4 KiB, in one pack behind a proxy."""
    with fault_proxy(seaweedfs.endpoint_url) as proxy:
        remote = Remote(seaweedfs, proxy, tmp_path_factory.mktemp("filled"))
        store(remote, seaweedfs, FILES)
        yield remote


@pytest.fixture
def remote(filled: Remote) -> Iterator[Remote]:
    """The store as somebody sees it who has read nothing yet."""
    with filled.forgetting():
        yield filled


FEW = dict(list(FILES.items())[:20])


@pytest.fixture
def small(seaweedfs: SeaweedFS, tmp_path: Path) -> Iterator[Remote]:
    """A store of its own with 20 of the files, which a test may damage."""
    with fault_proxy(seaweedfs.endpoint_url) as proxy:
        remote = Remote(seaweedfs, proxy, tmp_path)
        store(remote, seaweedfs, FEW)
        yield remote


def read(repository: Repository, name: str) -> bytes:
    entry = repository.find(repository.resolve("p/a").tree, name)
    assert isinstance(entry, FileEntry)
    return b"".join(read_blocks(repository.content(entry)))


def damage_pack(remote: Remote, seaweedfs: SeaweedFS, change: Callable[[bytes], bytes]) -> None:
    """Change the only pack of a store where it is stored."""
    with remote.open() as repository:
        (pack,) = repository.catalog.packs()
    name = f"{remote.prefix}/{ObjectKey(Namespace.PACKS, pack.sha256)}"
    client = seaweedfs.client()
    whole = client.get_object(Bucket=seaweedfs.bucket, Key=name)["Body"].read()
    client.put_object(Bucket=seaweedfs.bucket, Key=name, Body=change(whole))


def test_a_directory_of_small_files_is_a_handful_of_requests(remote: Remote) -> None:
    with remote.open() as repository:
        assert contents(repository) == FILES
    assert remote.proxy.request_count <= 8
    assert remote.proxy.body_bytes <= FILES_BYTES + FOOTER_AND_DIRECTORY_BYTES


def test_warming_small_files_is_a_handful_of_requests(remote: Remote) -> None:
    with remote.open() as repository:
        report = warm(repository, repository.resolve("p/a").tree, meter=ProgressMeter())
        assert report.failures == ()
        assert report.fetched_bytes + report.cached_bytes == FILES_BYTES
        assert report.cached_bytes <= FIRST_BYTES
    assert remote.proxy.request_count <= 8


def test_r3_one_small_file_brings_few_others(remote: Remote) -> None:
    with remote.open() as repository:
        repository.directory(repository.resolve("p/a").tree)
        before = remote.proxy.body_bytes
        assert read(repository, "0100") == FILES["0100"]
        assert remote.proxy.body_bytes - before <= FIRST_BYTES + 4096
        assert read(repository, "0900") == FILES["0900"]
        assert remote.proxy.body_bytes - before <= FIRST_BYTES + WINDOW_BYTES + 4096


def test_readers_at_the_same_time_fetch_nothing_twice(remote: Remote) -> None:
    barrier = Barrier(4)

    def read_all() -> dict[str, bytes]:
        with remote.open() as repository:
            barrier.wait(30)
            return contents(repository)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(read_all) for _ in range(4)]:
            assert future.result() == FILES
    # Each of them has to find out by itself that more than one file of a place is wanted.
    assert remote.proxy.body_bytes <= FILES_BYTES + 4 * FOOTER_AND_DIRECTORY_BYTES


def test_r5_neighbours_are_read_without_store_and_catalog(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    with remote.open() as repository:
        version = repository.resolve("p/a")
        contents(repository)
    remote.proxy.set(Fault(refuse=True))
    with remote.open() as repository:
        repository.catalog.close()
        monkeypatch.setattr(repository.catalog, "locate", _unreachable)
        entries = list(repository.directory(version.tree).entries())
        repository.prepare(entries)
        for entry in entries:
            assert isinstance(entry, FileEntry)
            assert b"".join(read_blocks(repository.content(entry))) == FILES[entry.name]


def _unreachable(*_arguments: object) -> None:
    raise BackendUnavailable("catalog", "unreachable")


def test_r2_a_damaged_neighbour_is_not_kept_and_a_damaged_file_not_served(remote: Remote) -> None:
    with remote.open() as repository:
        repository.directory(repository.resolve("p/a").tree)
        # Of what comes with it, the first file is damaged on the way.
        remote.proxy.set(Fault(flip_byte=10, min_body_bytes=4096))
        assert read(repository, "0005") == FILES["0005"]
        remote.proxy.set()
        assert read(repository, "0000") == FILES["0000"]
        remote.proxy.set(Fault(flip_byte=-10, min_body_bytes=4096))
        with pytest.raises(IntegrityError):
            read(repository, _last_to_come(repository))
        remote.proxy.set()
        assert contents(repository) == FILES


def _last_to_come(repository: Repository) -> str:
    """The last file that did not come with another one yet."""
    entries = repository.directory(repository.resolve("p/a").tree).entries()
    return max(
        entry.name
        for entry in entries
        if isinstance(entry, FileEntry) and not repository.cache.has(entry.sha256, 0)
    )


def test_a_cache_that_keeps_nothing_fetches_one_by_one(remote: Remote) -> None:
    with remote.open() as repository:
        repository.directory(repository.resolve("p/a").tree)
        repository.cache.quota = msgspec.structs.replace(
            repository.cache.quota, reserve_bytes=2**62
        )
        read(repository, "0100")
        assert repository.cache.bypassed
        before = remote.proxy.body_bytes
        for name in ("0200", "0201", "0202"):
            assert read(repository, name) == FILES[name]
        assert remote.proxy.body_bytes == before + 3 * 4096


def test_a_pack_that_ends_too_early_damages_only_what_is_behind_its_end(
    small: Remote, seaweedfs: SeaweedFS
) -> None:
    with small.open() as repository:
        repository.directory(repository.resolve("p/a").tree)
        damage_pack(small, seaweedfs, lambda whole: whole[: 10 * 4096])
        with reading_anew(repository) as anew:
            anew.directories = repository.directories
            for number, (path, data) in enumerate(FEW.items()):
                if number < 10:
                    assert read(anew, path) == data
                else:
                    with pytest.raises(IntegrityError):
                        read(anew, path)


def test_verify_reads_the_store_and_not_what_is_cached_of_it(
    small: Remote, seaweedfs: SeaweedFS
) -> None:
    with small.open() as repository:
        version = repository.resolve("p/a")
        assert contents(repository) == FEW
        damage_pack(small, seaweedfs, lambda whole: whole[:5000] + b"wrong" + whole[5005:])
        assert contents(repository) == FEW
        with reading_anew(repository) as anew:
            found = verify(anew, [version])
        assert [damage.path for damage in found.damages] == ["0001"]
        left = [each.path.name for each in repository.workspace.temporaries.all()]
        assert left == []


def test_what_gc_moves_is_found_where_it_is(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    with fault_proxy(seaweedfs.endpoint_url) as proxy:
        remote = Remote(seaweedfs, proxy, tmp_path)
        store(remote, seaweedfs, {name: FILES[name] for name in list(FILES)[:100]})
        with remote.open() as reader, remote.open() as other:
            gone = reader.resolve("p/a")
            kept = commit(other, "p/a", {"0050": FILES["0050"], "0060": FILES["0060"]})
            reader.prepare(reader.directory(kept.tree).entries())
            other.catalog.delete_version(gone.id, delete_aliases=True)
            assert collect(other, grace_s=0).packs_rewritten.count == 1
            for block in list(reader.cache.layout.blocks()):
                block.path.unlink()
            assert read(reader, "0060") == FILES["0060"]
