"""Buckets as they are in the field: ETags in any spelling, markers, keys that are no paths."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from artfs.errors import BackendUnavailable, InvalidArgument, InvalidName, ReferenceChanged
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.manifest.wandb import manifest_digest
from artfs.references import web
from artfs.references.base import Announced, MarkedDirectory, ReferenceHandler, UnusableKey
from artfs.references.bucket import Listed, placed
from artfs.references.file import FileHandler
from artfs.references.gcs import GcsHandler
from artfs.references.http import HttpHandler
from artfs.references.s3 import S3Handler
from artfs.testing.seaweedfs import ENVIRONMENT, REGION
from tests.servers.gcs import GcsEmulator
from tests.servers.lyings3 import BUCKET, LyingS3, lying_s3, quoted
from tests.support.references import QUICK, Reading

DATA = b"content"
MD5 = hashlib.md5(DATA).hexdigest()
SPELLINGS: dict[str, Callable[[str], str]] = {
    "quoted": quoted,
    "bare": lambda etag: etag,
    "weak": lambda etag: f'W/"{etag}"',
    "parts": lambda etag: f'"{etag}-12"',
    "bare parts": lambda etag: f"{etag}-12",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingS3]:
    with lying_s3() as server:
        for name, text in ENVIRONMENT.items():
            monkeypatch.setenv(name, text)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def reading(server: LyingS3, tmp_path: Path) -> Reading:
    handlers: dict[str, ReferenceHandler] = {
        "s3": S3Handler(policy=QUICK),
        "http": HttpHandler(policy=QUICK),
        "file": FileHandler(),
    }
    return Reading(tmp_path / "cache", handlers)


def describe(reading: Reading, uri: str, **options: Any) -> dict[str, ReferenceEntry]:
    return dict(reading.references.describe(uri, **options))


@pytest.mark.parametrize("listed", ["quoted", "bare"])
@pytest.mark.parametrize("head", ["quoted", "bare", "weak"])
@pytest.mark.parametrize("get", ["quoted", "bare", "weak"])
def test_an_etag_is_the_same_however_each_answer_spells_it(
    server: LyingS3, reading: Reading, listed: str, head: str, get: str
) -> None:
    server.put("dir/a", DATA)
    server.etags = {"list": SPELLINGS[listed], "head": SPELLINGS[head], "get": SPELLINGS[get]}
    from_listing = describe(reading, f"s3://{BUCKET}/dir")["a"]
    from_head = reading.one(f"s3://{BUCKET}/dir/a")
    for entry in (from_listing, from_head):
        # All characters of it, and in W&B's `extra` too.
        assert (entry.digest, entry.extra["etag"]) == (MD5, MD5)
        assert entry.pin.etag in {f'"{MD5}"', f'W/"{MD5}"'}
        assert reading.bytes_of(entry) == DATA
        for block in list(reading.cache.layout.blocks()):
            block.path.unlink()
    server.put("dir/a", DATA[::-1])
    with pytest.raises(ReferenceChanged, match=f"pinned with ETag.*{MD5}"):
        reading.bytes_of(from_listing)


@pytest.mark.parametrize("spelling", ["parts", "bare parts"])
def test_the_number_of_parts_is_a_part_of_an_etag(
    server: LyingS3, reading: Reading, spelling: str
) -> None:
    server.put("dir/a", DATA)
    server.etags = dict.fromkeys(("list", "head", "get"), SPELLINGS[spelling])
    [entry] = describe(reading, f"s3://{BUCKET}/dir").values()
    assert entry.digest == f"{MD5}-12"
    assert reading.bytes_of(entry) == DATA


def test_what_an_older_artfs_pinned_without_quotes_is_readable(
    server: LyingS3, reading: Reading
) -> None:
    server.put("a", DATA)
    entry = msgspec.structs.replace(
        reading.one(f"s3://{BUCKET}/a"), pin=Pin(etag=MD5), digest=MD5[1:-1]
    )
    assert reading.bytes_of(entry) == DATA


@pytest.mark.parametrize("spelling", ["quoted", "bare", "weak"])
def test_a_web_server_may_spell_its_etag_as_it_likes(
    server: LyingS3, reading: Reading, spelling: str
) -> None:
    server.put("a", DATA)
    server.etags = {"get": SPELLINGS[spelling]}
    entry = reading.one(f"{server.url}/{BUCKET}/a")
    # What W&B makes of it.
    assert entry.digest == (SPELLINGS[spelling](MD5) if spelling == "weak" else MD5)
    assert entry.extra == {"etag": SPELLINGS[spelling](MD5)}
    assert reading.bytes_of(entry) == DATA
    for old in (Pin(etag=MD5), Pin(etag=f'"{MD5}"'), Pin(etag=f'W/"{MD5}"')):
        assert reading.bytes_of(msgspec.structs.replace(entry, pin=old)) == DATA


def test_one_form_is_made_of_every_spelling() -> None:
    for text, form in (
        ('"abc"', '"abc"'),
        ("abc", '"abc"'),
        ('W/"abc"', 'W/"abc"'),
        ("W/abc", 'W/"abc"'),
        ('"abc-2"', '"abc-2"'),
        (' "abc" ', '"abc"'),
        ('"', '"""'),
    ):
        assert web.normal(text) == form
        assert web.normal(web.normal(text)) == form
    assert web.normal("") is web.normal(None) is None
    assert web.agree('W/"abc"', "abc")
    assert not web.agree('"abc"', '"ab"')
    assert not web.agree(None, None)


