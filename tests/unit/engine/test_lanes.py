"""One object that stalls takes nothing from the healthy objects of its server."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from artfs.content.remote import CachedContent
from artfs.engine.blocking import Threads, Work
from artfs.engine.fetch import BlockSource, Fetcher
from artfs.engine.flights import Flight
from artfs.engine.origins import MAX_SILENCES, MAX_WIDTH
from artfs.errors import BackendUnavailable, DeadlineExceeded
from artfs.model import BLOCK_SIZE_BYTES, Buffer
from artfs.mounts.messages import Counters
from artfs.references.http import HttpHandler
from tests.servers.faultproxy import Fault, fault_proxy
from tests.servers.nginx import Nginx
from tests.support.loops import on_trio
from tests.support.references import QUICK, Reading
from tests.unit.engine.test_runs import DistantContent

BLOCK = BLOCK_SIZE_BYTES
READERS = 12


class Shop:
    """A server with one object that can be made to stall, and others that are well."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.fetcher = Fetcher(nursery, Threads(), Counters(), timeout_s=40)
        self.origin = self.fetcher.origins.get("http://a")
        self.gate = threading.Event()
        self.sick = DistantContent(60)
        self.source = self.offer(b"sick", self.sick)

    def offer(self, key: bytes, content: DistantContent) -> BlockSource:
        return BlockSource(
            key, content.size_bytes, Work.NETWORK, lambda: content, origin=self.origin
        )

    def stall(self) -> None:
        self.sick.gates = dict.fromkeys(range(60), self.gate)

    async def ask(self, blocks: range) -> list[Flight[Buffer]]:
        """Readers of the sick object, each of another block."""
        flights = [self.fetcher.fetch(self.source, index) for index in blocks]
        await trio.testing.wait_all_tasks_blocked(0.05)
        return flights

    async def the_others_are_well(self) -> None:
        """Many healthy objects are read at once, without waiting for anybody."""
        healthy = [DistantContent(2) for _ in range(20)]
        with trio.fail_after(20):
            flights = [
                self.fetcher.fetch(self.offer(b"%d" % number, content), 1)
                for number, content in enumerate(healthy)
            ]
            for flight, content in zip(flights, healthy, strict=True):
                assert await flight.landed() == content.data[BLOCK:]


@asynccontextmanager
async def shop() -> AsyncIterator[Shop]:
    async with trio.open_nursery() as nursery:
        found = Shop(nursery)
        try:
            yield found
        finally:
            found.gate.set()


@on_trio
async def test_readers_of_one_stalled_object_hold_one_place() -> None:
    async with shop() as here:
        here.stall()
        flights = await here.ask(range(READERS))
        assert len(here.sick.requests) == 1
        assert here.fetcher.prefetch(here.source, 20, 30) == 20
        await here.the_others_are_well()
        here.gate.set()
        for flight in flights:
            await flight.landed()


@on_trio
async def test_an_object_that_was_well_and_stalls_leaves_half_to_the_others() -> None:
    async with shop() as here:
        for index in range(MAX_WIDTH + 2):
            await here.fetcher.fetch(here.source, index).landed()
        here.stall()
        before = len(here.sick.requests)
        flights = await here.ask(range(20, 60))
        assert len(here.sick.requests) - before <= MAX_WIDTH
        await here.the_others_are_well()
        here.gate.set()
        for flight in flights:
            await flight.landed()


@on_trio
async def test_readers_that_wait_for_a_stalled_object_share_what_becomes_of_it() -> None:
    async with shop() as here:
        here.stall()
        here.sick.errors = dict.fromkeys(
            range(READERS), DeadlineExceeded("http://a/sick", "no answer in time")
        )
        flights = await here.ask(range(READERS))
        here.gate.set()
        for flight in flights:
            with pytest.raises(DeadlineExceeded, match="sick"):
                await flight.landed()
        assert len(here.sick.requests) == 1
        # And it is asked again by whoever comes then.
        here.sick.errors.clear()
        await here.fetcher.fetch(here.source, 40).landed()


@on_trio
async def test_a_request_that_got_bytes_is_no_silence_of_its_server(
    nginx: Nginx, tmp_path: Path
) -> None:
    data = bytes(BLOCK)
    nginx.write("stalls.bin", data)
    with fault_proxy(nginx.url) as proxy:
        reading = Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})
        entry = reading.one(f"{proxy.url}/plain/stalls.bin")
        content = reading.reader.content(entry)
        assert isinstance(content, CachedContent)
        proxy.set(Fault(stall_after=100_000))
        async with shop() as here:
            here.origin._silences = MAX_SILENCES - 1
            here.origin._patience_s = 0
            source = BlockSource(b"s", len(data), Work.NETWORK, lambda: content, origin=here.origin)
            with suppress(BackendUnavailable):
                await here.fetcher.fetch(source, 0).landed()
            assert not here.origin.is_silent
            proxy.set(Fault(never_answer=True))
            here.origin._silences = MAX_SILENCES - 1
            with suppress(BackendUnavailable):
                await here.fetcher.fetch(
                    BlockSource(b"t", len(data), Work.NETWORK, lambda: content, origin=here.origin),
                    0,
                ).landed()
            assert here.origin.is_silent
