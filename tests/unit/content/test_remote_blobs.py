"""Blobs that are not on local disk: read through the block cache, verified, and offline."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from artfs.blobs.base import Namespace, ObjectKey
from artfs.blobs.cache import BlockCache
from artfs.blobs.local import LocalObjectStore
from artfs.blobs.s3 import S3ObjectStore
from artfs.blobs.s3client import make_client
from artfs.catalog.sql import SqlCatalog
from artfs.content.base import read_blocks
from artfs.content.remote import CachedContent
from artfs.errors import BackendUnavailable, BlobNotFound, IntegrityError
from artfs.manifest.entries import FileEntry
from artfs.manifest.tree import walk
from artfs.model import BLOCK_SIZE_BYTES, ByteRange
from artfs.repository.facade import Repository, StoreInfo
from artfs.system.progress import ProgressMeter
from artfs.upkeep.warm import warm
from tests.servers.faultproxy import Fault, FaultProxy, fault_proxy
from tests.servers.seaweedfs import REGION, SeaweedFS
from tests.support.references import ROOMY
from tests.support.stores import commit

LARGE = Random(13).randbytes(2 * BLOCK_SIZE_BYTES + 99)
FILES = {"large.bin": LARGE, "dir/small": b"small", "dir/empty": b""}


class Remote:
    """Opens one store, whose objects are in a bucket behind a proxy, again and again."""

    def __init__(self, server: SeaweedFS, proxy: FaultProxy, root: Path) -> None:
        self._server = server
        self.proxy = proxy
        self._root = root
        self.prefix = server.new_prefix()
        SqlCatalog.sqlite(root / "catalog.sqlite", create=True).close()

    def open(self) -> Repository:
        client = make_client(endpoint_url=self.proxy.url, region=REGION, attempts=1)
        (self._root / "workspace").mkdir(exist_ok=True)
        return Repository(
            StoreInfo("test", "tester", None),
            catalog=SqlCatalog.sqlite(self._root / "catalog.sqlite"),
            objects=S3ObjectStore(client, self._server.bucket, self.prefix),
            workspace=LocalObjectStore(self._root / "workspace"),
            cache=BlockCache(self._root / "cache", ROOMY),
        )

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Within it nothing was read yet, and nothing counted; nor is it afterwards."""
        self._forget()
        yield
        self._forget()

    def _forget(self) -> None:
        shutil.rmtree(self._root / "cache", ignore_errors=True)
        self.proxy.set()
        self.proxy.request_count = self.proxy.body_bytes = 0


@pytest.fixture
def remote(seaweedfs: SeaweedFS, tmp_path: Path) -> Iterator[Remote]:
    with fault_proxy(seaweedfs.endpoint_url) as proxy:
        yield Remote(seaweedfs, proxy, tmp_path)


def store(remote: Remote, seaweedfs: SeaweedFS, files: dict[str, bytes] = FILES) -> None:
    """A version, put past the proxy, which only forwards reads."""
    with remote.open() as repository:
        client = seaweedfs.client()
        repository.objects = S3ObjectStore(client, seaweedfs.bucket, remote.prefix)
        commit(repository, "p/a", files)


def contents(repository: Repository) -> dict[str, bytes]:
    tree = repository.resolve("p/a").tree
    return {
        path: b"".join(read_blocks(repository.content(entry)))
        for path, entry in walk(repository.directory, tree)
        if isinstance(entry, FileEntry)
    }


def test_what_was_read_once_is_read_without_the_store(remote: Remote, seaweedfs: SeaweedFS) -> None:
    store(remote, seaweedfs)
    with remote.open() as repository:
        assert contents(repository) == FILES
    remote.proxy.set(Fault(refuse=True))
    with remote.open() as repository:
        assert contents(repository) == FILES


def test_a_warmed_version_is_complete(remote: Remote, seaweedfs: SeaweedFS) -> None:
    store(remote, seaweedfs)
    with remote.open() as repository:
        report = warm(repository, repository.resolve("p/a").tree, meter=ProgressMeter(), pin="p/a")
        assert (report.files, report.local, report.failures) == (3, 0, ())
        assert report.fetched_bytes + report.cached_bytes == sum(map(len, FILES.values()))
        # Directories and block lists are pinned too, or it could not be read.
        assert len(repository.cache.layout.pinned()["p/a"]) >= 6
    remote.proxy.set(Fault(refuse=True))
    with remote.open() as repository:
        assert contents(repository) == FILES


