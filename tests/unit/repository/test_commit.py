"""Intake and commit: what was stored is not stored again, and nothing half-stored is committed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.catalog.records import CommitRequest
from artfs.content.base import read_blocks
from artfs.errors import Conflict, InvalidArgument, InvalidName, OutOfSpace, SourceChanged
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import FileEntry
from artfs.model import SMALL_BLOB_LIMIT_BYTES
from artfs.repository.facade import Repository
from artfs.repository.ingest import Ingest, StoredContent
from tests.support.disks import small_file_system
from tests.support.stores import commit, new_store

LARGE = os.urandom(SMALL_BLOB_LIMIT_BYTES + 1)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return new_store(tmp_path / "store")


@pytest.fixture
def tiny_store(tmp_path: Path) -> Iterator[Repository]:
    """A store on a disk of 8 MiB."""
    with (
        small_file_system(tmp_path / "disk", size_mib=8) as disk,
        new_store(disk / "store") as repository,
    ):
        yield repository


def as_entry(stored: StoredContent) -> FileEntry:
    return FileEntry("", stored.sha256, stored.size_bytes, stored.md5, stored.blocks, False, 0)


def request(name: str = "a") -> CommitRequest:
    return CommitRequest(project="p", name=name, type="dataset")


def commit_one(repository: Repository, ingest: Ingest, stored: StoredContent) -> str:
    builder = TreeBuilder(repository.directory)
    builder.put("f", as_entry(stored))
    return repository.commit(ingest, builder.build(ingest.add_directory), request()).version.version


def test_what_the_store_has_is_not_written_again(repository: Repository) -> None:
    content = {"small": b"small", "large": LARGE}
    commit(repository, "p/a", content)
    before = repository.catalog.totals()
    commit(repository, "p/b", content)
    after = repository.catalog.totals()
    assert after.versions == 2
    assert (after.blobs, after.packs) == (before.blobs, before.packs)


def test_equal_content_in_one_intake_is_stored_once(repository: Repository) -> None:
    ingest = repository.ingest()
    assert ingest.add_bytes(b"twice") == ingest.add_bytes(b"twice")
    assert ingest.add_bytes(LARGE) == ingest.add_bytes(LARGE)
    assert len(ingest.finish().blobs) == 2


def test_a_linked_file_is_not_copied_and_becomes_read_only(
    repository: Repository, tmp_path: Path
) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(LARGE)
    ingest = repository.ingest()
    stored, _ = ingest.add_file(source, transfer=Transfer.LINK)
    commit_one(repository, ingest, stored)
    assert repository.info.root is not None
    kept = repository.info.root / str(ObjectKey(Namespace.BLOBS, stored.sha256))
    assert kept.samefile(source)
    assert source.stat().st_mode & 0o222 == 0


def test_a_moved_file_is_gone(repository: Repository, tmp_path: Path) -> None:
    for size in (10, len(LARGE)):
        source = tmp_path / "model.bin"
        source.write_bytes(LARGE[:size])
        repository.ingest().add_file(source, transfer=Transfer.MOVE)
        assert not source.exists()


def test_a_file_that_grows_while_it_is_read_is_refused(
    repository: Repository, tmp_path: Path
) -> None:
    source = tmp_path / "growing"
    source.write_bytes(os.urandom(32 << 20))

    def grow(_count: int) -> None:
        with source.open("ab") as file:
            file.write(b"more")

    with pytest.raises(SourceChanged, match="growing"):
        repository.ingest().add_file(source, on_bytes=grow)


def fill(ingest: Ingest) -> None:
    for _ in range(100):
        ingest.add_bytes(os.urandom(SMALL_BLOB_LIMIT_BYTES - 1))


def test_an_intake_that_failed_once_stays_failed(tiny_store: Repository) -> None:
    ingest = tiny_store.ingest()
    kept = ingest.add_bytes(b"fits")
    with pytest.raises(OutOfSpace):
        fill(ingest)
    with pytest.raises(OutOfSpace):
        commit_one(tiny_store, ingest, kept)
    assert tiny_store.catalog.projects() == []
    # What failed left nothing that takes the space of the next attempt.
    again = tiny_store.ingest()
    assert commit_one(tiny_store, again, again.add_bytes(b"fits")) == "v0"


def test_a_blob_that_gc_removes_meanwhile_fails_the_commit_and_is_stored_by_the_next(
    repository: Repository,
) -> None:
    commit(repository, "p/old", {"f": LARGE})
    ingest = repository.ingest()
    stored = ingest.add_bytes(LARGE)
    now_ns = time.time_ns()
    repository.catalog.condemn([stored.sha256], at_ns=now_ns)
    assert not repository.catalog.doom_blobs([stored.sha256], condemned_before_ns=now_ns + 1)
    ingest.release()
    assert repository.catalog.doom_blobs([stored.sha256], condemned_before_ns=now_ns + 1)
    with pytest.raises(Conflict, match="run it again"):
        commit_one(repository, ingest, stored)
    again = repository.ingest()
    assert commit_one(repository, again, again.add_bytes(LARGE)) == "v0"
    entry = repository.find(repository.resolve("p/a").tree, "f")
    assert isinstance(entry, FileEntry)
    assert b"".join(read_blocks(repository.content(entry))) == LARGE


def test_a_condemned_blob_is_saved_by_the_commit_that_reuses_it(repository: Repository) -> None:
    commit(repository, "p/old", {"f": LARGE})
    ingest = repository.ingest()
    stored = ingest.add_bytes(LARGE)
    now_ns = time.time_ns()
    repository.catalog.condemn([stored.sha256], at_ns=now_ns)
    commit_one(repository, ingest, stored)
    assert not repository.catalog.doom_blobs([stored.sha256], condemned_before_ns=now_ns + 1)


def test_a_base_that_was_deleted_meanwhile_does_not_lose_its_content(
    repository: Repository,
) -> None:
    base = commit(repository, "p/a", {"d/kept": b"kept", "d/old": b"old"})
    ingest = repository.ingest()
    builder = TreeBuilder(repository.directory, base.root)
    builder.put("new", as_entry(ingest.add_bytes(b"new")))
    tree = builder.build(ingest.add_directory)
    repository.catalog.delete_version(base.id, delete_aliases=True)
    wanted = CommitRequest(project="p", name="a", type="dataset", base_ids=(base.id,))
    outcome = repository.commit(ingest, tree, wanted)
    assert outcome.version.version == "v1"
    assert outcome.version.file_count == 3


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (CommitRequest(project="..", name="a", type="t"), InvalidName),
        (CommitRequest(project="p", name="a/b", type="t"), InvalidName),
        (CommitRequest(project="p", name="a", type="t/u"), InvalidName),
        (CommitRequest(project="p", name="a", type="t", aliases=("v3",)), InvalidName),
        (
            CommitRequest(project="p", name="a", type="t", metadata=dict.fromkeys("abc" * 40, 1)),
            None,
        ),
        (
            CommitRequest(
                project="p", name="a", type="t", metadata={str(n): n for n in range(101)}
            ),
            InvalidArgument,
        ),
    ],
)
def test_bad_names_are_refused_before_anything_is_stored(
    repository: Repository, bad: CommitRequest, error: type[Exception] | None
) -> None:
    ingest = repository.ingest()
    tree = TreeBuilder(repository.directory).build(ingest.add_directory)
    if error is None:
        assert repository.commit(ingest, tree, bad).created
        return
    with pytest.raises(error):
        repository.commit(ingest, tree, bad)
    assert repository.catalog.totals().packs == 0


def test_names_that_spell_a_manifest_do_not_pass_for_its_content(repository: Repository) -> None:
    """W&B's digest of a directory and of one file named like its manifest are the same."""
    first = commit(repository, "p/a", {"a": b"1", "b": b"2"})
    entry = repository.find(first.tree, "a")
    assert isinstance(entry, FileEntry)
    second = commit(repository, "p/a", {f"a:{entry.digest}\nb": b"2"})
    assert (second.version, second.digest) == ("v1", first.digest)
    repository.find(second.tree, f"a:{entry.digest}\nb")
