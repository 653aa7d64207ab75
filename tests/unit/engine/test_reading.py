"""Fetcher and Reader, over contents that count, block and fail on demand."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from artfs.content.base import Content
from artfs.engine.blocking import Threads, Work
from artfs.engine.fetch import BlockSource, Fetcher
from artfs.engine.reader import Reader
from artfs.errors import DeadlineExceeded, IntegrityError
from artfs.model import BLOCK_SIZE_BYTES, ByteRange, block_range
from artfs.mounts.messages import Counters
from tests.support.loops import on_jumping_trio, on_trio

BLOCK = BLOCK_SIZE_BYTES


class CountingContent(Content):
    """Content in memory that counts loads, and can be made to hang, lie or fail."""

    def __init__(self, data: bytes, *, at_hand: bool = False) -> None:
        self.data = data
        self.at_hand = at_hand
        self.loads: Counter[int] = Counter()
        self.errors: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.cut_bytes = 0

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def try_read(self, span: ByteRange) -> bytes | None:
        return self.data[span.start : span.stop] if self.at_hand else None

    def load_block(self, index: int) -> bytes:
        self.loads[index] += 1
        self.gate.wait(60)
        if self.errors:
            raise self.errors.pop()
        span = block_range(index, len(self.data))
        return self.data[span.start : span.stop - self.cut_bytes]


class Bench:
    def __init__(self, fetcher: Fetcher, counters: Counters) -> None:
        self.fetcher = fetcher
        self.counters = counters

    def source(self, content: CountingContent, *, key: bytes = b"key") -> BlockSource:
        return self.fetcher.source(
            key, lambda: BlockSource(key, len(content.data), Work.DISK, lambda: content)
        )

    def reader(
        self, content: CountingContent, *, timeout_s: float = 50, key: bytes = b"k"
    ) -> Reader:
        return Reader(self.fetcher, self.source(content, key=key), timeout_s=timeout_s)


@asynccontextmanager
async def engine(*, budget_bytes: int = 16 * BLOCK) -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery:
        counters = Counters()
        yield Bench(
            Fetcher(nursery, Threads(), counters, timeout_s=40, budget_bytes=budget_bytes), counters
        )


def noise(size_bytes: int) -> bytes:
    return random.Random(size_bytes).randbytes(size_bytes)


@on_trio
async def test_reads_return_exactly_the_bytes_asked_for() -> None:
    content = CountingContent(noise(2 * BLOCK + 12_345))
    source = random.Random(7)
    async with engine() as bench:
        for _ in range(200):
            reader = bench.reader(content)
            offset = source.randrange(len(content.data) + 100)
            length = source.choice([1, 4096, BLOCK, BLOCK + 1])
            data = await reader.read(offset, length)
            assert bytes(data) == content.data[offset : offset + length]


@on_trio
async def test_two_hundred_readers_of_a_block_load_it_once() -> None:
    content = CountingContent(noise(1000))
    content.gate.clear()
    seen: list[bytes] = []
    async with engine() as bench:

        async def read() -> None:
            seen.append(bytes(await bench.reader(content).read(0, 1000)))

        async with trio.open_nursery() as readers:
            for _ in range(200):
                readers.start_soon(read)
            await trio.testing.wait_all_tasks_blocked(0.01)
            content.gate.set()
    assert seen == [content.data] * 200
    assert content.loads == {0: 1}


@on_trio
async def test_a_failed_load_is_tried_again_by_the_next_read() -> None:
    content = CountingContent(noise(1000))
    content.errors = [IntegrityError("block 0", "bad")]
    async with engine() as bench:
        reader = bench.reader(content)
        with pytest.raises(IntegrityError):
            await reader.read(0, 10)
        assert bytes(await reader.read(0, 10)) == content.data[:10]


@on_trio
async def test_a_block_that_is_too_short_is_refused() -> None:
    content = CountingContent(noise(1000))
    content.cut_bytes = 1
    async with engine() as bench:
        with pytest.raises(IntegrityError, match="999 bytes in place of 1000"):
            await bench.reader(content).read(0, 1000)


@on_trio
async def test_bytes_at_hand_are_read_without_loading() -> None:
    content = CountingContent(noise(BLOCK), at_hand=True)
    async with engine() as bench:
        reader = bench.reader(content)
        first = bytes(await reader.read(0, 10))
        bench.fetcher._recent.clear()
        assert bytes(await reader.read(100, 10)) == content.data[100:110]
        assert first == content.data[:10]
    assert content.loads == {0: 1}


@on_trio
async def test_a_stream_loads_every_block_once_and_ahead_of_its_reads() -> None:
    content = CountingContent(noise(8 * BLOCK))
    async with engine() as bench:
        reader = bench.reader(content)
        for offset in range(0, len(content.data), BLOCK // 4):
            data = await reader.read(offset, BLOCK // 4)
            assert bytes(data) == content.data[offset : offset + BLOCK // 4]
            if offset == BLOCK:
                assert bench.fetcher.buffered_bytes > 4 * BLOCK
    assert content.loads == dict.fromkeys(range(8), 1)


@on_trio
async def test_a_random_read_loads_the_touched_block_only() -> None:
    content = CountingContent(noise(8 * BLOCK))
    async with engine() as bench:
        await bench.reader(content).read(5 * BLOCK + 17, 4096)
    assert content.loads == {5: 1}


@on_trio
async def test_memory_stays_within_the_budget() -> None:
    content = CountingContent(noise(12 * BLOCK))
    async with engine(budget_bytes=4 * BLOCK) as bench:
        reader = bench.reader(content)
        for offset in range(0, len(content.data), BLOCK // 4):
            await reader.read(offset, BLOCK // 4)
            assert bench.fetcher.buffered_bytes <= 4 * BLOCK
            assert bench.counters.bytes_buffered <= 4 * BLOCK


@on_trio
async def test_readers_beyond_the_budget_wait_and_are_served() -> None:
    contents = [CountingContent(noise(BLOCK)) for _ in range(10)]
    for content in contents:
        content.gate.clear()
    served: list[int] = []
    async with engine(budget_bytes=2 * BLOCK) as bench:

        async def read(index: int) -> None:
            reader = bench.reader(contents[index], key=b"%d" % index)
            assert bytes(await reader.read(0, BLOCK)) == contents[index].data
            served.append(index)

        async with trio.open_nursery() as readers:
            for index in range(10):
                readers.start_soon(read, index)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert sum(sum(content.loads.values()) for content in contents) == 2
            for content in contents:
                content.gate.set()
    assert sorted(served) == list(range(10))


@on_jumping_trio
async def test_a_stuck_load_fails_at_the_flight_deadline_and_the_next_read_tries_again() -> None:
    content = CountingContent(noise(1000))
    content.gate.clear()
    async with engine() as bench:
        reader = bench.reader(content)
        with pytest.raises(DeadlineExceeded):
            await reader.read(0, 10)
        assert trio.current_time() == pytest.approx(40, abs=2)
        content.gate.set()
    assert content.loads[0] == 1


@on_jumping_trio
async def test_a_reader_gives_up_at_its_own_deadline_without_ending_the_flight() -> None:
    content = CountingContent(noise(1000))
    content.gate.clear()
    async with engine() as bench:
        with pytest.raises(DeadlineExceeded):
            await bench.reader(content, timeout_s=10).read(0, 10)
        assert trio.current_time() == pytest.approx(10, abs=2)
        flight = bench.fetcher.fetch(bench.source(content, key=b"k"), 0)
        content.gate.set()
        assert await flight.landed() == content.data
    assert content.loads == {0: 1}
