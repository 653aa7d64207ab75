"""An origin that only hangs is left alone, what is kept of it is read, and it heals by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing

from artfs.content.base import RemoteContent
from artfs.engine.blocking import Threads, Work
from artfs.engine.fetch import BlockSource, Fetcher
from artfs.engine.origins import MAX_SILENCES, PAUSE_S, Origin, Origins, server_of
from artfs.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    ReferenceChanged,
)
from artfs.model import ByteRange, Digest
from artfs.mounts.messages import Counters
from tests.support.loops import on_jumping_trio, on_trio

TIMEOUT_S = 20.0


def hang() -> None:
    raise DeadlineExceeded("a", "no answer in time")


def refuse() -> None:
    raise BackendUnavailable("a", "connection refused")


def change() -> None:
    raise ReferenceChanged("a", "another ETag")


def answer() -> None:
    pass


class Server:
    """Asks one origin; a request that hangs takes as long as an adapter waits."""

    def __init__(self) -> None:
        self.origin = Origins(timeout_s=TIMEOUT_S).get("http://a")
        self.asked = 0
        self._threads = Threads()

    async def ask(self, function: Callable[[], None], *, takes_s: float = TIMEOUT_S) -> bool:
        """Make a request; whether it was let through."""
        before = self.asked

        def count() -> None:
            self.asked += 1
            trio.from_thread.run(trio.sleep, takes_s)
            function()

        with suppress(BackendUnavailable, ReferenceChanged):
            await self.origin.run(self._threads, Work.NETWORK, count)
        return self.asked > before

    async def is_healthy(self) -> bool:
        """Whether everybody is let through."""
        return not self.origin.is_silent

    async def ask_often(self, function: Callable[[], None], times: int) -> None:
        """Make requests one after the other."""
        for _ in range(times):
            assert await self.ask(function)


@on_jumping_trio
async def test_many_silences_in_a_row_end_in_failures_at_once() -> None:
    server = Server()
    await server.ask_often(hang, MAX_SILENCES)
    began_s = trio.current_time()
    with pytest.raises(DeadlineExceeded, match="http://a: its last requests got no answer"):
        await server.origin.run(Threads(), Work.NETWORK, answer)
    assert trio.current_time() - began_s < 0.5


@on_jumping_trio
async def test_a_handful_of_silences_or_an_answer_between_them_change_nothing() -> None:
    server = Server()
    for _ in range(3):
        await server.ask_often(hang, MAX_SILENCES - 1)
        assert not server.origin.is_silent
        await server.ask_often(answer, 1)
    await server.ask_often(hang, MAX_SILENCES - 1)
    await server.ask_often(change, 1)
    await server.ask_often(hang, MAX_SILENCES - 1)
    assert not server.origin.is_silent


@on_jumping_trio
async def test_other_failures_than_silences_do_not_count() -> None:
    server = Server()
    await server.ask_often(refuse, 3 * MAX_SILENCES)
    assert not server.origin.is_silent


@on_jumping_trio
async def test_silences_of_a_server_that_answered_others_meanwhile_do_not_count() -> None:
    server = Server()
    async with trio.open_nursery() as nursery:
        for _ in range(2 * MAX_SILENCES):
            nursery.start_soon(server.ask, hang)
        await trio.sleep(TIMEOUT_S - 1)
        server.origin.note_answer()
    assert not server.origin.is_silent


@on_jumping_trio
async def test_one_trial_at_a_time_is_let_through_and_its_answer_heals() -> None:
    server = Server()
    await server.ask_often(hang, MAX_SILENCES)
    assert not await server.ask(answer)
    await trio.sleep(PAUSE_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.ask, hang)
        await trio.sleep(1)
        # The trial is on its way.
        assert not await server.ask(answer)
    assert not await server.ask(answer)
    await trio.sleep(PAUSE_S)
    # No answer, and no silence either: the next one is another trial.
    assert await server.ask(refuse)
    assert not await server.is_healthy()
    assert await server.ask(answer)
    assert await server.is_healthy()


@on_jumping_trio
async def test_who_waits_for_a_place_is_told_as_soon_as_the_origin_is_silent() -> None:
    server = Server()
    origin = Origin("http://a", requests=MAX_SILENCES, patience_s=1)
    server.origin = origin
    ended_s: list[float] = []

    async def read() -> None:
        await server.ask(hang)
        ended_s.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(10 * MAX_SILENCES):
            nursery.start_soon(read)
    # The places of the first ones were taken again before the last one that counts was over.
    assert server.asked <= 2 * MAX_SILENCES
    assert sum(each_s < TIMEOUT_S + 1 for each_s in ended_s) > 8 * MAX_SILENCES


@on_trio
async def test_a_thread_that_is_left_to_itself_keeps_its_place_and_its_answer_counts() -> None:
    origin = Origin("http://a", requests=1, patience_s=0)
    gate = threading.Event()
    for _ in range(MAX_SILENCES):
        with trio.move_on_after(0.01):
            await origin.run(Threads(), Work.NETWORK, gate.wait)
    # Only the first of them was a request: the others found no place.
    assert origin.is_busy
    assert not origin.is_silent
    gate.set()
    with trio.fail_after(10):
        # It waits behind the thread whose answer nobody waited for.
        await origin.run(Threads(), Work.NETWORK, answer)
    assert not origin.is_silent


class Kept(RemoteContent):
    """Content of which some blocks are kept; its origin hangs."""

    def __init__(self) -> None:
        self.kept: bytes | None = None

    @property
    def size_bytes(self) -> int:
        return 1000

    @property
    def remote(self) -> RemoteContent:
        return self

    @property
    def fetched_count(self) -> int:
        return 0

    @property
    def cache_key(self) -> Digest:
        return Digest(bytes(32))

    def is_cached(self, index: int) -> bool:
        return False

    def load_run(self, first: int, count: int) -> Generator[bytes]:
        for index in range(first, first + count):
            yield self.load_block(index)

    def try_read(self, span: ByteRange) -> bytes | None:
        return None

    def load_kept(self, index: int) -> bytes | None:
        return self.kept

    def load_block(self, index: int) -> bytes:
        if self.kept is not None:
            return self.kept
        raise DeadlineExceeded("a", "no answer in time")


def as_it_is(content: Kept) -> Kept:
    return content


@on_trio
async def test_what_is_kept_is_served_while_its_origin_is_silent() -> None:
    async with trio.open_nursery() as nursery:
        fetcher = Fetcher(nursery, Threads(), Counters(), timeout_s=10)
        origin = fetcher.origins.get(server_of("http://a/b"))
        origin._silences, origin._trial_s = MAX_SILENCES, trio.current_time() + 1000
        for offline in (True, False):
            content = Kept()
            key = b"offline" if offline else b"online"
            source = BlockSource(
                key,
                1000,
                Work.NETWORK,
                partial(as_it_is, content),
                origin=origin,
                opens_offline=offline,
            )
            with pytest.raises(DeadlineExceeded, match="http://a"):
                await fetcher.fetch(source, 0).landed()
            content.kept = bytes(1000)
            if offline:
                assert await fetcher.fetch(source, 0).landed() == bytes(1000)
            else:
                # Opening it would ask the origin.
                with pytest.raises(DeadlineExceeded):
                    await fetcher.fetch(source, 0).landed()
        # Nor is it an answer of the origin.
        assert origin.is_silent


@on_trio
async def test_what_comes_from_the_disk_is_no_answer() -> None:
    async with trio.open_nursery() as nursery:
        fetcher = Fetcher(nursery, Threads(), Counters(), timeout_s=10)
        origin = fetcher.origins.get("http://a")
        origin._silences = MAX_SILENCES - 1
        content = Kept()
        content.kept = bytes(1000)
        source = BlockSource(b"k", 1000, Work.NETWORK, lambda: content, origin=origin)
        assert await fetcher.fetch(source, 0).landed() == bytes(1000)
        assert origin._silences == MAX_SILENCES - 1
        assert fetcher.prefetch(source, 0, 1) == 1
