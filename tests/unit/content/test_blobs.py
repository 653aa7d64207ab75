"""Reading blobs: only verified bytes come out."""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.blobs.packs import PackWriter
from artfs.catalog.records import BlobRecord, PackRecord
from artfs.content.base import Content, read_blocks, read_range
from artfs.content.blobs import stored_object
from artfs.content.local_files import ProvenBlocks, state_to_prove
from artfs.errors import BlobNotFound, IntegrityError
from artfs.manifest.entries import FileEntry
from artfs.model import BLOCK_SIZE_BYTES, ByteRange, Digest
from artfs.repository.facade import Repository
from artfs.system.files import file_state
from tests.support.faults import wait_until
from tests.support.stores import commit, new_store

LARGE = random.Random(7).randbytes(2 * BLOCK_SIZE_BYTES + 12345)
SMALL = b"small content"


def entry_of(repository: Repository, path: str) -> FileEntry:
    entry = repository.find(repository.resolve("p/a").tree, path)
    assert isinstance(entry, FileEntry)
    return entry


def stored_at(repository: Repository, entry: FileEntry) -> tuple[Path, int]:
    """The file that holds a blob, and the blob's offset in it."""
    record = repository.blobs.locate(entry.sha256)
    assert repository.info.root is not None
    return repository.info.root / str(stored_object(record)), record.offset


def tamper(path: Path, offset: int) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = new_store(tmp_path / "store")
    commit(found, "p/a", {"large": LARGE, "small": SMALL, "empty": b""})
    return found


@given(st.integers(0, len(LARGE) + 10), st.integers(0, len(LARGE) + 10))
@settings(max_examples=30)
def test_any_range_of_a_large_blob_is_right(
    content_of_large: Content, start: int, length: int
) -> None:
    assert read_range(content_of_large, ByteRange(start, length)) == LARGE[start : start + length]


@pytest.fixture(scope="module")
def content_of_large(tmp_path_factory: pytest.TempPathFactory) -> Content:
    found = new_store(tmp_path_factory.mktemp("large") / "store")
    commit(found, "p/a", {"large": LARGE})
    return found.content(entry_of(found, "large"))


def test_blocks_together_are_the_content(repository: Repository) -> None:
    for path, expected in {"large": LARGE, "small": SMALL, "empty": b""}.items():
        content = repository.content(entry_of(repository, path))
        assert content.size_bytes == len(expected)
        assert b"".join(read_blocks(content)) == expected


def test_r2_a_damaged_block_is_an_error_and_the_others_are_served(repository: Repository) -> None:
    entry = entry_of(repository, "large")
    tamper(*stored_at(repository, entry)[:1], BLOCK_SIZE_BYTES + 99)
    content = repository.content(entry)
    assert content.load_block(0) == LARGE[:BLOCK_SIZE_BYTES]
    with pytest.raises(IntegrityError, match="block 1"):
        content.load_block(1)
    assert content.try_read(ByteRange(BLOCK_SIZE_BYTES, 1)) is None
    assert content.load_block(2) == LARGE[2 * BLOCK_SIZE_BYTES :]


def test_r2_a_damaged_small_blob_is_an_error(repository: Repository) -> None:
    entry = entry_of(repository, "small")
    tamper(*stored_at(repository, entry))
    with pytest.raises(IntegrityError):
        repository.content(entry).load_block(0)


def test_r2_a_truncated_blob_is_an_error_never_short_bytes(repository: Repository) -> None:
    entry = entry_of(repository, "large")
    path, _ = stored_at(repository, entry)
    path.chmod(0o644)
    os.truncate(path, 2 * BLOCK_SIZE_BYTES + 5)
    with pytest.raises(IntegrityError):
        repository.content(entry).load_block(2)


def prove(content: Content, *indices: int) -> None:
    """Load blocks until they can be served without: a file that changed just now is not trusted."""
    for index in indices:

        def is_proved(index: int = index) -> bool:
            content.load_block(index)
            return content.try_read(ByteRange(index * BLOCK_SIZE_BYTES, 1)) is not None

        wait_until(is_proved)


def test_try_read_serves_only_what_was_verified(repository: Repository) -> None:
    content = repository.content(entry_of(repository, "large"))
    assert content.try_read(ByteRange(0, 10)) is None
    prove(content, 0)
    assert content.try_read(ByteRange(5, 10)) == LARGE[5:15]
    across = ByteRange(BLOCK_SIZE_BYTES - 5, 10)
    assert content.try_read(across) is None
    prove(content, 1)
    assert content.try_read(across) == LARGE[across.start : across.stop]


