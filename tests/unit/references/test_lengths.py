"""How long a body is: what says so is believed, and nothing else is; what goes on is no end."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from random import Random

import pytest

from artfs.errors import ArtfsError, BackendUnavailable, ReferenceChanged
from artfs.model import BLOCK_SIZE_BYTES, ByteRange
from artfs.references.http import HttpHandler
from tests.servers.scripted import Asked, Script, ScriptedServer, answer, scripted
from tests.support.references import QUICK, Reading

DATA = Random(11).randbytes(2 * BLOCK_SIZE_BYTES + 700_000)
CUT = 3_000_000


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})


def chunked(body: bytes, *, cut: int | None = None) -> bytes:
    pieces = [body[at : at + 100_000] for at in range(0, len(body), 100_000)]
    text = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return answer(200, text[:cut], etag='"e"', transfer_encoding="chunked")


def until_closed(body: bytes, **headers: str) -> bytes:
    return answer(200, body, etag='"e"', connection="close", **headers)


def in_turn(*answers: bytes) -> Script:
    """One answer to each request that reads, the last one to all that follow."""
    left = list(answers)

    def script(asked: Asked) -> bytes:
        # What only asks for the first byte wants to know about the size.
        if asked.headers.get("range") == "bytes=0-0":
            return answers[0]
        return left.pop(0) if len(left) > 1 else left[0]

    return script


def gave(reading: Reading, server: ScriptedServer) -> bytes:
    return reading.bytes_of(reading.one(f"{server.url}/a"))


@pytest.mark.parametrize("end", [0, CUT, BLOCK_SIZE_BYTES, len(DATA) - 1])
def test_a_body_without_length_that_ends_early_is_an_error_and_leaves_nothing(
    reading: Reading, end: int
) -> None:
    for broken in (
        in_turn(until_closed(DATA[:end]), until_closed(DATA)),
        in_turn(until_closed(DATA), until_closed(DATA[:end])),
    ):
        with scripted(lambda _: until_closed(DATA)) as server:
            entry = reading.one(f"{server.url}/a")
            server.script = broken
            before = len(list(reading.cache.layout.blocks()))
            with pytest.raises(BackendUnavailable, match="does not say its length"):
                reading.bytes_of(entry)
            assert len(list(reading.cache.layout.blocks())) == before
            server.script = in_turn(until_closed(DATA))
            assert reading.bytes_of(entry) == DATA


def test_other_bytes_of_the_same_length_are_no_agreement(reading: Reading) -> None:
    with scripted(lambda _: until_closed(DATA)) as server:
        entry = reading.one(f"{server.url}/a")
        server.script = in_turn(until_closed(DATA), until_closed(DATA[::-1]))
        with pytest.raises(BackendUnavailable, match="does not say its length"):
            reading.bytes_of(entry)


def test_two_equal_bodies_without_length_are_believed(reading: Reading) -> None:
    with scripted(in_turn(until_closed(DATA))) as server:
        assert gave(reading, server) == DATA


def test_what_says_its_end_is_read_once(reading: Reading) -> None:
    packed = zlib.compress(DATA, 1)
    two = gzip.compress(DATA[:CUT], 1) + gzip.compress(DATA[CUT:], 1)
    for body, is_read_twice in (
        (chunked(DATA), False),
        (until_closed(packed, content_encoding="deflate"), False),
        (until_closed(packed, content_encoding="deflate", content_length="x"), False),
        (until_closed(two, content_encoding="gzip", content_length=str(len(two))), False),
        # Behind one member there might be another one.
        (until_closed(two, content_encoding="x-gzip"), True),
    ):
        with scripted(in_turn(body)) as server:
            assert gave(reading, server) == DATA
            reads = [each for each in server.asked if each.headers.get("range") != "bytes=0-0"]
            # One of them describes it.
            assert len(reads) == 2 + is_read_twice


@pytest.mark.parametrize("how", ["closed", "length", "chunked", "crc"])
def test_a_compressed_stream_that_was_cut_is_an_error(reading: Reading, how: str) -> None:
    packed = gzip.compress(DATA, 1)
    cut = packed[: len(packed) // 2]
    bodies = {
        "closed": until_closed(cut, content_encoding="gzip"),
        "length": answer(
            200, cut, etag='"e"', content_encoding="gzip", content_length=str(len(cut))
        ),
        "chunked": answer(
            200,
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(cut), cut),
            etag='"e"',
            content_encoding="gzip",
            transfer_encoding="chunked",
        ),
        "crc": until_closed(packed[:-8] + bytes(8), content_encoding="gzip"),
    }
    with scripted(in_turn(bodies[how])) as server, pytest.raises(BackendUnavailable):
        gave(reading, server)
    assert list(reading.cache.layout.blocks()) == []


def test_a_chunked_body_that_breaks_off_is_an_error(reading: Reading) -> None:
    for cut in (1_000_000, 100_009, -5):
        with scripted(in_turn(chunked(DATA, cut=cut))) as server, pytest.raises(BackendUnavailable):
            gave(reading, server)


def test_a_part_of_unknown_whole_is_not_the_whole(reading: Reading) -> None:
    def script(asked: Asked) -> bytes:
        if "range" not in asked.headers:
            return chunked(DATA)
        start, _, stop = asked.headers["range"].removeprefix("bytes=").partition("-")
        part = DATA[int(start) : min(int(stop) + 1, int(start) + 1_000_000)]
        return answer(
            206,
            part,
            etag='"e"',
            content_range=f"bytes {start}-{int(start) + len(part) - 1}/*",
            content_length=str(len(part)),
        )

    with scripted(script) as server:
        assert gave(reading, server) == DATA


LONGER = DATA + b"and more"


def ranged(asked: Asked, body: bytes, *, total: str, **headers: str) -> bytes:
    start, _, stop = asked.headers["range"].removeprefix("bytes=").partition("-")
    part = body[int(start) :] if int(stop) + 1 >= len(DATA) else body[int(start) : int(stop) + 1]
    said = min(int(stop), len(DATA) - 1)
    return answer(206, part, etag='"e"', content_range=f"bytes {start}-{said}/{total}", **headers)


@pytest.mark.parametrize(
    "how", ["until closed", "chunked", "gzip", "range and more", "range of unknown whole"]
)
def test_a_body_that_goes_on_past_the_pinned_size_is_an_error(reading: Reading, how: str) -> None:
    right = answer(200, DATA, etag='"e"', content_length=str(len(DATA)))
    bodies: dict[str, Script] = {
        "until closed": lambda _: until_closed(LONGER),
        "chunked": lambda _: chunked(LONGER),
        "gzip": lambda _: until_closed(gzip.compress(LONGER, 1), content_encoding="gzip"),
        "range and more": lambda asked: ranged(asked, LONGER, total=str(len(DATA))),
        "range of unknown whole": lambda asked: ranged(asked, LONGER, total="*"),
    }
    with scripted(lambda _: right) as server:
        entry = reading.one(f"{server.url}/a")
        assert entry.size_bytes == len(DATA)
        server.script = bodies[how]
        with pytest.raises(ReferenceChanged, match="pinned at"):
            reading.bytes_of(entry)


@pytest.mark.parametrize("size_bytes", [BLOCK_SIZE_BYTES, len(DATA)])
def test_more_that_comes_late_is_noticed_as_well(reading: Reading, size_bytes: int) -> None:
    """Whatever pieces the network makes of it."""
    right = answer(200, DATA[:size_bytes], etag='"e"', content_length=str(size_bytes))
    with scripted(lambda _: right) as server:
        entry = reading.one(f"{server.url}/a")
        server.script = lambda _: (
            chunked(DATA[:size_bytes]).removesuffix(b"0\r\n\r\n") + (b"1\r\nx\r\n0\r\n\r\n")
        )
        with pytest.raises(ArtfsError, match="pinned at"):
            reading.bytes_of(entry)


SAME_SECOND = "Sat, 01 Jan 2000 00:00:00 GMT"


@pytest.mark.parametrize("new_reader", [False, True])
def test_content_that_only_its_size_tells_apart_is_never_mixed(
    reading: Reading, tmp_path: Path, new_reader: bool
) -> None:
    def plain(body: bytes) -> Script:
        length = str(len(body))
        return lambda _: answer(200, body, last_modified=SAME_SECOND, content_length=length)

    bodies = [b"eighteen bytes are", b"six by", b"in between"]
    with scripted(plain(b"")) as server:
        entries = []
        for body in bodies:
            server.script = plain(body)
            entries.append(reading.one(f"{server.url}/a"))
        assert len({str(entry.pin) for entry in entries}) == 1
        kept = []
        for body, entry in zip(bodies, entries, strict=True):
            server.script = plain(body)
            content = reading.reader.content(entry)
            kept.append(content)
            assert bytes(content.load_block(0)) == body
        if new_reader:
            reading = Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})
            kept = [reading.reader.content(entry) for entry in entries]
        # Each is in the cache: the server is not asked for what it no longer has.
        for body, content in zip(bodies, kept, strict=True):
            assert bytes(content.load_block(0)) == body
            assert content.try_read(ByteRange(0, len(body))) in (None, body)
