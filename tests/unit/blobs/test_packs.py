from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.blobs.packs import FinishedPack, PackedBlob, PackWriter, read_footer
from artfs.errors import BackendUnavailable, IntegrityError, InvalidManifest
from artfs.model import ByteRange, Digest


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).digest())


def write_pack(path: Path, contents: list[bytes]) -> FinishedPack:
    with PackWriter(path) as pack:
        for data in contents:
            pack.add(digest_of(data), data)
        return pack.finish()


def footer_of(data: bytes) -> list[PackedBlob]:
    def read(span: ByteRange) -> bytes:
        assert 0 <= span.start <= span.stop <= len(data)
        return data[span.start : span.stop]

    return read_footer(read, len(data))


def packed(contents: list[bytes]) -> tuple[FinishedPack, bytes]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pack"
        return write_pack(path, contents), path.read_bytes()


@given(st.lists(st.binary(max_size=2000), max_size=30))
def test_what_is_packed_is_found_by_the_footer(contents: list[bytes]) -> None:
    finished, data = packed(contents)
    assert finished.sha256 == digest_of(data)
    assert finished.size_bytes == len(data)
    found = footer_of(data)
    assert found == list(finished.blobs)
    # In the order of adding, each once, and each where the footer says.
    assert [data[b.offset : b.offset + b.size_bytes] for b in found] == list(
        dict.fromkeys(contents)
    )
    assert all(digest_of(data[b.offset : b.offset + b.size_bytes]) == b.sha256 for b in found)


def test_offsets_and_size_are_known_while_writing(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "pack") as pack:
        assert pack.size_bytes == 0
        assert pack.add(digest_of(b"one"), b"one") == 0
        assert pack.add(digest_of(b"four"), b"four") == 3
        assert pack.add(digest_of(b"one"), b"one") == 0
        assert pack.size_bytes == 7
        assert [blob.offset for blob in pack.finish().blobs] == [0, 3]


def test_an_index_larger_than_the_first_read_is_found() -> None:
    finished, data = packed([index.to_bytes(4, "big") for index in range(5000)])
    reads: list[ByteRange] = []

    def read(span: ByteRange) -> bytes:
        reads.append(span)
        return data[span.start : span.stop]

    assert read_footer(read, len(data)) == list(finished.blobs)
    assert len(reads) == 2


def test_damage_at_any_byte_is_detected_or_harmless() -> None:
    contents = [b"first blob", b"", b"the second one", bytes(40)]
    finished, data = packed(contents)
    content_bytes = sum(len(blob) for blob in contents)
    for position in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            if position < content_bytes:
                # The footer is sound; the blob's own digest tells.
                assert footer_of(bytes(damaged)) == list(finished.blobs)
            else:
                with pytest.raises((IntegrityError, InvalidManifest)):
                    footer_of(bytes(damaged))


def test_a_pack_cut_short_anywhere_is_refused() -> None:
    _, data = packed([b"first blob", b"the second one"])
    for length in range(len(data)):
        with pytest.raises((IntegrityError, InvalidManifest)):
            footer_of(data[:length])


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_pack(data: bytes) -> None:
    with pytest.raises((IntegrityError, InvalidManifest)):
        footer_of(data)


def with_footer(content: bytes, index: bytes, version: int = 1) -> bytes:
    trailer = len(index).to_bytes(8, "little") + hashlib.sha256(index).digest()
    return content + index + trailer + version.to_bytes(4, "little") + b"artfspak"


@pytest.mark.parametrize(
    "blobs",
    [
        [(bytes(32), 0, 11)],
        [(bytes(32), 0, 9)],
        [(bytes(32), 1, 9)],
        [(bytes(32), 0, -1), (bytes(32), -1, 11)],
        [(bytes(31), 0, 10)],
        [(bytes(32), 0, 2**64 - 1)],
        [(bytes(32), 0)],
        ["nonsense"],
        {"no": "list"},
        [(bytes(32), 0, 6), (bytes(32), 5, 5)],
    ],
)
def test_a_sound_checksum_does_not_excuse_an_index_that_lies(blobs: object) -> None:
    index = msgspec.msgpack.encode(blobs)
    with pytest.raises(InvalidManifest, match="pack index"):
        footer_of(with_footer(b"0123456789", index))


def test_a_pack_of_a_newer_version_says_so() -> None:
    data = with_footer(b"", msgspec.msgpack.encode([]), version=2)
    with pytest.raises(InvalidManifest, match="format version 2: a newer artfs may read it"):
        footer_of(data)


def test_an_unfinished_pack_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "pack"

    def begin() -> None:
        with PackWriter(path) as pack:
            pack.add(digest_of(b"blob"), b"blob")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin()
    assert not path.exists()


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "pack"
    path.write_bytes(b"precious")
    with pytest.raises(BackendUnavailable, match="File exists"):
        PackWriter(path)
    assert path.read_bytes() == b"precious"
