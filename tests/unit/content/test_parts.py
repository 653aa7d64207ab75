"""Reads here and there in large references fetch what they need, not blocks."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec
import pytest
import trio

from artfs.content.base import Content, RemoteContent
from artfs.content.remote import CachedContent
from artfs.engine.blocking import Threads, Work
from artfs.engine.fetch import BlockSource, Fetcher
from artfs.engine.origins import Origin
from artfs.engine.reader import Reader
from artfs.errors import BackendUnavailable, ReferenceChanged
from artfs.manifest.entries import Pin
from artfs.model import BLOCK_SIZE_BYTES, PART_BYTES, ByteRange
from artfs.mounts.messages import Counters
from artfs.references.http import HttpHandler
from tests.servers.nginx import Nginx
from tests.servers.scripted import Asked, ScriptedServer, answer, scripted
from tests.support.loops import on_trio
from tests.support.references import QUICK, Reading

DATA = Random(17).randbytes(2 * BLOCK_SIZE_BYTES + 700_001)
SPANS = [
    ByteRange(5_000_000, 4096),
    ByteRange(BLOCK_SIZE_BYTES - 7, 20),
    ByteRange(len(DATA) - 3, 3),
    ByteRange(3 * PART_BYTES, PART_BYTES),
]


def new_reading(root: Path) -> Reading:
    return Reading(root / "cache", {"http": HttpHandler(policy=QUICK)})


def remote(content: Content) -> RemoteContent:
    assert content.remote is not None
    return content.remote


def data_of(span: ByteRange) -> bytes:
    return DATA[span.start : span.stop]


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return new_reading(tmp_path)


def test_a_part_brings_little_around_it_and_is_kept(
    nginx: Nginx, reading: Reading, tmp_path: Path
) -> None:
    nginx.write("parts.bin", DATA)
    entry = reading.one(f"{nginx.url}/plain/parts.bin")
    content = remote(reading.reader.content(entry))
    before = len(nginx.requests("parts.bin"))
    for span in SPANS:
        assert content.read_kept(span) is None
        assert content.load_part(span) == data_of(span)
    asked = nginx.requests("parts.bin")[before:]
    assert len(asked) == len(SPANS)
    assert all(each.body_bytes <= 2 * PART_BYTES for each in asked)
    later = remote(new_reading(tmp_path).reader.content(entry))
    for span in SPANS:
        assert content.read_kept(span) == data_of(span)
        assert content.load_part(span) == data_of(span)
        assert later.read_kept(span) == data_of(span)
    assert later.read_kept(ByteRange(SPANS[0].start - 1_000_000, 1)) is None
    assert len(nginx.requests("parts.bin")) == before + len(asked)
    # Blocks are whole all the same, and take the place of parts.
    assert reading.bytes_of(entry) == DATA


def test_a_damaged_part_is_dropped_and_fetched_again(nginx: Nginx, reading: Reading) -> None:
    nginx.write("damaged-part.bin", DATA)
    content = remote(reading.reader.content(reading.one(f"{nginx.url}/plain/damaged-part.bin")))
    span = SPANS[0]
    content.load_part(span)
    [file] = reading.cache.layout.blocks()
    assert file.index == -2 - span.start // PART_BYTES
    file.path.chmod(0o600)
    with file.path.open("r+b") as opened:
        opened.seek(span.start % PART_BYTES)
        opened.write(b"damage")
    assert content.try_read(span) is None
    assert content.read_kept(span) is None
    assert content.load_part(span) == data_of(span)


def test_a_source_that_sends_everything_is_read_by_blocks(nginx: Nginx, reading: Reading) -> None:
    nginx.write("no-parts.bin", DATA)
    entry = reading.one(f"{nginx.url}/no-ranges/no-parts.bin")
    content = remote(reading.reader.content(entry))
    before = content.has_parts
    assert content.load_part(SPANS[0]) is None
    assert (before, content.has_parts) == (True, False)
    assert reading.bytes_of(entry) == DATA


def test_what_an_md5_of_the_whole_proves_is_read_by_blocks(nginx: Nginx, reading: Reading) -> None:
    nginx.write("pinned.bin", DATA)
    entry = reading.one(f"{nginx.url}/plain/pinned.bin")
    pinned = msgspec.structs.replace(entry, pin=Pin(etag=entry.pin.etag, md5=bytes(16)))
    content = remote(reading.reader.content(pinned))
    assert not content.has_parts
    assert content.load_part(SPANS[0]) is None


def part_of(asked: Asked, *, etag: str = '"e"', most: int = len(DATA)) -> bytes:
    if "range" not in asked.headers:
        return answer(200, DATA, etag=etag, content_length=str(len(DATA)))
    start, stop = map(int, asked.headers["range"].removeprefix("bytes=").split("-"))
    stop = min(stop + 1, len(DATA))
    data = DATA[start:stop]
    span = f"bytes {start}-{stop - 1}/{len(DATA)}"
    size = str(len(data))
    return answer(206, data[:most], etag=etag, content_range=span, content_length=size)


def test_a_part_goes_on_where_it_broke_off(reading: Reading) -> None:
    with scripted(lambda asked: part_of(asked, most=25_000)) as server:
        content = remote(reading.reader.content(reading.one(f"{server.url}/a")))
        before = len(server.asked)
        assert content.load_part(SPANS[0]) == data_of(SPANS[0])
        starts = [each.headers["range"] for each in server.asked[before:]]
        assert len(set(starts)) == len(starts) == 3


def test_a_part_that_never_comes_is_given_up_after_the_attempts(reading: Reading) -> None:
    with scripted(part_of) as server:
        content = remote(reading.reader.content(reading.one(f"{server.url}/a")))
        server.script = lambda asked: part_of(asked, most=0)
        before = len(server.asked)
        with pytest.raises(BackendUnavailable, match="gave up after 3 attempts"):
            content.load_part(SPANS[0])
        assert len(server.asked) - before == QUICK.attempts


def test_a_part_of_something_else_is_no_part(reading: Reading) -> None:
    with scripted(part_of) as server:
        content = remote(reading.reader.content(reading.one(f"{server.url}/a")))
        server.script = lambda asked: part_of(asked, etag='"other"')
        with pytest.raises(ReferenceChanged):
            content.load_part(SPANS[0])


class Mounted:
    """A reader of a real reference, as a mount has it."""

    def __init__(self, nursery: trio.Nursery, server: ScriptedServer, reading: Reading) -> None:
        self._server = server
        self._content = reading.reader.content(reading.one(f"{server.url}/a"))
        self._fetcher = Fetcher(nursery, Threads(), Counters(), timeout_s=20)
        self._source = BlockSource(
            b"key", len(DATA), Work.NETWORK, lambda: self._content, origin=Origin()
        )
        self.reopen()

    async def fetched_by(self, offset: int, length: int) -> int:
        """The bytes that the server sends because of a read."""
        before = self._server.sent_bytes
        data = await self.reader.read(offset, length)
        assert bytes(data) == DATA[offset : offset + length]
        return self._server.sent_bytes - before

    def reopen(self) -> None:
        self.reader = Reader(self._fetcher, self._source, timeout_s=20)


@on_trio
async def test_reads_here_and_there_move_parts_and_streams_move_blocks(tmp_path: Path) -> None:
    reading = new_reading(tmp_path)
    with scripted(part_of) as server:
        async with trio.open_nursery() as nursery:
            mounted = Mounted(nursery, server, reading)
            for offset in (5_000_000, 300_000, len(DATA) - 4096):
                assert 4096 <= await mounted.fetched_by(offset, 4096) <= PART_BYTES + 1000
                assert await mounted.fetched_by(offset, 4096) == 0
            # A new handle that begins at the beginning reads a stream.
            mounted.reopen()
            assert await mounted.fetched_by(0, 4096) >= BLOCK_SIZE_BYTES
            mounted.reopen()
            assert await mounted.fetched_by(BLOCK_SIZE_BYTES - 100, 50) == 0
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("index", [0, 1])
def test_parts_do_not_stand_in_for_their_block(nginx: Nginx, reading: Reading, index: int) -> None:
    nginx.write("both.bin", DATA)
    content = reading.reader.content(reading.one(f"{nginx.url}/plain/both.bin"))
    assert isinstance(content, CachedContent)
    start = index * BLOCK_SIZE_BYTES
    for at in (start, start + BLOCK_SIZE_BYTES - 1):
        content.load_part(ByteRange(at, 1))
    assert not content.is_cached(index)
    assert content.load_kept(index) is None
    assert content.load_block(index) == DATA[start : start + BLOCK_SIZE_BYTES]
