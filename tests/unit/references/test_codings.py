"""Codings of bodies: what was decoded to the end of each is content, and nothing else ever is."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import pytest

from artfs.errors import ArtfsError, BackendUnavailable, SourceUnavailable
from artfs.manifest.entries import ReferenceEntry
from artfs.references.codings import MAX_CODINGS
from artfs.references.gcs import GcsHandler
from artfs.references.http import HttpHandler
from artfs.references.s3 import S3Handler
from tests.servers.gcs import GcsEmulator
from tests.servers.scripted import Asked, Script, ScriptedServer, answer, scripted
from tests.servers.seaweedfs import REGION, SeaweedFS
from tests.support.references import QUICK, Reading

# Half of it can be compressed, so that neither side is small.
DATA = Random(7).randbytes(150_000) + bytes(150_000)


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def members(data: bytes) -> bytes:
    return gzip.compress(data[:100_000], 1) + gzip.compress(data[100_000:], 1)


Packer = Callable[[bytes], bytes]

CODED: dict[str, tuple[str, Packer]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "case and space": (" \t GZip \t", gzip.compress),
    "members": ("gzip", members),
    "an empty member": ("gzip", lambda data: gzip.compress(b"") + gzip.compress(data)),
    "padded": ("gzip", lambda data: gzip.compress(data) + bytes(700)),
    "zlib": ("deflate", zlib.compress),
    "zlib of a small window": ("DEFLATE", lambda data: _window(data, 9)),
    "stored": ("deflate", lambda data: zlib.compress(data, 0)),
    "raw deflate": ("deflate", raw_deflate),
    "twice": ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data))),
    "gzip of deflate": ("deflate,x-gzip", lambda data: gzip.compress(raw_deflate(data))),
    "deflate of gzip": ("gzip ,\tdeflate", lambda data: zlib.compress(members(data))),
    "with identity": ("identity, gzip, Identity", gzip.compress),
    "empty elements": (", gzip,,", gzip.compress),
    "identity": (" Identity ", bytes),
}
REALLY_CODED = sorted(CODED.keys() - {"identity"})


def _window(data: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, bits)
    return packer.compress(data) + packer.flush()


def closed(body: bytes, **headers: str) -> bytes:
    return answer(200, body, etag='"e"', connection="close", **headers)


def sized(body: bytes, **headers: str) -> bytes:
    return answer(200, body, etag='"e"', content_length=str(len(body)), **headers)


def chunked(body: bytes, **headers: str) -> bytes:
    pieces = [body[at : at + 30_000] for at in range(0, len(body), 30_000)]
    text = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return answer(200, text, etag='"e"', **{"transfer_encoding": "chunked", **headers})


FRAMES: dict[str, Callable[..., bytes]] = {"closed": closed, "sized": sized, "chunked": chunked}


def always(body: bytes) -> Script:
    return lambda _: body


def content(reading: Reading, server: ScriptedServer, *, checksum: bool = True) -> bytes:
    return reading.bytes_of(reading.one(f"{server.url}/a", checksum=checksum))


def refusal(reading: Reading, script: Script) -> BackendUnavailable:
    """The error of whoever reads; nothing of it is kept."""
    with scripted(script) as server, pytest.raises(BackendUnavailable) as caught:
        content(reading, server, checksum=False)
    assert list(reading.cache.layout.blocks()) == []
    return caught.value


@pytest.mark.parametrize("how", CODED)
def test_a_body_is_decoded_whatever_codings_it_has_and_however_they_are_spelled(
    reading: Reading, how: str
) -> None:
    coding, packer = CODED[how]
    with scripted(always(b"")) as server:
        for name, frame in FRAMES.items():
            server.script = always(frame(packer(DATA), content_encoding=coding))
            assert reading.bytes_of(reading.one(f"{server.url}/{name}")) == DATA


@pytest.mark.parametrize("how", REALLY_CODED)
def test_a_coded_body_that_was_cut_anywhere_is_an_error_however_it_is_framed(
    reading: Reading, how: str
) -> None:
    coding, packer = CODED[how]
    packed = packer(DATA).rstrip(b"\0") if how == "padded" else packer(DATA)
    lengths = (1, 15, len(packed) // 2, len(packed) - 1)
    for length, frame in zip(lengths, cycle(FRAMES.values()), strict=False):
        body = frame(packed[:length], content_encoding=coding)
        refusal(reading, always(body))


@pytest.mark.parametrize("frame", FRAMES)
def test_a_coded_body_of_no_bytes_never_came_to_its_end(reading: Reading, frame: str) -> None:
    for coding in ("gzip", "deflate", "gzip, deflate"):
        body = FRAMES[frame](b"", content_encoding=coding)
        assert "no end" in refusal(reading, always(body)).reason


@pytest.mark.parametrize("how", ["gzip", "zlib", "raw deflate", "twice", "gzip of deflate"])
def test_what_comes_behind_the_end_of_a_coding_is_an_error(reading: Reading, how: str) -> None:
    coding, packer = CODED[how]
    bodies = [packer(DATA) + b"0123456789"]
    if how == "gzip of deflate":
        bodies.append(gzip.compress(raw_deflate(DATA) + b"x"))
    if how == "twice":
        bodies.append(gzip.compress(gzip.compress(DATA) + b"x"))
    for packed in bodies:
        body = sized(packed, content_encoding=coding)
        refusal(reading, always(body))


@pytest.mark.parametrize("how", ["gzip", "zlib", "members", "deflate of gzip"])
def test_a_wrong_checksum_of_a_coding_is_an_error(reading: Reading, how: str) -> None:
    coding, packer = CODED[how]
    packed = packer(DATA)
    at = len(packed) - (6 if "gzip" in coding.split(",")[-1] else 2)
    body = sized(packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :], content_encoding=coding)
    assert "coding" in refusal(reading, always(body)).reason


def test_an_empty_content_may_be_coded(reading: Reading) -> None:
    for coding, packed in (
        ("gzip", gzip.compress(b"")),
        ("deflate", zlib.compress(b"")),
        ("deflate", raw_deflate(b"")),
    ):
        body = sized(packed, content_encoding=coding)
        with scripted(always(body)) as server:
            assert content(reading, server) == b""


def test_members_of_which_some_may_be_missing_are_read_twice(reading: Reading) -> None:
    """The end of a connection between two of them looks like that of the whole."""
    left = [members(DATA), gzip.compress(DATA[:100_000], 1)]

    def script(asked: Asked) -> bytes:
        reads = asked.headers.get("range") != "bytes=0-0" and asked.path == "/a"
        return closed(left.pop(0) if reads else b"", content_encoding="gzip")

    error = refusal(reading, script)
    assert "does not say its length" in error.reason
    assert left == []


UNKNOWN = ["br", "zstd", "compress", "gzip, br", "BR , gzip", "aws-chunked", "utf-8", "gzip;q=1"]


@pytest.mark.parametrize("coding", UNKNOWN)
def test_a_coding_that_cannot_be_decoded_is_refused_by_name_at_once(
    reading: Reading, coding: str
) -> None:
    [name] = {part.strip().lower() for part in coding.split(",")} - {"gzip"}
    body = chunked(gzip.compress(DATA), content_encoding=coding)
    with scripted(always(body)) as server:
        # Who describes it is told, and who reads what was described otherwise.
        with pytest.raises(SourceUnavailable) as described:
            reading.one(f"{server.url}/a")
        entry = reading.one(f"{server.url}/a", checksum=False)
        before = len(server.asked)
        with pytest.raises(BackendUnavailable) as read:
            reading.bytes_of(entry)
        assert len(server.asked) == before + 1
    for error in (described.value, read.value):
        assert f"Content-Encoding: {name}" in error.reason
        assert error.hint
        assert error.exit_code == 7
        assert "\n" not in str(error)
    assert list(reading.cache.layout.blocks()) == []


def test_a_coding_that_comes_later_is_refused_as_well(reading: Reading) -> None:
    with scripted(lambda _: sized(DATA)) as server:
        entry = reading.one(f"{server.url}/a")
        assert entry.size_bytes == len(DATA)
        server.script = lambda _: sized(DATA, content_encoding="br")
        with pytest.raises(BackendUnavailable, match="Content-Encoding: br"):
            reading.bytes_of(entry)


@pytest.mark.parametrize(
    "transfer",
    ["gzip, chunked", "gzip", "chunked, gzip", "chunked, chunked", "identity, chunked", "chunked "],
)
def test_a_transfer_coding_beside_chunks_is_refused_by_name(
    reading: Reading, transfer: str
) -> None:
    body = chunked(gzip.compress(DATA), transfer_encoding=transfer)
    with scripted(always(body)) as server:
        for checksum in (True, False):
            with pytest.raises(BackendUnavailable) as caught:
                content(reading, server, checksum=checksum)
            assert f"Transfer-Encoding: {transfer.strip()}" in caught.value.reason
            assert caught.value.hint
    assert list(reading.cache.layout.blocks()) == []


def test_chunks_are_found_however_they_are_spelled(reading: Reading) -> None:
    for transfer in ("Chunked", "\t CHUNKED"):
        body = chunked(DATA, transfer_encoding=transfer)
        with scripted(always(body)) as server:
            assert content(reading, server) == DATA


def test_a_header_that_comes_twice_counts_as_one_list(reading: Reading) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Encoding: deflate\r\nContent-Encoding: gzip'
    body = head + b"\r\n\r\n" + gzip.compress(zlib.compress(DATA))
    broken = body.replace(b"Content-Encoding: gzip", b"Content-Encoding: br")
    assert "Content-Encoding: br" in refusal(reading, always(broken)).reason
    with scripted(always(body)) as server:
        assert content(reading, server) == DATA


def test_many_codings_are_refused(reading: Reading) -> None:
    coding = ",".join(["gzip"] * (MAX_CODINGS + 1))
    error = refusal(reading, lambda _: sized(gzip.compress(DATA), content_encoding=coding))
    assert f"more than {MAX_CODINGS} codings" in error.reason
    assert error.hint


def test_text_of_a_server_in_an_error_is_one_short_line(reading: Reading) -> None:
    error = refusal(reading, lambda _: sized(DATA, content_encoding="\x1b[31mx" * 1000))
    assert str(error).isprintable()
    assert len(str(error)) < 400


def coded_ranges(asked: Asked, packed: bytes) -> bytes:
    """As of a server that cuts ranges out of what it compressed."""
    if "range" not in asked.headers:
        return sized(packed, content_encoding="gzip")
    start, _, stop = asked.headers["range"].removeprefix("bytes=").partition("-")
    part = packed[int(start) : int(stop) + 1]
    said = f"bytes {start}-{int(start) + len(part) - 1}/{len(packed)}"
    length = str(len(part))
    return answer(
        206, part, etag='"e"', content_encoding="gzip", content_range=said, content_length=length
    )


def test_a_coded_range_is_asked_for_again_as_a_whole(reading: Reading) -> None:
    with scripted(lambda _: sized(DATA)) as server:
        entry = reading.one(f"{server.url}/a")
        server.script = lambda asked: coded_ranges(asked, gzip.compress(DATA))
        assert reading.bytes_of(entry) == DATA
        assert [("range" in asked.headers) for asked in server.asked][-2:] == [True, False]


def ranged_entry(reading: Reading, server: ScriptedServer) -> ReferenceEntry:
    entry = reading.one(f"{server.url}/a")
    assert entry.size_bytes == len(DATA)
    return entry


@pytest.mark.parametrize("status", [206, 416, 203, 204])
def test_only_a_whole_answer_is_decoded(reading: Reading, status: int) -> None:
    """A coded page about an error, or a part, is as little content as a plain one."""
    packed = gzip.compress(DATA)
    more: dict[str, Any] = {"content_range": f"bytes 0-{len(packed) - 1}/{len(packed)}"}
    coded = answer(
        status,
        b"" if status == 204 else packed,
        etag='"e"',
        content_encoding="gzip",
        connection="close",
        **(more if status == 206 else {}),
    )
    with scripted(lambda _: sized(DATA)) as server:
        entry = ranged_entry(reading, server)
        server.script = always(coded)
        with pytest.raises(ArtfsError):
            reading.bytes_of(entry)
        with pytest.raises(ArtfsError):
            content(reading, server, checksum=False)
    assert list(reading.cache.layout.blocks()) == []


@pytest.mark.parametrize("coding", ["gzip", "br", "aws-chunked"])
def test_an_object_of_s3_that_is_stored_coded_is_shown_as_stored(
    seaweedfs: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweedfs.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    reading = Reading(tmp_path / "cache", {"s3": S3Handler(policy=QUICK)})
    packed, key = gzip.compress(DATA), f"{seaweedfs.new_prefix()}/a"
    seaweedfs.client().put_object(
        Bucket=seaweedfs.bucket, Key=key, Body=packed, ContentEncoding=coding
    )
    entry = reading.one(f"s3://{seaweedfs.bucket}/{key}")
    assert entry.size_bytes == len(packed)
    assert reading.bytes_of(entry) == packed


def test_an_object_of_gs_that_is_stored_coded_is_shown_as_stored(
    gcs: GcsEmulator, tmp_path: Path
) -> None:
    reading = Reading(tmp_path / "cache", {"gs": GcsHandler(policy=QUICK)})
    packed = gzip.compress(DATA)
    blob = gcs.client().bucket(gcs.bucket).blob(f"codings/{tmp_path.name}")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)
    entry = reading.one(f"gs://{gcs.bucket}/{blob.name}")
    assert entry.size_bytes == len(packed)
    assert reading.bytes_of(entry) == packed