@pytest.mark.parametrize("uri", ["dir", "dir/"])
@pytest.mark.parametrize("marker", ["dir/", "dir"])
def test_a_marker_hides_nothing_below_it(
    server: LyingS3, reading: Reading, uri: str, marker: str
) -> None:
    server.put(marker, b"", Content_Type="binary/octet-stream")
    server.put("dir/a", DATA)
    server.put("dir/sub/", b"")
    server.put("dir/sub/b", DATA)
    server.put("dir/nothing/", b"")
    aside: list[object] = []
    found = dict(reading.references.describe(f"s3://{BUCKET}/{uri}", on_remark=aside.append))
    assert sorted(found) == ["a", "sub/b"]
    assert MarkedDirectory("nothing") in aside
    assert not any(isinstance(each, UnusableKey) for each in aside)


@pytest.mark.parametrize("uri", ["dir", "dir/"])
def test_a_marker_in_google_storage_hides_nothing_below_it(
    gcs: GcsEmulator, tmp_path: Path, uri: str
) -> None:
    reading = Reading(tmp_path / "cache", {"gs": GcsHandler(policy=QUICK)})
    root = f"markers-{uri.count('/')}"
    for key, data in (("dir/", b""), ("dir/a", DATA), ("dir/sub/", b""), ("dir/empty", b"")):
        gcs.put(f"{root}/{key}", data)
    aside: list[object] = []
    found = dict(
        reading.references.describe(f"gs://{gcs.bucket}/{root}/{uri}", on_remark=aside.append)
    )
    assert sorted(found) == ["a", "empty"]
    assert [each for each in aside if not isinstance(each, Announced)] == [MarkedDirectory("sub")]
    # W&B lists empty objects there.
    assert all(entry.digest for entry in found.values())


def test_empty_objects_are_kept_outside_of_the_digest_and_counted(
    server: LyingS3, reading: Reading, caplog: pytest.LogCaptureFixture
) -> None:
    server.put("dir/a", DATA)
    server.put("dir/__init__.py", b"")
    server.put("dir/labels/1.txt", b"")
    found = describe(reading, f"s3://{BUCKET}/dir", max_objects=1)
    assert sorted(found) == ["__init__.py", "a", "labels/1.txt"]
    assert "2 empty object(s)" in caplog.text
    assert reading.bytes_of(found["__init__.py"]) == b""
    lines = sorted((path, entry.digest) for path, entry in found.items())
    assert manifest_digest(lines) == manifest_digest([("a", MD5)])
    # One that is named by itself is a file too.
    [(path, entry)] = describe(reading, f"s3://{BUCKET}/dir/__init__.py").items()
    assert (path, entry.size_bytes) == ("__init__.py", 0)


@pytest.mark.parametrize("uri", ["nothing", "nothing/", "marked/"])
def test_a_prefix_that_finds_nothing_is_an_error(
    server: LyingS3, reading: Reading, uri: str
) -> None:
    server.put("marked/", b"")
    with pytest.raises(InvalidArgument, match="no object of this name or below it"):
        describe(reading, f"s3://{BUCKET}/{uri}")


UNUSABLE = {
    "a//b": "empty part",
    "../x": r"'\.\.'",
    "x/./y": r"'\.'",
    "n" * 256: "too long",
    "dir/": "ends with '/'",
    "marker//": "empty part",
    "file": "other keys go on below it",
}


@pytest.mark.parametrize("key", UNUSABLE)
def test_a_key_that_cannot_be_a_path_is_named_and_can_be_skipped(
    server: LyingS3, reading: Reading, key: str
) -> None:
    server.put(f"top/{key}", b"" if key.endswith("//") else DATA)
    for good in ("good", "file/below"):
        server.put(f"top/{good}", DATA)
    uri = f"s3://{BUCKET}/top"
    with pytest.raises(InvalidName, match=UNUSABLE[key]) as caught:
        describe(reading, uri)
    assert f"top/{key}" in str(caught.value)
    assert "--skip-invalid" in str(caught.value)
    aside: list[object] = []
    found = describe(reading, uri, skip_invalid=True, on_remark=aside.append)
    assert sorted(found) == ["file/below", "good"]
    assert [each.key for each in aside if isinstance(each, UnusableKey)] == [f"top/{key}"]


