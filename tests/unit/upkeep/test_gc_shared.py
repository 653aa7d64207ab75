"""gc of one host and commits of another, between any two steps of which it may come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.catalog.blob_port import Confirm
from artfs.catalog.records import BlobRecord, CommitRequest, PackRecord, VersionRecord
from artfs.errors import Conflict
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import FileEntry
from artfs.model import Digest
from artfs.repository.facade import Repository
from artfs.repository.ingest import Ingest
from artfs.repository.stores import make_store, open_store
from artfs.staging.area import Area
from artfs.staging.meta import AreaMeta
from artfs.upkeep.doctor import Severity, examine
from artfs.upkeep.gc import GcReport, collect
from artfs.upkeep.verify import verify
from tests.servers.postgres import PostgreSQL, lapse_leases
from tests.servers.seaweedfs import REGION, SeaweedFS
from tests.support.stores import commit

LARGE = Random(7).randbytes(1_200_000)
SMALL = b"small"

OpenStore = Callable[[], Repository]


@pytest.fixture
def open_shared(
    tmp_path: Path,
    postgresql: PostgreSQL,
    seaweedfs: SeaweedFS,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[OpenStore]:
    """Opens the same shared store again and again, as another host would."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = postgresql.new_schema()
    place = f"s3://{seaweedfs.bucket}/{seaweedfs.new_prefix()}"
    options = f"?endpoint={seaweedfs.endpoint_url}&region={REGION}"
    make_store(url, blobs=place + options, entity="team")
    with ExitStack() as opened:
        yield lambda: opened.enter_context(open_store(url))


class Put:
    """A put that a test can stop before its commit."""

    def __init__(self, repository: Repository, directory: Path) -> None:
        self._repository = repository
        self._ingest: Ingest = repository.ingest()
        builder = TreeBuilder(self._ingest.directory_loader(repository.directory), None)
        source = directory / "large"
        source.write_bytes(LARGE)
        large, _ = self._ingest.add_file(source, transfer=Transfer.COPY)
        for name, stored in (("large", large), ("small", self._ingest.add_bytes(SMALL))):
            builder.put(
                name,
                FileEntry(
                    name=name,
                    sha256=stored.sha256,
                    size_bytes=stored.size_bytes,
                    md5=stored.md5,
                    blocks=stored.blocks,
                    executable=False,
                    mtime_ns=0,
                ),
            )
        self._tree = builder.build(self._ingest.add_directory)
        self.taken = self._ingest.finish()

    def commit(self) -> VersionRecord:
        """Make it a version."""
        request = CommitRequest(project="p", name="a", type="dataset")
        return self._repository.commit(self._ingest, self._tree, request).version


def assert_sound(repository: Repository) -> None:
    versions = [version for version, _ in repository.catalog.live_trees()]
    assert verify(repository, versions).damages == ()
    assert [each for each in examine(repository) if each.severity is Severity.DAMAGE] == []


def is_out_of_touch(repository: Repository) -> None:
    """Let as much time pass on the server since its leases were renewed as it takes to be gone."""
    lapse_leases(repository.address)


def test_what_a_put_has_stored_and_found_stays_until_its_commit(
    open_shared: OpenStore, tmp_path: Path
) -> None:
    one, other = open_shared(), open_shared()
    Put(one, tmp_path)  # and killed
    is_out_of_touch(one)
    put = Put(one, tmp_path)
    for _ in range(3):
        report = collect(other, grace_s=0)
        assert report.leases == 1
        assert report.orphans.count == report.removed.count == 0
    put.commit()
    assert collect(other, grace_s=0) == GcReport(dry_run=False)
    assert_sound(open_shared())


def test_a_put_that_slept_for_too_long_fails_cleanly_where_gc_did_not_wait(
    open_shared: OpenStore, tmp_path: Path
) -> None:
    one, other = open_shared(), open_shared()
    put = Put(one, tmp_path)
    is_out_of_touch(one)
    report = collect(other, grace_s=0)
    assert report.orphans.count == 2
    assert list(other.objects.objects(Namespace.BLOBS)) == []
    with pytest.raises(Conflict, match="run it again"):
        put.commit()
    assert one.catalog.artifacts() == []
    Put(one, tmp_path).commit()
    assert_sound(open_shared())


def test_a_put_that_slept_for_too_long_succeeds_where_nothing_was_removed(
    open_shared: OpenStore, tmp_path: Path
) -> None:
    one, other = open_shared(), open_shared()
    put = Put(one, tmp_path)
    is_out_of_touch(one)
    collect(other, grace_s=3600)
    put.commit()
    collect(other, grace_s=0)
    assert_sound(open_shared())


