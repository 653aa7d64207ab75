"""Every adapter that touches a disk says what goes wrong there in errors of artfs."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.blobs.cache import BlockCache
from artfs.blobs.cache_eviction import Quota
from artfs.blobs.local import LocalObjectStore
from artfs.blobs.locations import parse_place
from artfs.catalog.sql import SqlCatalog
from artfs.content.base import read_blocks
from artfs.daemon.staging_mount import new_meta
from artfs.errors import ArtfsError
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.model import ByteRange, Digest
from artfs.mounts.messages import MountRequest, StageOrder
from artfs.repository.facade import Repository
from artfs.repository.stores import create_store, open_store
from artfs.sdk.download import download_tree
from artfs.sdk.publish import PutRequest, put
from artfs.sdk.referring import ReferenceRequest
from artfs.staging.area import Area, drop_area
from artfs.staging.commit import commit_area
from artfs.staging.listing import outcomes, staging_areas
from artfs.upkeep.doctor import examine
from artfs.upkeep.gc import collect
from artfs.upkeep.quarantine import set_aside
from artfs.upkeep.verify import verify
from tests.support.faultdisk import EVERY, FaultDisk, fault_disk

pytestmark = pytest.mark.timeout(300)
"""Each runs many commands, on a disk that is a process of its own."""

LARGE = b"large" * 1024 * 1024
OPERATIONS = [*EVERY, "chmod"]
ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESTALE)

Act = Callable[[], object]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultDisk]:
    with fault_disk(tmp_path_factory.mktemp("faulty")) as disk:
        yield disk


def _key(data: bytes, namespace: Namespace = Namespace.BLOBS) -> ObjectKey:
    return ObjectKey(namespace, Digest(sha256(data).digest()))


def _objects(root: Path, number: int) -> Iterator[Act]:
    """Everything that a LocalObjectStore does."""
    source = root / f"source{number}"
    source.write_bytes(b"source %d" % number)
    key, other = _key(b"there"), _key(b"source %d" % number)
    store = LocalObjectStore(root / "objects")
    yield lambda: store.read(key, ByteRange(0, 5))
    yield lambda: os.close(store.open_local(key))
    yield lambda: store.size(key)
    yield lambda: list(store.objects(Namespace.BLOBS))
    yield lambda: list(store.temporaries.all())
    yield store.temporaries.remove_abandoned
    for transfer in (Transfer.COPY, Transfer.LINK, Transfer.MOVE):
        yield partial(store.put, other, source, transfer=transfer)
        yield lambda: store.put(other, source, transfer=Transfer.COPY)
        yield lambda: store.delete(other)
    yield lambda: LocalObjectStore(root / "objects")
    yield lambda: parse_place(f"file://{root}/place").claim(None)


def _cache(root: Path, number: int) -> Iterator[Act]:
    """What a BlockCache does; nothing of it may fail at all."""
    cache = BlockCache(root / "cache", Quota.standard(root / "cache", 1 << 30))
    key = Digest(sha256(b"%d" % number).digest())
    yield lambda: cache.put(key, 0, b"block")
    yield lambda: cache.read(key, 0)
    yield lambda: cache.has(key, 0)
    yield lambda: cache.write_note(key, b"note")
    yield lambda: cache.read_note(key)
    yield lambda: cache.drop(key, 0)


def _catalog(root: Path, number: int) -> Iterator[Act]:
    """What a catalog in a file does."""
    path = root / "catalog.sqlite"

    def use(act: Callable[[SqlCatalog], object]) -> Act:
        def opened() -> None:
            with closing(SqlCatalog.sqlite(path, create=not number)) as catalog:
                act(catalog)

        return opened

    yield use(lambda catalog: catalog.projects())
    yield use(lambda catalog: catalog.check())
    yield use(lambda catalog: catalog.choose_setting(f"key{number}", "value"))


def _store(root: Path, repository: Repository, number: int) -> Iterator[Act]:
    """What a store does, from opening it to gc."""
    where = str(root / "store")
    version = repository.resolve("p/a")
    again = root / f"again{number}"
    again.mkdir()
    (again / "file").write_text(f"again {number}\n")
    request = PutRequest(name="p/b")
    yield lambda: open_store(where).close()
    yield lambda: create_store(root / f"new{number}", entity="me")
    yield lambda: put(repository, [again], request)
    yield lambda: put(repository, [again], request, transfer=Transfer.LINK)
    yield lambda: download_tree(repository, version.tree, root / f"out{number}")
    yield lambda: list(_contents(repository))
    yield lambda: verify(repository, [version])
    yield lambda: set_aside(repository, [version.tree])
    yield lambda: examine(repository)
    yield lambda: collect(repository, grace_s=0)


def _contents(repository: Repository) -> Iterator[object]:
    """The bytes of a version and of a reference to the disk, anew."""
    with open_store(repository.info.location) as opened:
        for entry in opened.directory(opened.resolve("p/a").tree).entries():
            if isinstance(entry, (FileEntry, ReferenceEntry)):
                yield from read_blocks(opened.content(entry))


def _areas(repository: Repository) -> Iterator[Act]:
    """What a staging area does."""

    def begun() -> None:
        request = MountRequest(
            store=repository.info.location, target="p/staged", mountpoint=Path("/nowhere")
        )
        area = Area.create(repository, new_meta(repository, request, StageOrder()))
        area.sync()
        area.close()

    yield begun
    yield lambda: staging_areas(repository.info)
    yield lambda: outcomes(repository.info)
    for record in staging_areas(repository.info)[:2]:
        area_id = record.meta.id

        def resumed(area_id: str = area_id) -> None:
            with Area.open(repository, area_id) as area:
                commit_area(area)

        yield resumed
        yield partial(drop_area, repository.info, area_id, ask=lambda: None)


@pytest.fixture(scope="module")
def repository(disk: FaultDisk) -> Iterator[Repository]:
    root = disk.path
    (root / "objects").mkdir()
    (root / "there").write_bytes(b"there")
    LocalObjectStore(root / "objects").put(_key(b"there"), root / "there", transfer=Transfer.COPY)
    files = root / "files"
    files.mkdir()
    (files / "small").write_bytes(b"small")
    (files / "large").write_bytes(LARGE)
    with open_store(str(root / "store"), create=True) as repository:
        refers = ReferenceRequest(uri=(root / "there").as_uri(), name="refers")
        put(repository, [files], PutRequest(name="p/a", references=(refers,)))
        yield repository


def _where(error: BaseException) -> str:
    """The error, and the lines of artfs that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        f"{Path(each.filename).name}:{each.lineno}" for each in frames if "/artfs/" in each.filename
    ]
    return f"{error!r} in {' '.join(ours)}"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_adapter_tells_a_failing_disk_in_errors_of_artfs(
    disk: FaultDisk, repository: Repository, operation: str
) -> None:
    number = OPERATIONS.index(operation)
    error = ERRORS[number % len(ERRORS)]
    acts = [
        *_objects(disk.path, number),
        *_cache(disk.path, number),
        *_catalog(disk.path, number),
        *_store(disk.path, repository, number),
        *_areas(repository),
    ]
    untranslated = []
    for act in acts:
        with disk.failing(error, operation):
            try:
                act()
            except ArtfsError:
                continue
            except OSError as failure:
                untranslated.append(_where(failure))
    assert untranslated == []
    # What was taken for damaged and set aside is healed by putting it again, and nothing is lost.
    put(repository, [disk.path / "files"], PutRequest(name="p/a"))
    assert verify(repository, [repository.resolve("p/a:v0")]).damages == ()
