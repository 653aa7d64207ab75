"""Directory objects: canonical, random access, and safe to read from a stranger."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.errors import InvalidManifest, InvalidName
from artfs.manifest import directory
from artfs.manifest.directory import Directory, directory_digest, encode_directory
from artfs.manifest.entries import (
    DirectoryEntry,
    Entry,
    FileEntry,
    Pin,
    ReferenceEntry,
    SymlinkEntry,
)
from artfs.model import Digest


def names() -> st.SearchStrategy[str]:
    return st.text(
        st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20
    ).filter(lambda name: name not in {".", ".."})


def digests() -> st.SearchStrategy[Digest]:
    return st.binary(min_size=32, max_size=32).map(Digest)


def sizes() -> st.SearchStrategy[int]:
    return st.integers(0, 2**62)


def entries() -> st.SearchStrategy[Entry]:
    files = st.builds(
        FileEntry,
        names(),
        digests(),
        sizes(),
        st.binary(min_size=16, max_size=16),
        st.none() | digests(),
        st.booleans(),
        st.integers(-(2**60), 2**62),
    )
    pins = st.builds(Pin, etag=st.none() | st.text(max_size=5), generation=st.none() | sizes())
    references = st.builds(
        ReferenceEntry,
        names(),
        st.text(max_size=10),
        st.text(max_size=10),
        st.none() | sizes(),
        pins,
        st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2),
    )
    links = st.builds(SymlinkEntry, names(), st.text(max_size=10))
    directories = st.builds(DirectoryEntry, names(), digests(), sizes(), sizes())
    return files | references | links | directories


def listings() -> st.SearchStrategy[list[Entry]]:
    return st.lists(entries(), max_size=40, unique_by=lambda entry: entry.name)


def file_entry(name: str) -> FileEntry:
    return FileEntry(name, Digest(bytes(32)), 1, bytes(16), None, False, 7)


@given(listings())
def test_what_was_encoded_is_decoded_in_name_order(listing: list[Entry]) -> None:
    directory = Directory(encode_directory(listing))

    expected = sorted(listing, key=lambda entry: entry.name.encode())
    assert list(directory.entries()) == expected
    assert [directory.entry(i) for i in range(len(directory))] == expected
    assert [directory.get(entry.name) for entry in listing] == listing


@given(listings(), st.randoms())
def test_the_encoding_does_not_depend_on_the_order_of_entries(
    listing: list[Entry], random: object
) -> None:
    shuffled = list(listing)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert encode_directory(shuffled) == encode_directory(listing)


@given(listings(), names())
def test_a_name_that_is_not_there_is_not_found(listing: list[Entry], name: str) -> None:
    directory = Directory(encode_directory([e for e in listing if e.name != name]))
    assert directory.get(name) is None


def test_the_object_is_plain_msgpack_that_any_reader_can_decode() -> None:
    encoded = encode_directory([SymlinkEntry("b", "x"), file_entry("a")])
    version, index, listed = msgspec.msgpack.decode(encoded)
    assert version == 1
    assert len(index) == 8
    assert [entry[:2] for entry in listed] == [["f", "a"], ["s", "b"]]


def test_a_digest_is_the_sha256_of_the_encoding() -> None:
    encoded = encode_directory([file_entry("a")])
    assert directory_digest(encoded) == sha256(encoded).digest()


def test_the_encoding_is_frozen() -> None:
    encoded = encode_directory([file_entry("a"), DirectoryEntry("d", Digest(b"\1" * 32), 2, 3)])
    assert sha256(encoded).hexdigest() == (
        "355fe9fafdd046d5fa62e4a5b15555f8be7e6129c5b1d3e4192afcb17562522c"
    )


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 256, "é" * 128, "\udce9"])
def test_bad_names_are_refused_when_written(name: str) -> None:
    with pytest.raises(InvalidName):
        encode_directory([file_entry(name)])


def test_names_of_255_bytes_are_accepted() -> None:
    assert Directory(encode_directory([file_entry("é" * 127)])).get("é" * 127) is not None


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(InvalidName, match="twice"):
        encode_directory([file_entry("a"), SymlinkEntry("a", "b")])


@pytest.mark.parametrize("name", ["..", "a/b", "a\0b", ""])
def test_r8_bad_names_of_a_hostile_store_are_refused_when_read(name: str) -> None:
    good = encode_directory([file_entry("zz")])
    size = len(name.encode())
    hostile = good.replace(b"\xa2zz", bytes([0xA0 | size]) + name.encode())
    directory = Directory(hostile)
    with pytest.raises(InvalidManifest):
        directory.entry(0)
    with pytest.raises(InvalidManifest):
        list(directory.entries())


@given(listings(), st.data())
def test_r8_damage_is_an_error_or_harmless_but_never_a_crash(
    listing: list[Entry], data: st.DataObject
) -> None:
    encoded = bytearray(encode_directory(listing))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        directory = Directory(bytes(encoded))
        found = list(directory.entries())
        for entry in found:
            directory.get(entry.name)
        directory.get("no such name")
    except InvalidManifest:
        pass


def test_a_directory_that_is_too_large_is_told_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listing = [file_entry(f"{number:03}") for number in range(100)]
    monkeypatch.setattr(directory, "_MAX_BODY_BYTES", 1000)
    with pytest.raises(InvalidManifest, match="exceeds 4 GiB: spread them"):
        encode_directory(listing)


@pytest.mark.parametrize("name", ["xx", "bb"], ids=["unsorted", "twice"])
def test_r8_entries_of_a_hostile_store_that_are_unsorted_or_stand_twice_are_refused(
    name: str,
) -> None:
    good = encode_directory([file_entry("aa"), file_entry("bb")])
    hostile = good.replace(b"\xa2aa", b"\xa2" + name.encode())
    with pytest.raises(InvalidManifest, match="sorted"):
        list(Directory(hostile).entries())


def test_a_newer_format_is_refused_by_name() -> None:
    encoded = bytearray(encode_directory([]))
    encoded[1] = 9
    with pytest.raises(InvalidManifest, match="version 9"):
        Directory(bytes(encoded))