@pytest.mark.parametrize("namespace", list(Namespace))
def test_a_commit_proves_that_each_object_is_there_whoever_removed_it(
    open_shared: OpenStore, tmp_path: Path, namespace: Namespace
) -> None:
    one, other = open_shared(), open_shared()
    put = Put(one, tmp_path)
    for found in list(other.objects.objects(namespace)):
        other.objects.delete(found.key)
    with pytest.raises(Conflict, match="run it again"):
        put.commit()
    assert one.catalog.artifacts() == []
    Put(one, tmp_path).commit()
    assert_sound(open_shared())


@pytest.mark.parametrize("doomed", [False, True])
def test_a_commit_meets_a_gc_that_has_adopted_what_it_found(
    open_shared: OpenStore, tmp_path: Path, doomed: bool
) -> None:
    one, other = open_shared(), open_shared()
    Put(one, tmp_path)
    put = Put(one, tmp_path)
    blobs = [blob for blob in put.taken.blobs if blob.pack is None]
    packs = list(put.taken.packs)
    # What gc does with orphans, up to some point.
    other.catalog.add_blobs(packs, blobs, condemned_at_ns=1)
    assert not other.catalog.doom_blobs([blobs[0].sha256], condemned_before_ns=2)
    assert not other.catalog.doom_packs([packs[0].sha256], condemned_before_ns=2)
    if doomed:
        is_out_of_touch(one)
        assert other.catalog.doom_blobs([blobs[0].sha256], condemned_before_ns=2)
        assert other.catalog.doom_packs([packs[0].sha256], condemned_before_ns=2)
        with pytest.raises(Conflict):
            put.commit()
        Put(one, tmp_path).commit()
    else:
        put.commit()
        assert not other.catalog.doom_blobs([blobs[0].sha256], condemned_before_ns=2)
        assert not other.catalog.doom_packs([packs[0].sha256], condemned_before_ns=2)
    collect(other, grace_s=3600)
    assert_sound(open_shared())


def test_a_pack_that_a_killed_gc_left_is_not_moved_to_while_another_gc_removes_it(
    open_shared: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = open_shared(), open_shared()
    files = {f"{number:03}": Random(number).randbytes(20_000) for number in range(50)}
    gone = commit(one, "p/a", files)
    commit(one, "p/a", {"007": files["007"]})
    one.catalog.delete_version(gone.id, delete_aliases=True)
    plain = other.catalog.move_blobs
    removed: list[PackRecord] = []

    def killed(*_arguments: object, **_options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(one.catalog, "move_blobs", killed)
    with pytest.raises(KeyboardInterrupt):
        collect(one, grace_s=0)

    def late(
        source: Digest,
        target: PackRecord,
        blobs: list[BlobRecord],
        *,
        confirm: Confirm | None = None,
    ) -> int:
        # The third gc adopts the pack, which no row names, and removes it.
        third = open_shared()
        third.catalog.add_blobs([target], [], condemned_at_ns=1)
        assert not third.catalog.doom_packs([target.sha256], condemned_before_ns=2**62)
        is_out_of_touch(other)
        assert third.catalog.doom_packs([target.sha256], condemned_before_ns=2**62)

        def delete(_record: BlobRecord | PackRecord) -> None:
            third.objects.delete(ObjectKey(Namespace.PACKS, target.sha256))

        third.catalog.sweep(delete)
        removed.append(target)
        return plain(source, target, blobs, confirm=confirm)

    with monkeypatch.context() as patch:
        patch.setattr(other.catalog, "move_blobs", late)
        collect(other, grace_s=0)
    assert removed
    assert_sound(open_shared())
    collect(open_shared(), grace_s=0)
    assert_sound(open_shared())


def test_what_shows_through_an_area_of_another_host_stays_while_it_is_open(
    open_shared: OpenStore,
) -> None:
    one, other = open_shared(), open_shared()
    base = commit(one, "p/a", {"f": LARGE, "g": SMALL})
    commit(one, "p/b", {"h": b"other"})
    meta = AreaMeta(
        id="",
        store=one.info.location,
        project="p",
        name="a",
        type="dataset",
        created_at_ns=0,
        uid=0,
        gid=0,
        base_id=base.id,
        base_tree=base.tree,
    )
    area = Area.create(one, meta)
    other.catalog.delete_version(base.id, delete_aliases=True)
    for _ in range(2):
        report = collect(other, grace_s=0)
        assert (report.leases, report.removed.count) == (0, 0)
    entry = open_shared().find(base.tree, "f")
    assert isinstance(entry, FileEntry)
    assert other.objects.size(ObjectKey(Namespace.BLOBS, entry.sha256)) == len(LARGE)
    area.drop()
    assert collect(other, grace_s=0).removed.count == 3
