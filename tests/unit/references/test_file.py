"""file://: what is pinned, and that nothing but the pinned bytes is ever read."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from pathlib import Path

import pytest

from artfs.errors import IntegrityError, InvalidArgument, InvalidName, ReferenceChanged
from artfs.manifest.entries import ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES, ByteRange
from artfs.references.registry import References
from tests.support.faults import wait_until
from tests.support.references import Reading

MTIME_NS = 1_600_000_000_123_456_789


def write(path: Path, data: bytes, mtime_ns: int = MTIME_NS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def describe(uri: str, **options: object) -> dict[str, ReferenceEntry]:
    return dict(References().describe(uri, **options))  # type: ignore[arg-type]


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return Reading(tmp_path / "cache", {})


def test_a_file_is_pinned_by_md5_size_and_mtime(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", b"content")
    entry = describe(f"file://{path}")["a.bin"]
    md5 = hashlib.md5(b"content").digest()
    assert entry.digest == b64encode(md5).decode()
    assert (entry.size_bytes, entry.pin.mtime_ns, entry.pin.md5) == (7, MTIME_NS, md5)
    assert entry.uri == f"file://{path}"
    assert entry.extra == {}


def test_without_a_checksum_the_digest_is_that_of_the_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", b"content")
    entry = describe(f"file://{path}", checksum=False)["a.bin"]
    assert entry.digest == b64encode(hashlib.md5(b"7").digest()).decode()
    assert entry.pin.md5 is None


def test_a_directory_is_all_files_below_it_with_refs_that_exist(tmp_path: Path) -> None:
    write(tmp_path / "top/one", b"1")
    write(tmp_path / "top/sub/two", b"22")
    (tmp_path / "top/link").symlink_to("one")
    (tmp_path / "top/loop").symlink_to(".")
    found = describe(f"file://{tmp_path}/top", name="in/side")
    assert {path: entry.uri for path, entry in found.items()} == {
        "in/side/link": f"file://{tmp_path}/top/link",
        "in/side/one": f"file://{tmp_path}/top/one",
        "in/side/sub/two": f"file://{tmp_path}/top/sub/two",
    }


def test_a_relative_path_is_stored_as_an_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: Reading
) -> None:
    write(tmp_path / "a b", b"content")
    monkeypatch.chdir(tmp_path)
    entry = describe("file:a%20b")["a b"]
    assert entry.uri == f"file://{tmp_path}/a%20b"
    assert reading.bytes_of(entry) == b"content"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("file:///no/such/file", "there is no file or directory"),
        ("file://host/path", "names a host"),
        ("file:///a%00b", "there is no file or directory"),
        ("/no/scheme", "references must be URIs"),
    ],
)
def test_what_names_no_file_is_refused_as_a_value_error(uri: str, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason) as caught:
        describe(uri)
    assert isinstance(caught.value, ValueError)


def test_names_that_cannot_be_in_a_version_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"")
    for name in ("../a", "/a", "a//b", "a/./b"):
        with pytest.raises(InvalidName):
            describe(f"file://{path}", name=name)


def test_more_files_than_max_objects_are_refused(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"top/{number}", b"")
    assert len(describe(f"file://{tmp_path}/top", max_objects=3)) == 3
    assert len(describe(f"file://{tmp_path}/top", max_objects=0)) == 3
    with pytest.raises(InvalidArgument, match="Exceeded 2 objects"):
        describe(f"file://{tmp_path}/top", max_objects=2)
    with pytest.raises(InvalidArgument, match="negative"):
        describe(f"file://{tmp_path}/top", max_objects=-1)


def test_files_below_a_directory_are_read_whatever_their_names(
    tmp_path: Path, reading: Reading
) -> None:
    names = ["plain", "a%20b", "a b", "#x?y", "caf\u00e9", "a?versionId=1"]
    for name in names:
        write(tmp_path / "top" / name, name.encode())
    found = describe(f"file://{tmp_path}/top")
    assert {path: reading.bytes_of(entry) for path, entry in found.items()} == {
        name: name.encode() for name in names
    }


def test_a_changed_file_is_refused_and_read_again_when_changed_back(
    tmp_path: Path, reading: Reading
) -> None:
    path = write(tmp_path / "a", b"before")
    entry = reading.one(f"file://{path}")
    assert reading.bytes_of(entry) == b"before"
    for data, mtime_ns in ((b"behind", MTIME_NS + 1), (b"longer!", MTIME_NS)):
        write(path, data, mtime_ns)
        with pytest.raises(ReferenceChanged, match="pinned"):
            reading.bytes_of(entry)
    path.unlink()
    with pytest.raises(ReferenceChanged, match="gone"):
        reading.bytes_of(entry)
    path.mkdir()
    with pytest.raises(ReferenceChanged, match="no longer a file"):
        reading.bytes_of(entry)
    path.rmdir()
    write(path, b"before")
    assert reading.bytes_of(entry) == b"before"


def test_a_file_that_changes_while_it_is_open_is_refused(tmp_path: Path, reading: Reading) -> None:
    path = write(tmp_path / "a", b"before")
    content = reading.reader.content(reading.one(f"file://{path}"))
    assert content.load_block(0) == b"before"
    with path.open("r+b") as file:
        file.write(b"AFTER!")
    assert content.try_read(ByteRange(0, 6)) is None
    with pytest.raises(ReferenceChanged):
        content.load_block(0)


def test_an_open_file_that_is_replaced_keeps_its_bytes(tmp_path: Path, reading: Reading) -> None:
    path = write(tmp_path / "a", b"before")
    content = reading.reader.content(reading.one(f"file://{path}"))
    write(tmp_path / "b", b"behind").replace(path)
    assert content.load_block(0) == b"before"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_content_that_kept_size_and_mtime_is_found_out_when_complete(
    tmp_path: Path, reading: Reading, order: tuple[int, ...]
) -> None:
    data = os.urandom(2 * BLOCK_SIZE_BYTES + 5)
    path = write(tmp_path / "a", data)
    entry = reading.one(f"file://{path}")
    write(path, bytes([data[0] ^ 1]) + data[1:])
    content = reading.reader.content(entry)
    for index in order[:-1]:
        content.load_block(index)
    with pytest.raises(IntegrityError, match="md5"):
        content.load_block(order[-1])
    write(path, data)
    assert reading.bytes_of(entry) == data


def test_local_files_are_not_copied_into_the_cache(tmp_path: Path, reading: Reading) -> None:
    path = write(tmp_path / "a", os.urandom(BLOCK_SIZE_BYTES + 1))
    reading.bytes_of(reading.one(f"file://{path}"))
    assert list(reading.cache.layout.blocks()) == []


def test_read_bytes_are_served_from_memory(tmp_path: Path, reading: Reading) -> None:
    path = write(tmp_path / "a", b"0123456789")
    content = reading.reader.content(reading.one(f"file://{path}"))
    assert content.try_read(ByteRange(2, 3)) is None

    def is_proved() -> bool:
        content.load_block(0)
        return content.try_read(ByteRange(2, 3)) is not None

    # A file that was changed just now could be changed again and look the same.
    wait_until(is_proved)
    found = content.try_read(ByteRange(2, 3))
    assert found is not None
    assert bytes(found) == b"234"