def test_parts_of_what_was_read_once_need_neither_the_store_nor_their_blocks(
    remote: Remote, seaweedfs: SeaweedFS
) -> None:
    store(remote, seaweedfs)
    parts = [(0, 5), (BLOCK_SIZE_BYTES - 3, BLOCK_SIZE_BYTES + 4), (len(LARGE) - 1, len(LARGE))]
    with remote.open() as repository:
        entry = repository.find(repository.resolve("p/a").tree, "large.bin")
        assert isinstance(entry, FileEntry)
        content = repository.content(entry).remote
        assert content is not None
        assert content.read_kept(ByteRange(0, 5)) is None
        contents(repository)
    remote.proxy.set(Fault(refuse=True))
    with remote.open() as repository:
        content = repository.content(entry).remote
        assert content is not None
        for start, stop in parts:
            span = ByteRange(start, stop - start)
            assert content.try_read(span) is None
            assert content.read_kept(span) == LARGE[start:stop]
            # From now on it is at hand, unless the page cache has lost it.
            assert content.try_read(span) in (LARGE[start:stop], None)
        assert content.try_read(ByteRange(BLOCK_SIZE_BYTES // 2, 1)) is None


def test_what_was_not_read_fails_without_the_store(remote: Remote, seaweedfs: SeaweedFS) -> None:
    store(remote, seaweedfs)
    with remote.open() as repository:
        tree = repository.resolve("p/a").tree
        list(walk(repository.directory, tree))
        remote.proxy.set(Fault(refuse=True))
        entry = repository.find(tree, "large.bin")
        assert isinstance(entry, FileEntry)
        with pytest.raises(BackendUnavailable):
            repository.content(entry).load_block(0)


def test_blocks_that_are_wrong_are_never_kept(remote: Remote, seaweedfs: SeaweedFS) -> None:
    store(remote, seaweedfs)
    with remote.open() as repository:
        entry = repository.find(repository.resolve("p/a").tree, "large.bin")
        assert isinstance(entry, FileEntry)
        content = repository.content(entry)
        remote.proxy.set(Fault(flip_byte=0, min_body_bytes=100_000))
        with pytest.raises(IntegrityError, match="does not match its digest"):
            content.load_block(1)
        remote.proxy.set()
        assert content.load_block(1) == LARGE[BLOCK_SIZE_BYTES : 2 * BLOCK_SIZE_BYTES]


def test_a_damaged_block_of_the_cache_is_fetched_again(
    remote: Remote, seaweedfs: SeaweedFS
) -> None:
    store(remote, seaweedfs)
    with remote.open() as repository:
        contents(repository)
        for block in repository.cache.layout.blocks():
            block.path.chmod(0o600)
            with block.path.open("r+b") as file:
                file.write(b"!")
    with remote.open() as repository:
        assert contents(repository) == FILES


def test_adjacent_blocks_are_one_request(remote: Remote, seaweedfs: SeaweedFS) -> None:
    store(remote, seaweedfs)
    with remote.open() as repository:
        entry = repository.find(repository.resolve("p/a").tree, "large.bin")
        assert isinstance(entry, FileEntry)
        content = repository.content(entry)
        assert isinstance(content, CachedContent)
        before = remote.proxy.request_count
        assert b"".join(content.load_run(0, 3)) == LARGE
        assert remote.proxy.request_count == before + 1
        found = content.try_read(ByteRange(BLOCK_SIZE_BYTES - 5, 10))
        assert found is not None
        assert bytes(found) == LARGE[BLOCK_SIZE_BYTES - 5 : BLOCK_SIZE_BYTES + 5]


def test_a_lost_object_is_told_by_its_name(remote: Remote, seaweedfs: SeaweedFS) -> None:
    store(remote, seaweedfs)
    with remote.open() as repository:
        entry = repository.find(repository.resolve("p/a").tree, "large.bin")
        assert isinstance(entry, FileEntry)
        key = ObjectKey(Namespace.BLOBS, entry.sha256)
        client = seaweedfs.client()
        client.delete_object(Bucket=seaweedfs.bucket, Key=f"{remote.prefix}/{key}")
        with pytest.raises(BlobNotFound, match="does not exist"):
            repository.content(entry).load_block(0)


def test_r2_a_block_of_the_cache_that_is_changed_in_place_is_fetched_again(
    remote: Remote, seaweedfs: SeaweedFS
) -> None:
    store(remote, seaweedfs)
    with remote.open() as repository:
        entry = repository.find(repository.resolve("p/a").tree, "large.bin")
        assert isinstance(entry, FileEntry)
        content = repository.content(entry)
        assert isinstance(content, CachedContent)
        span = ByteRange(100, 50)
        # Once as it was fetched, once as it is read from the disk again.
        for index in range(2):
            assert content.load_block(0) == LARGE[:BLOCK_SIZE_BYTES]
            assert content.try_read(span) == LARGE[100:150]
            path = repository.cache.layout.block(entry.sha256, 0)
            status = path.stat()
            path.chmod(0o600)
            with path.open("r+b") as file:
                file.seek(120)
                file.write(b"damage")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            path.chmod(status.st_mode)
            assert content.try_read(span) is None, index
            assert content.load_block(0) == LARGE[:BLOCK_SIZE_BYTES]
            repository.cache.read(entry.sha256, 0)
