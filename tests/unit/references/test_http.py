"""http:// and https:// against nginx: digests of W&B, pins, and servers that lack things."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import socket
from pathlib import Path
from random import Random

import pytest

from artfs.errors import (
    InvalidArgument,
    PathNotFound,
    PermissionDenied,
    ReferenceChanged,
    SourceError,
)
from artfs.manifest.entries import Pin
from artfs.model import BLOCK_SIZE_BYTES
from artfs.references.http import HttpHandler
from artfs.references.web import new_session
from tests.servers.nginx import Nginx, set_mtime
from tests.support.forked import ends_well, start
from tests.support.references import QUICK, Reading

DATA = Random(5).randbytes(2 * BLOCK_SIZE_BYTES + 1234)
TEXT = b"line of text\n" * 400_000
MTIME_S = 1_600_000_000
ETAG = f'"{MTIME_S:x}-{len(DATA):x}"'
LAST_MODIFIED = "Sun, 13 Sep 2020 12:26:40 GMT"


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    handler = HttpHandler(policy=QUICK)
    return Reading(tmp_path / "cache", {"http": handler})


@pytest.fixture
def name(nginx: Nginx, request: pytest.FixtureRequest) -> str:
    """A file of its own for each test."""
    name = f"{hashlib.md5(request.node.name.encode()).hexdigest()}.bin"
    nginx.write(name, DATA)
    return name


def test_an_etag_without_its_quotes_is_the_digest(
    nginx: Nginx, reading: Reading, name: str
) -> None:
    [(path, entry)] = reading.references.describe(f"{nginx.url}/plain/{name}")
    assert path == name
    assert entry.digest == ETAG.strip('"')
    assert entry.extra == {"etag": ETAG}
    assert entry.size_bytes == len(DATA)
    assert entry.pin == Pin(etag=ETAG)
    assert entry.mtime_ns == MTIME_S * 10**9
    [request] = nginx.requests(name)
    assert (request.method, request.range) == ("GET", "-")


def test_without_an_etag_the_digest_is_the_url(nginx: Nginx, reading: Reading, name: str) -> None:
    uri = f"{nginx.url}/no-etag/{name}"
    [(_, entry)] = reading.references.describe(uri)
    assert (entry.digest, entry.extra, entry.size_bytes) == (uri, {}, len(DATA))
    assert entry.pin == Pin(last_modified=LAST_MODIFIED)


def test_the_default_name_is_the_last_part_of_the_url_with_its_query(
    nginx: Nginx, reading: Reading, name: str
) -> None:
    [(path, entry)] = reading.references.describe(f"{nginx.url}/plain/{name}?v=1")
    assert path == entry.name == f"{name}?v=1"


def test_without_a_checksum_nothing_is_requested(nginx: Nginx, reading: Reading, name: str) -> None:
    uri = f"{nginx.url}/plain/{name}"
    [(path, entry)] = reading.references.describe(uri, checksum=False)
    assert (path, entry.digest, entry.size_bytes, entry.pin) == (name, uri, None, Pin())
    assert nginx.requests(name) == []
    # But it can be read, and is held to what was found at first.
    content = reading.reader.content(entry)
    assert content.size_bytes == len(DATA)
    content.load_block(0)
    nginx.write(name, DATA[::-1], mtime_s=MTIME_S + 1)
    with pytest.raises(ReferenceChanged):
        content.load_block(1)


def test_a_compressed_text_has_the_digest_that_wandb_sees_and_its_own_bytes(
    nginx: Nginx, reading: Reading, name: str
) -> None:
    text_name = name.replace(".bin", ".txt")
    nginx.write(text_name, TEXT)
    entry = reading.one(f"{nginx.url}/gzip/{text_name}")
    etag = f'"{MTIME_S:x}-{len(TEXT):x}"'
    assert entry.digest == f"W/{etag}"
    assert entry.size_bytes == len(TEXT)
    assert reading.bytes_of(entry) == TEXT


@pytest.mark.parametrize("location", ["plain", "no-etag", "no-ranges", "no-size", "redirect"])
@pytest.mark.parametrize("checksum", [True, False])
def test_content_is_the_same_whatever_the_server_lacks(
    nginx: Nginx, reading: Reading, name: str, location: str, checksum: bool
) -> None:
    entry = reading.one(f"{nginx.url}/{location}/{name}", checksum=checksum)
    content = reading.reader.content(entry)
    assert content.size_bytes == len(DATA)
    assert content.load_block(2) == DATA[2 * BLOCK_SIZE_BYTES :]
    assert reading.bytes_of(entry) == DATA
    # And all of it is in the cache.
    before = len(nginx.requests(name))
    assert reading.bytes_of(entry) == DATA
    assert len(nginx.requests(name)) == before


def test_a_server_without_ranges_is_read_once_from_its_beginning(
    nginx: Nginx, reading: Reading, name: str
) -> None:
    content = reading.reader.content(reading.one(f"{nginx.url}/no-ranges/{name}"))
    before = len(nginx.requests(name))
    for index in (1, 0, 2):
        block = DATA[index * BLOCK_SIZE_BYTES :][:BLOCK_SIZE_BYTES]
        assert content.load_block(index) == block
    assert len(nginx.requests(name)) == before + 1


def test_an_empty_object_is_read(nginx: Nginx, reading: Reading, name: str) -> None:
    nginx.write(f"empty-{name}", b"")
    for location in ("plain", "no-etag", "no-ranges", "no-size"):
        for checksum in (True, False):
            entry = reading.one(f"{nginx.url}/{location}/empty-{name}", checksum=checksum)
            assert reading.reader.content(entry).size_bytes == 0
            assert reading.bytes_of(entry) == b""


@pytest.mark.parametrize("location", ["plain", "no-etag", "no-ranges", "redirect"])
def test_a_changed_object_is_refused_and_read_again_when_changed_back(
    nginx: Nginx, reading: Reading, name: str, location: str
) -> None:
    entry = reading.one(f"{nginx.url}/{location}/{name}")
    changes = [(DATA[::-1], MTIME_S + 1), (DATA + b"more", MTIME_S), (DATA[:-1], MTIME_S + 2)]
    for data, mtime_s in changes:
        nginx.write(name, data, mtime_s=mtime_s)
        with pytest.raises(ReferenceChanged):
            reading.bytes_of(entry)
    (nginx.root / name).unlink()
    with pytest.raises(ReferenceChanged, match="gone"):
        reading.bytes_of(entry)
    nginx.write(name, DATA)
    assert reading.bytes_of(entry) == DATA


def test_both_pins_are_told_when_an_object_has_changed(
    nginx: Nginx, reading: Reading, name: str
) -> None:
    entry = reading.one(f"{nginx.url}/no-etag/{name}")
    set_mtime(nginx.root / name, MTIME_S - 3600)
    with pytest.raises(ReferenceChanged, match=r"12:26:40 GMT, it now says .*11:26:40 GMT"):
        reading.bytes_of(entry)


def test_what_is_refused_or_missing_says_so(nginx: Nginx, reading: Reading, name: str) -> None:
    with pytest.raises(PathNotFound, match="404"):
        reading.one(f"{nginx.url}/plain/no-such-file")
    with pytest.raises(PermissionDenied, match="401"):
        reading.one(f"{nginx.url}/private/{name}")
    with pytest.raises(InvalidArgument):
        reading.one("http://[bad/x")


def test_what_a_new_reference_names_and_no_server_gives_is_an_oserror_as_with_wandb(
    nginx: Nginx, reading: Reading, name: str
) -> None:
    with socket.socket() as unanswered:
        unanswered.bind(("127.0.0.1", 0))
        refusing = unanswered.getsockname()[1]
        wrong = {
            f"{nginx.url}/plain/no-such-file": (3, errno.ENOENT),
            f"{nginx.url}/private/{name}": (8, errno.EACCES),
            f"{nginx.url}/broken/{name}": (7, errno.EIO),
            f"http://127.0.0.1:{refusing}/{name}": (7, errno.EIO),
        }
        for url, expected in wrong.items():
            with pytest.raises(SourceError) as caught:
                reading.one(url)
            assert (caught.value.exit_code, caught.value.errno) == expected
            assert isinstance(caught.value, OSError)


def test_credentials_of_a_url_are_used_once_and_then_those_of_netrc(
    nginx: Nginx,
    reading: Reading,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = nginx.url.removeprefix("http://")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with caplog.at_level(logging.DEBUG):
        entry = reading.one(f"http://user:secret@{host}/private/{name}")
    assert entry.uri == f"{nginx.url}/private/{name}"
    with pytest.raises(PermissionDenied):
        reading.bytes_of(entry)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    assert reading.bytes_of(entry) == DATA
    assert "secret" not in caplog.text
    cached = b"".join(path.read_bytes() for path in reading.cache.layout.notes.rglob("*/*"))
    assert b"secret" not in cached


def test_a_range_in_the_middle_costs_little_of_a_large_object(
    nginx: Nginx, reading: Reading, name: str
) -> None:
    large = nginx.root / f"large-{name}"
    with large.open("wb") as file:
        file.seek(2 * 1024**3)
        file.write(b"needle")
        file.truncate(4 * 1024**3)
    entry = reading.one(f"{nginx.url}/plain/large-{name}")
    # What the server pushed into the connection before it was closed does not count as asked for.
    asked_before = len(nginx.requests(f"large-{name}"))
    content = reading.reader.content(entry)
    data = content.load_block(512)
    assert data[:6] == b"needle"
    moved = sum(request.body_bytes for request in nginx.requests(f"large-{name}")[asked_before:])
    assert moved <= 8 * 1024 * 1024
    os.truncate(large, 0)


def test_parent_and_child_do_not_mix_up_the_answers_on_a_connection(nginx: Nginx) -> None:
    """One that is kept alive crosses a fork as it is; who answers whom is then chance."""
    session = new_session()
    for name in ("ours", "theirs"):
        nginx.write(f"fork-{name}", name.encode() * 1000)

    def read_often(name: str) -> bool:
        url = f"{nginx.url}/plain/fork-{name}"
        return all(session.get(url).text == name * 1000 for _ in range(100))

    assert read_often("ours")
    child = start(lambda: read_often("theirs"))
    assert read_often("ours")
    assert ends_well(child)