def test_keys_that_cannot_be_paths_are_counted_and_never_merged_with_others(
    server: LyingS3, reading: Reading
) -> None:
    # Each of these would have become `a/b` once.
    for key in ("a/b", "a//b", "a/./b", "/a/b"):
        server.put(f"top/{key}", DATA)
    with pytest.raises(InvalidName, match="and so are 2 more"):
        describe(reading, f"s3://{BUCKET}/top")
    assert list(describe(reading, f"s3://{BUCKET}/top", skip_invalid=True)) == ["a/b"]
    # What is below the empty part has a prefix of its own.
    assert list(describe(reading, f"s3://{BUCKET}/top/a//")) == ["b"]


def test_where_no_key_can_be_a_path_nothing_is_skipped_silently(
    server: LyingS3, reading: Reading
) -> None:
    server.put("top/a//b", DATA)
    with pytest.raises(InvalidName, match="nothing else"):
        describe(reading, f"s3://{BUCKET}/top", skip_invalid=True)


def test_nul_in_a_key_cannot_be_in_a_path() -> None:
    found = list(placed([Listed("a\0b", 1, None)], "s3://b", "", None))
    assert found == [UnusableKey("a\0b", "it contains NUL")]


def test_a_local_file_whose_name_is_not_utf8_is_named_and_can_be_skipped(
    reading: Reading, tmp_path: Path
) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "top/good").write_bytes(DATA)
    Path(os.fsdecode(os.fsencode(tmp_path / "top") + b"/\xe9")).write_bytes(DATA)
    uri = (tmp_path / "top").as_uri()
    with pytest.raises(InvalidName, match=r"xe9.*not UTF-8"):
        describe(reading, uri)
    assert list(describe(reading, uri, skip_invalid=True)) == ["good"]


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("ETag", None),
        ("LastModified", None),
        ("LastModified", "0001-01-01T00:00:00.000Z"),
        ("LastModified", "9999-12-31T23:59:59.000Z"),
    ],
)
def test_what_a_listing_does_not_say_of_an_object_is_not_needed(
    tag: str, text: str | None, server: LyingS3, reading: Reading
) -> None:
    server.put("p/a", DATA)
    server.edit_listing = lambda listing: retold(listing, tag, text)
    found = describe(reading, f"s3://{BUCKET}/p")
    assert reading.bytes_of(found["a"]) == DATA
    assert -(2**63) <= found["a"].mtime_ns < 2**63


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_what_head_does_not_say_of_an_object_is_not_needed(
    header: str, server: LyingS3, reading: Reading
) -> None:
    server.put("one", DATA)
    server.left_out = {header}
    entry = reading.one(f"s3://{BUCKET}/one")
    assert reading.bytes_of(entry) == DATA
    opened = reading.references.open(entry)
    assert opened.observe(timeout_s=5).size_bytes == len(DATA)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("<Size>.*?</Size>", ""),
        ("<Size>.*?</Size>", "<Size>many</Size>"),
        ("<Size>.*?</Size>", "<Size>-5</Size>"),
        ("<Size>.*?</Size>", "<Size>99999999999999999999999</Size>"),
        ("<LastModified>.*?</LastModified>", "<LastModified>yesterday</LastModified>"),
        ("<Key>.*?</Key>", ""),
        ("<Key>p/", "<Key>q/"),
        ("<Prefix>p/d/</Prefix>", "<Prefix>p/</Prefix>"),
        ("<Prefix>p/d/</Prefix>", "<Prefix>q/</Prefix>"),
        ("<IsTruncated>false", "<IsTruncated>true"),
        (
            "<IsTruncated>false</IsTruncated>",
            "<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>",
        ),
    ],
)
def test_a_listing_of_nonsense_is_an_error_that_names_it(
    pattern: str, text: str, server: LyingS3, reading: Reading
) -> None:
    server.put("p/a", DATA)
    server.put("p/d/b", DATA)
    server.edit_listing = lambda listing: re.sub(pattern, text, listing)
    with pytest.raises(BackendUnavailable, match=r"listing|size"):
        describe(reading, f"s3://{BUCKET}/p")


def retold(listing: str, tag: str, text: str | None) -> str:
    """A listing with another text in a tag, or without the tag."""
    told = "" if text is None else f"<{tag}>{text}</{tag}>"
    return re.sub(f"<{tag}>.*?</{tag}>", told, listing)
