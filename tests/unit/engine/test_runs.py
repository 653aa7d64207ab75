"""Runs: neighbouring blocks of what is elsewhere come with one request, and land one by one."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from artfs.content.base import RemoteContent
from artfs.engine.blocking import Threads, Work
from artfs.engine.fetch import RUN_BLOCKS, BlockSource, Fetcher
from artfs.engine.flights import ECHO_S
from artfs.engine.reader import Reader
from artfs.errors import BackendUnavailable, DeadlineExceeded, IntegrityError
from artfs.model import BLOCK_SIZE_BYTES, ByteRange, Digest, block_range
from artfs.mounts.messages import Counters
from tests.support.loops import on_jumping_trio, on_trio

BLOCK = BLOCK_SIZE_BYTES


class DistantContent(RemoteContent):
    """Content that notes its requests, and can be made to fail or to hang at a block."""

    def __init__(self, blocks: int) -> None:
        self.data = random.Random(blocks).randbytes(blocks * BLOCK - 77)
        self.requests: list[range] = []
        self.loads: Counter[int] = Counter()
        self.errors: dict[int, Exception] = {}
        self.gates: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    @property
    def remote(self) -> RemoteContent:
        return self

    @property
    def fetched_count(self) -> int:
        return self.loads.total()

    def load_kept(self, index: int) -> None:
        return None

    @property
    def cache_key(self) -> Digest:
        return Digest(bytes(32))

    def is_cached(self, index: int) -> bool:
        return False

    def try_read(self, span: ByteRange) -> bytes | None:
        return None

    def load_block(self, index: int) -> bytes:
        [data] = self.load_run(index, 1)
        return data

    def load_run(self, first: int, count: int) -> Generator[bytes]:
        with self._lock:
            self.requests.append(range(first, first + count))
        for index in range(first, first + count):
            if index in self.gates:
                self.gates[index].wait(60)
            with self._lock:
                if index in self.errors:
                    raise self.errors.pop(index)
                self.loads[index] += 1
            span = block_range(index, len(self.data))
            yield self.data[span.start : span.stop]


class Bench:
    def __init__(self, fetcher: Fetcher, content: DistantContent) -> None:
        self.fetcher = fetcher
        self.content = content
        self.source = fetcher.source(
            b"k", lambda: BlockSource(b"k", content.size_bytes, Work.NETWORK, lambda: content)
        )

    def reader(self) -> Reader:
        return Reader(self.fetcher, self.source, timeout_s=50)

    async def fails(self, index: int) -> Exception | None:
        """How one block fails that is in flight or in memory; None where it is right."""
        if self.fetcher.recent(self.source, index) is not None:
            return None
        try:
            data = await self.fetcher.fetch(self.source, index).landed()
        except (BackendUnavailable, IntegrityError) as error:
            return error
        span = block_range(index, len(self.content.data))
        assert data == self.content.data[span.start : span.stop]
        return None


@asynccontextmanager
async def engine(blocks: int, *, budget_blocks: int = 32) -> AsyncIterator[Bench]:
    """A source that was opened, as the first read of a stream does."""
    async with trio.open_nursery() as nursery:
        budget_bytes = budget_blocks * BLOCK
        fetcher = Fetcher(nursery, Threads(), Counters(), timeout_s=40, budget_bytes=budget_bytes)
        bench = Bench(fetcher, DistantContent(blocks))
        await fetcher.fetch(bench.source, 0).landed()
        yield bench


@on_trio
async def test_a_stream_asks_for_several_blocks_at_once_and_for_each_one_once() -> None:
    async with engine(40) as bench:
        content, reader = bench.content, bench.reader()
        for offset in range(0, content.size_bytes, BLOCK // 4):
            data = await reader.read(offset, BLOCK // 4)
            assert bytes(data) == content.data[offset : offset + BLOCK // 4]
    assert content.loads == dict.fromkeys(range(40), 1)
    assert len(content.requests) <= 40 / RUN_BLOCKS + 5
    assert max(len(run) for run in content.requests) == RUN_BLOCKS


@on_trio
async def test_a_random_read_asks_for_the_touched_block_only() -> None:
    async with engine(40) as bench:
        await bench.reader().read(20 * BLOCK + 5, 4096)
    assert bench.content.requests == [range(1), range(20, 21)]


@on_trio
async def test_a_block_is_there_before_the_run_has_ended() -> None:
    async with engine(8) as bench:
        bench.content.gates[3] = threading.Event()
        assert bench.fetcher.prefetch(bench.source, 1, 5) == 5
        for index in (1, 2):
            assert await bench.fails(index) is None
        assert 3 not in bench.content.loads
        bench.content.gates[3].set()
        assert await bench.fails(4) is None
    assert bench.content.requests == [range(1), range(1, 5)]


@on_trio
async def test_what_is_in_flight_or_in_memory_is_not_asked_for_again() -> None:
    async with engine(12) as bench:
        bench.content.gates[6] = threading.Event()
        flight = bench.fetcher.fetch(bench.source, 6)
        await trio.testing.wait_all_tasks_blocked(0.01)
        bench.fetcher.prefetch(bench.source, 0, 9)
        await trio.testing.wait_all_tasks_blocked(0.01)
        bench.content.gates[6].set()
        await flight.landed()
        for index in range(9):
            assert await bench.fails(index) is None
    runs = sorted(bench.content.requests, key=lambda run: run.start)
    assert runs == [range(1), range(1, 5), range(5, 6), range(6, 7), range(7, 9)]


@on_trio
async def test_a_source_that_fails_is_told_to_every_waiter_of_the_run() -> None:
    async with engine(8) as bench:
        bench.content.errors[2] = BackendUnavailable("source", "gone away")
        bench.fetcher.prefetch(bench.source, 1, 5)
        flights = [bench.fetcher.fetch(bench.source, index) for index in (1, 2, 3, 4)]
        assert len(await flights[0].landed()) == BLOCK
        for flight in flights[1:]:
            with pytest.raises(BackendUnavailable, match="gone away"):
                await flight.landed()
        # And is then forgotten.
        assert await bench.fails(3) is None
        assert bench.fetcher.buffered_bytes == 3 * BLOCK


@on_trio
async def test_r2_a_damaged_block_does_not_take_its_neighbours_along() -> None:
    async with engine(8) as bench:
        bench.content.errors[2] = IntegrityError("block 2", "damaged")
        bench.fetcher.prefetch(bench.source, 1, 5)
        flights = [bench.fetcher.fetch(bench.source, index) for index in (1, 2, 3, 4)]
        with pytest.raises(IntegrityError, match="damaged"):
            await flights[1].landed()
        for index in (1, 3, 4):
            span = block_range(index, bench.content.size_bytes)
            data = await flights[index - 1].landed()
            assert data == bench.content.data[span.start : span.stop]


@pytest.mark.parametrize("stuck", [1, 2])
@on_jumping_trio
async def test_r6_a_run_that_hangs_fails_within_the_deadline_of_one_block(stuck: int) -> None:
    async with engine(8) as bench:
        content = bench.content
        content.gates = {stuck: threading.Event()}
        bench.fetcher.prefetch(bench.source, 1, 5)
        for index in range(1, stuck):
            assert await bench.fails(index) is None
        started_s = trio.current_time()
        for flight in [bench.fetcher.fetch(bench.source, index) for index in (stuck, 4)]:
            with pytest.raises(DeadlineExceeded):
                await flight.landed()
        assert trio.current_time() - started_s == pytest.approx(40, abs=2)
        content.gates[stuck].set()
        await trio.sleep(2 * ECHO_S)
        assert await bench.fails(stuck) is None


@on_trio
async def test_read_ahead_leaves_half_of_the_memory_to_those_who_wait() -> None:
    async with engine(40, budget_blocks=8) as bench:
        bench.content.gates[1] = threading.Event()
        assert bench.fetcher.prefetch(bench.source, 1, 17) == 5
        assert bench.fetcher.buffered_bytes <= 8 * BLOCK
        # Somebody who waits is served meanwhile.
        assert await bench.fails(30) is None
        bench.content.gates[1].set()
        assert await bench.fails(4) is None
    assert bench.fetcher.buffered_bytes <= 8 * BLOCK


@on_trio
async def test_an_origin_that_hangs_does_not_stall_others() -> None:
    async with trio.open_nursery() as nursery:
        fetcher = Fetcher(nursery, Threads(), Counters(), timeout_s=40, budget_bytes=32 * BLOCK)
        content = DistantContent(60)
        content.gates = dict.fromkeys(range(60), gate := threading.Event())
        hanging = [
            BlockSource(
                b"h%d" % number,
                content.size_bytes,
                Work.NETWORK,
                lambda: content,
                origin=fetcher.origins.get("http://a"),
            )
            for number in range(60)
        ]
        other = DistantContent(2)
        fine = BlockSource(
            b"f",
            other.size_bytes,
            Work.NETWORK,
            lambda: other,
            origin=fetcher.origins.get("http://b"),
        )
        waiting = [fetcher.fetch(source, index) for index, source in enumerate(hanging)]
        await trio.testing.wait_all_tasks_blocked(0.05)
        # It takes its share and no more.
        assert len(content.requests) == 24
        with trio.fail_after(20):
            data = await fetcher.fetch(fine, 1).landed()
            assert data == other.data[BLOCK:]
        gate.set()
        for flight in waiting:
            await flight.landed()
    assert fetcher.buffered_bytes <= 32 * BLOCK


@on_trio
async def test_a_source_that_sends_another_length_is_refused() -> None:
    async with engine(8) as bench:
        bench.content.data = bench.content.data[:-1]
        bench.fetcher.prefetch(bench.source, 5, 8)
        assert all([isinstance(await bench.fails(index), IntegrityError) for index in (5, 6, 7)])