@pytest.mark.parametrize("path", ["large", "small"])
def test_r2_a_proof_ends_when_the_file_is_changed_in_place(
    repository: Repository, path: str
) -> None:
    """A blob of its own, and one in a pack."""
    entry = entry_of(repository, path)
    content = repository.content(entry)
    prove(content, 0)
    where, offset = stored_at(repository, entry)
    status = where.stat()
    tamper(where, offset + 3)
    os.utime(where, ns=(status.st_atime_ns, status.st_mtime_ns))
    where.chmod(status.st_mode)
    # Whoever opens it anew is not told otherwise.
    for found in (content, repository.content(entry)):
        assert found.try_read(ByteRange(0, 5)) is None
        with pytest.raises(IntegrityError):
            found.load_block(0)
        assert found.try_read(ByteRange(0, 5)) is None


@pytest.mark.parametrize("path", ["large", "small"])
def test_a_proof_is_made_anew_where_only_the_status_of_the_file_changed(
    repository: Repository, tmp_path: Path, path: str
) -> None:
    entry = entry_of(repository, path)
    content = repository.content(entry)
    prove(content, 0)
    where, _ = stored_at(repository, entry)
    (tmp_path / "link").hardlink_to(where)
    assert content.try_read(ByteRange(0, 5)) is None
    prove(content, 0)
    assert content.try_read(ByteRange(0, 5)) == (LARGE if path == "large" else SMALL)[:5]


def test_proofs_of_the_other_blocks_end_with_the_one_of_a_file_that_changed() -> None:
    proven = ProvenBlocks(3 * BLOCK_SIZE_BYTES)
    with tempfile.TemporaryFile() as file:
        old = file_state(file.fileno())
        one, two = (msgspec.structs.replace(old, ctime_ns=ctime_ns) for ctime_ns in (1, 2))
        for index in range(3):
            proven.prove(index, one)
        assert proven.seem_proved(0, 2)
        # In another state than the file's, so nothing holds of it.
        assert not proven.are_proved(0, 2, file.fileno())
        proven.prove(1, two)
        assert proven.seem_proved(1, 1)
        assert not proven.seem_proved(0, 0)
        assert not proven.seem_proved(0, 2)


def test_what_changed_a_moment_ago_is_not_trusted_yet() -> None:
    """Within one tick of an older kernel's clock a second change does not show."""
    with tempfile.TemporaryFile() as file:
        wait_until(lambda: state_to_prove(file.fileno())[1])
        assert state_to_prove(file.fileno())[0] == file_state(file.fileno())


def test_a_block_of_a_file_that_had_changed_just_before_is_not_proved_by_a_slow_read(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_of(repository, "large")
    content = repository.content(entry)
    changed_ns = stored_at(repository, entry)[0].stat().st_ctime_ns
    clock = [changed_ns + 1_000_000]
    read = os.pread

    def slow_read(fd: int, length: int, offset: int) -> bytes:
        clock[0] += 10**9
        return read(fd, length, offset)

    monkeypatch.setattr(time, "time_ns", lambda: clock[0])
    monkeypatch.setattr(os, "pread", slow_read)
    assert content.load_block(0) == LARGE[:BLOCK_SIZE_BYTES]
    assert content.try_read(ByteRange(0, 10)) is None
    assert content.load_block(0) == LARGE[:BLOCK_SIZE_BYTES]
    assert content.try_read(ByteRange(0, 10)) == LARGE[:10]


def test_a_blob_that_is_lost_is_named(repository: Repository) -> None:
    entry = entry_of(repository, "large")
    stored_at(repository, entry)[0].unlink()
    with pytest.raises(BlobNotFound, match=entry.sha256.hex()[2:]):
        repository.content(entry).load_block(0)


def test_a_blob_that_was_moved_into_another_pack_is_found_again(
    repository: Repository, tmp_path: Path
) -> None:
    entry = entry_of(repository, "small")
    content = repository.content(entry)
    old_path, _ = stored_at(repository, entry)
    with PackWriter(tmp_path / "pack") as writer:
        writer.add(Digest(bytes(32)), b"something else before it")
        offset = writer.add(entry.sha256, SMALL)
        pack = writer.finish()
    key = ObjectKey(Namespace.PACKS, pack.sha256)
    repository.objects.put(key, tmp_path / "pack", transfer=Transfer.MOVE)
    moved = BlobRecord(entry.sha256, entry.size_bytes, pack.sha256, offset)
    old_pack = repository.blobs.locate(entry.sha256).pack
    assert old_pack is not None
    repository.catalog.move_blobs(old_pack, PackRecord(pack.sha256, pack.size_bytes), [moved])
    old_path.unlink()

    assert content.load_block(0) == SMALL


def test_an_entry_that_lies_about_its_size_is_refused(repository: Repository) -> None:
    entry = entry_of(repository, "small")
    lying = FileEntry("x", entry.sha256, 5, entry.md5, None, False, 0)
    with pytest.raises(IntegrityError, match="5 were committed"):
        repository.content(lying)


def test_a_large_entry_without_a_block_list_is_refused(repository: Repository) -> None:
    entry = entry_of(repository, "large")
    lying = FileEntry("x", entry.sha256, entry.size_bytes, entry.md5, None, False, 0)
    with pytest.raises(IntegrityError, match="no block list"):
        repository.content(lying)
