"""What every ObjectStore must do: subclass it in a test module and give it your store.

class TestMyStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MyStore(...)  # empty, of this test alone
"""

from __future__ import annotations

import os
import threading
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from artfs.blobs.base import (
    Namespace,
    ObjectKey,
    ObjectStore,
    RecordKind,
    RecordStore,
    Transfer,
)
from artfs.errors import BlobNotFound, IntegrityError, PathNotFound
from artfs.model import ByteRange, Digest

ABSENT = ObjectKey(Namespace.BLOBS, Digest(bytes(32)))


def key_of(data: bytes, namespace: Namespace = Namespace.BLOBS) -> ObjectKey:
    """The key of some content."""
    return ObjectKey(namespace, Digest(sha256(data).digest()))


def put_bytes(store: ObjectStore, directory: Path, data: bytes) -> ObjectKey:
    """Store `data` as a blob by way of a file in `directory`."""
    key = key_of(data)
    source = directory / key.sha256.hex()
    source.write_bytes(data)
    store.put(key, source, transfer=Transfer.MOVE)
    return key


class ObjectStoreContract:
    """The promises of the port. Sizes are small but for `large_size_bytes`."""

    large_size_bytes = 9 * 1024 * 1024 + 7
    """Raise it above the size where the adapter changes its way of storing."""

    @pytest.mark.parametrize("namespace", list(Namespace))
    @pytest.mark.parametrize("size_bytes", [0, 1, 70_000])
    def test_what_was_put_is_read(
        self, store: ObjectStore, tmp_path: Path, namespace: Namespace, size_bytes: int
    ) -> None:
        data = Random(size_bytes).randbytes(size_bytes)
        (tmp_path / "source").write_bytes(data)
        key = key_of(data, namespace)
        store.put(key, tmp_path / "source", transfer=Transfer.COPY)
        assert store.size(key) == size_bytes
        assert store.read(key, ByteRange(0, size_bytes)) == data
        other = next(name for name in Namespace if name is not namespace)
        assert store.size(ObjectKey(other, key.sha256)) is None

    def test_a_large_object_is_read_from_anywhere(self, store: ObjectStore, tmp_path: Path) -> None:
        data = Random(1).randbytes(self.large_size_bytes)
        key = put_bytes(store, tmp_path, data)
        assert store.size(key) == len(data)
        middle = len(data) // 2
        for span in (
            ByteRange(0, 1),
            ByteRange(0, 100),
            ByteRange(middle, 1024 * 1024),
            ByteRange(len(data) - 1, 1),
            ByteRange(0, len(data)),
        ):
            assert store.read(key, span) == data[span.start : span.stop]

    def test_a_stream_comes_in_pieces(self, store: ObjectStore, tmp_path: Path) -> None:
        data = Random(2).randbytes(1000)
        key = put_bytes(store, tmp_path, data)
        for start, stop, sizes in (
            (0, 1000, [300, 300, 300, 100]),
            (400, 1000, [300, 300]),
            (999, 1000, [1]),
            (5, 5, []),
        ):
            pieces = list(store.stream(key, ByteRange(start, stop - start), piece_bytes=300))
            assert [len(piece) for piece in pieces] == sizes
            assert b"".join(pieces) == data[start:stop]

    def test_a_stream_that_is_left_harms_no_later_one(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        data = Random(3).randbytes(1000)
        key = put_bytes(store, tmp_path, data)
        for _ in range(3):
            pieces = store.stream(key, ByteRange(0, 1000), piece_bytes=300)
            assert next(pieces) == data[:300]
            pieces.close()
        assert b"".join(store.stream(key, ByteRange(0, 1000), piece_bytes=300)) == data

    def test_an_empty_range_is_empty(self, store: ObjectStore, tmp_path: Path) -> None:
        key = put_bytes(store, tmp_path, b"0123456789")
        assert store.read(key, ByteRange(5, 0)) == b""
        assert store.read(key, ByteRange(10, 0)) == b""

    @pytest.mark.parametrize("span", [ByteRange(0, 11), ByteRange(9, 2), ByteRange(10, 1)])
    def test_a_range_beyond_the_end_is_an_integrity_error_never_a_short_read(
        self, store: ObjectStore, tmp_path: Path, span: ByteRange
    ) -> None:
        key = put_bytes(store, tmp_path, b"0123456789")
        with pytest.raises(IntegrityError):
            store.read(key, span)
        with pytest.raises(IntegrityError):
            list(store.stream(key, span, piece_bytes=1))

    def test_an_object_that_does_not_exist_is_said_to_be_missing(self, store: ObjectStore) -> None:
        assert store.size(ABSENT) is None
        with pytest.raises(BlobNotFound):
            store.read(ABSENT, ByteRange(0, 1))
        with pytest.raises(BlobNotFound):
            list(store.stream(ABSENT, ByteRange(0, 1), piece_bytes=1))
        with pytest.raises(BlobNotFound):
            store.read(ABSENT, ByteRange(0, 0))

    def test_a_local_file_descriptor_is_the_object_or_there_is_none(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        key = put_bytes(store, tmp_path, b"0123456789")
        fd = store.open_local(key)
        if fd is None:
            return
        try:
            assert os.pread(fd, 100, 0) == b"0123456789"
            store.delete(key)
            assert os.pread(fd, 100, 0) == b"0123456789"
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(fd, b"x")
        finally:
            os.close(fd)
        with pytest.raises(BlobNotFound):
            store.open_local(key)

    @pytest.mark.parametrize("transfer", list(Transfer))
    def test_a_source_is_gone_after_a_move_and_whole_after_anything_else(
        self, store: ObjectStore, tmp_path: Path, transfer: Transfer
    ) -> None:
        for attempt in ("a new key", "one that exists"):
            source = tmp_path / attempt
            source.write_bytes(b"content")
            store.put(key_of(b"content"), source, transfer=transfer)
            assert store.read(key_of(b"content"), ByteRange(0, 7)) == b"content"
            if transfer is Transfer.MOVE:
                assert not source.exists()
            else:
                assert source.read_bytes() == b"content"

    def test_a_copied_source_stays_its_owner_s_to_write(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"content")
        source.chmod(0o640)
        store.put(key_of(b"content"), source, transfer=Transfer.COPY)
        assert source.stat().st_mode & 0o777 == 0o640
        with source.open("r+b") as file:
            file.write(b"CHANGED")
        assert store.read(key_of(b"content"), ByteRange(0, 7)) == b"content"

    def test_a_large_object_can_be_put_twice(self, store: ObjectStore, tmp_path: Path) -> None:
        data = Random(2).randbytes(self.large_size_bytes)
        key = put_bytes(store, tmp_path, data)
        assert put_bytes(store, tmp_path, data) == key
        assert store.read(key, ByteRange(len(data) - 10, 10)) == data[-10:]

    def test_a_source_that_does_not_exist_stores_nothing(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        with pytest.raises(PathNotFound):
            store.put(ABSENT, tmp_path / "nowhere", transfer=Transfer.MOVE)
        assert store.size(ABSENT) is None

    def test_a_deleted_object_is_gone_and_can_be_put_again(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        key = put_bytes(store, tmp_path, b"content")
        store.delete(key)
        assert store.size(key) is None
        with pytest.raises(BlobNotFound):
            store.read(key, ByteRange(0, 1))
        store.delete(key)
        put_bytes(store, tmp_path, b"content")
        assert store.read(key, ByteRange(0, 7)) == b"content"

    def test_a_listing_has_every_object_of_its_namespace_once(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        assert list(store.objects(Namespace.BLOBS)) == []
        contents = [str(number).encode() * number for number in range(1, 30)]
        for data in contents:
            put_bytes(store, tmp_path, data)
        (tmp_path / "pack").write_bytes(b"pack")
        store.put(key_of(b"pack", Namespace.PACKS), tmp_path / "pack", transfer=Transfer.MOVE)
        found = list(store.objects(Namespace.BLOBS))
        assert {item.key: item.size_bytes for item in found} == {
            key_of(data): len(data) for data in contents
        }
        assert len(found) == len(contents)
        (pack,) = store.objects(Namespace.PACKS)
        assert pack.key == key_of(b"pack", Namespace.PACKS)
        # Clocks differ between hosts, but not by a day.
        written_s = (tmp_path / "pack").parent.stat().st_mtime
        assert abs(pack.stored_s - written_s) < 86_400

    def test_threads_that_put_and_read_one_object_agree(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        data = Random(3).randbytes(300_000)
        key = key_of(data)
        failures: list[BaseException] = []

        def work(number: int) -> None:
            source = tmp_path / f"source{number}"
            source.write_bytes(data)
            try:
                store.put(key, source, transfer=Transfer.MOVE)
                assert store.read(key, ByteRange(number, 1000)) == data[number : number + 1000]
            except BaseException as error:  # noqa: BLE001 - reported below, whatever it is
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert [item.size_bytes for item in store.objects(Namespace.BLOBS)] == [len(data)]


class RecordStoreContract:
    """The promises of the port for recovery records."""

    def test_a_record_is_read_as_it_was_put_last(self, store: RecordStore) -> None:
        store.put_record(RecordKind.COMMITS, "abc1", b"first")
        store.put_record(RecordKind.COMMITS, "abc1", b"second, which is longer")
        store.put_record(RecordKind.CHECKPOINTS, "abc1", b"")
        assert store.read_record(RecordKind.COMMITS, "abc1") == b"second, which is longer"
        assert store.read_record(RecordKind.CHECKPOINTS, "abc1") == b""

    def test_records_are_listed_by_kind(self, store: RecordStore) -> None:
        assert list(store.records(RecordKind.COMMITS)) == []
        store.put_record(RecordKind.COMMITS, "one", b"1")
        store.put_record(RecordKind.COMMITS, "three", b"333")
        store.put_record(RecordKind.CHECKPOINTS, "000000000001", b"4444")
        listed = {each.name: each.size_bytes for each in store.records(RecordKind.COMMITS)}
        assert listed == {"one": 1, "three": 3}

    def test_a_record_that_is_deleted_is_gone(self, store: RecordStore) -> None:
        store.delete_record(RecordKind.COMMITS, "never")
        store.put_record(RecordKind.COMMITS, "one", b"1")
        store.delete_record(RecordKind.COMMITS, "one")
        store.delete_record(RecordKind.COMMITS, "one")
        assert list(store.records(RecordKind.COMMITS)) == []
        with pytest.raises(BlobNotFound):
            store.read_record(RecordKind.COMMITS, "one")
