"""Fetching blocks: each of them once, for however many readers, within a budget of memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from threading import Event
from typing import TypeVar
from weakref import WeakValueDictionary

import trio
from cachetools import LRUCache

from artfs.content.base import Content, RemoteContent
from artfs.engine.blocking import Threads, Work
from artfs.engine.flights import Flight, Flights, Land
from artfs.engine.origins import Lane, Origin, Origins
from artfs.errors import IntegrityError
from artfs.model import Buffer, ByteRange, block_range
from artfs.mounts.messages import Counters

BUDGET_BYTES = 128 * 1024 * 1024
RUN_BLOCKS = 4
"""The most blocks that are loaded with one request, where they are elsewhere."""
_MAX_IDLE_SOURCES = 512
_LANE_SHARE = 0.5
"""The part of its server's memory that one object may have."""

T = TypeVar("T")


class BlockSource:
    """One content as the engine knows it: opened by the first flight, in its thread."""

    __slots__ = (
        "__weakref__",
        "_content",
        "_known",
        "_loads",
        "_open",
        "_opens_offline",
        "_remote",
        "key",
        "lane",
        "origin",
        "run_blocks",
        "size_bytes",
        "work",
    )

    def __init__(
        self,
        key: bytes,
        size_bytes: int,
        work: Work,
        open_content: Callable[[], Content],
        *,
        origin: Origin | None = None,
        opens_offline: bool = False,
    ) -> None:
        """Without an origin it may use all that there is.

        `opens_offline`: opening the content asks nobody, so what is kept of it can be read.
        """
        self.key = key
        self.size_bytes = size_bytes
        self.work = work
        self.origin = origin or Origin()
        self.lane = None if origin is None else Lane()
        """Its part of a server's requests."""
        self.run_blocks = 1
        """How many adjacent blocks are worth one request; known once the content is open."""
        self._open = open_content
        self._opens_offline = opens_offline
        self._content: Content | None = None
        # The same, if it is elsewhere.
        self._remote: RemoteContent | None = None
        self._loads = 0
        # What had come before it was opened here, for others.
        self._known = 0

    @property
    def answers(self) -> int:
        """A number that grows with what comes from the origin, and not from what is kept."""
        return self._loads if self._remote is None else self._remote.fetched_count - self._known

    def try_read(self, span: ByteRange) -> Buffer | None:
        """See Content.try_read; None also as long as the content was not opened."""
        return None if self._content is None else self._content.try_read(span)

    def load_block(self, index: int) -> Buffer:
        """See Content.load_block; also opens the content where nobody has. Thread-safe."""
        content = self._opened()
        return self._checked(content, index, content.load_block(index))

    def load_kept(self, index: int) -> Buffer | None:
        """The block if it can be had without its origin. Thread-safe; blocks on disk."""
        if self._content is None and self._opens_offline:
            self._opened()
        remote = self._remote
        if remote is None:
            return None
        data = remote.load_kept(index)
        return None if data is None else self._checked(remote, index, data)

    @property
    def may_be_kept(self) -> bool:
        """Whether parts of it may be had without its origin, as far as is known by now."""
        return self._remote is not None or (self._content is None and self._opens_offline)

    def read_kept(self, span: ByteRange) -> Buffer | None:
        """Bytes that can be had without their origin. Thread-safe; blocks on disk."""
        if self._content is None and self._opens_offline:
            self._opened()
        remote = self._remote
        return None if remote is None else remote.read_kept(span)

    @property
    def has_parts(self) -> bool:
        """Whether parts of it may be loaded without their blocks, as far as is known by now."""
        if self._content is None:
            return self.work is Work.NETWORK
        return self._remote is not None and self._remote.has_parts

    def load_part(self, span: ByteRange) -> Buffer:
        """The bytes of a span without its blocks, or none. Thread-safe; see RemoteContent."""
        self._opened()
        data = None if self._remote is None else self._remote.load_part(span)
        if data is None:
            return b""
        self._loads += 1
        return data

    def load_run(self, indices: range) -> Generator[Buffer]:
        """Adjacent blocks one after the other; see RemoteContent.load_run. Thread-safe."""
        content, remote = self._opened(), self._remote
        if len(indices) == 1 or remote is None:
            for index in indices:
                yield self._checked(content, index, content.load_block(index))
            return
        with closing(remote.load_run(indices.start, len(indices))) as blocks:
            for index, data in zip(indices, blocks, strict=True):
                yield self._checked(remote, index, data)

    def _opened(self) -> Content:
        content = self._content
        if content is None:
            # Two threads may both get here: the content that is kept last serves all.
            content = self._open()
            remote = self._remote = content.remote
            self._known = 0 if remote is None else remote.fetched_count - self._loads
            self.run_blocks = 1 if remote is None else RUN_BLOCKS
            self._content = content
        return content

    def _checked(self, content: Content, index: int, data: Buffer) -> Buffer:
        self._loads += 1
        expected = block_range(index, self.size_bytes).length
        if content.size_bytes != self.size_bytes or len(data) != expected:
            raise IntegrityError(f"block {index}", f"{len(data)} bytes in place of {expected}")
        return data


class Fetcher:
    """Loads blocks, and keeps recent ones in memory."""

    def __init__(
        self,
        nursery: trio.Nursery,
        threads: Threads,
        counters: Counters,
        *,
        timeout_s: float,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        """`timeout_s` is for loading one block; it must be shorter than the readers' own."""
        self._threads = threads
        self._counters = counters
        self._budget_bytes = budget_bytes
        self._flights: Flights[Buffer] = Flights(nursery, timeout_s=timeout_s)
        self._reserved_bytes = 0
        self._room = trio.Event()
        self._recent: LRUCache[tuple[bytes, int], Buffer] = LRUCache(budget_bytes, getsizeof=len)
        self._sources: WeakValueDictionary[bytes, BlockSource] = WeakValueDictionary()
        self.origins = Origins(timeout_s=timeout_s)
        """Servers: one that hangs leaves threads and memory to the others."""
        self._idle_sources: LRUCache[bytes, BlockSource] = LRUCache(_MAX_IDLE_SOURCES)

    @property
    def buffered_bytes(self) -> int:
        """Blocks in memory, and the room that flights have reserved."""
        return int(self._recent.currsize) + self._reserved_bytes

    def source(self, key: bytes, make: Callable[[], BlockSource]) -> BlockSource:
        """The source of this key, shared by all who have the content open."""
        found = self._sources.get(key)
        if found is None:
            found = self._sources[key] = make()
        # It outlives its last reader for a while: files are opened again and again.
        self._idle_sources[key] = found
        return found

    def recent(self, source: BlockSource, index: int) -> Buffer | None:
        """The block if it is in memory."""
        found: Buffer | None = self._recent.get((source.key, index))
        return found

    def fetch(self, source: BlockSource, index: int) -> Flight[Buffer]:
        """The flight of a block that is not in memory."""
        return self._flights.join((source.key, index), partial(self._load, source, index))

    async def read_kept(self, source: BlockSource, span: ByteRange) -> Buffer | None:
        """Bytes that can be had without loading their blocks: what reads here and there want."""
        return await self._threads.run(Work.DISK, source.read_kept, span)

    def fetch_part(self, source: BlockSource, span: ByteRange) -> Flight[Buffer]:
        """The flight of a span that is not kept; it lands with nothing where blocks are to be."""
        key = (source.key, span.start, span.stop)
        return self._flights.join(key, partial(self._load_part, source, span))

    def prefetch(self, source: BlockSource, start: int, stop: int) -> int:
        """Start to load blocks `start` to `stop - 1`, which nobody waits for, neighbours together.

        Returns the first block that was left, for want of memory: half of the budget stays for
        blocks that somebody waits for, so that under pressure windows shrink first.
        """
        lane = source.lane
        if source.origin.is_silent:
            return start
        missing = [index for index in range(start, stop) if self._is_missing(source, index)]
        for run in _runs(missing, source.run_blocks):
            size_bytes = _size_bytes(source, run)
            is_much = self._reserved_bytes + size_bytes > self._budget_bytes // 2
            is_full = lane is not None and lane.is_full
            if is_much or is_full or not self._has_room(source, size_bytes):
                return run.start
            if lane is not None:
                lane.enter_nowait()
            self._reserve(source, size_bytes)
            self._flights.start_run(
                [(source.key, index) for index in run],
                partial(self._load_run, source, run),
                alone=lambda key: self._load(source, key[1]),
            )
        return stop

    def _is_missing(self, source: BlockSource, index: int) -> bool:
        """Whether a block is neither on its way nor at hand."""
        key = (source.key, index)
        if key in self._flights or key in self._recent:
            return False
        # What was verified before and is in the page cache need not be loaded again.
        block = block_range(index, source.size_bytes)
        ends = (ByteRange(block.start, 1), ByteRange(block.stop - 1, 1))
        return any(source.try_read(end) is None for end in ends)

    async def _load(self, source: BlockSource, index: int) -> Buffer:
        origin, lane = source.origin, source.lane
        size_bytes = block_range(index, source.size_bytes).length
        if origin.is_busy or (
            lane is not None and (lane.is_full or not self._has_room(source, size_bytes))
        ):
            # What was fetched before does not wait for those who wait for its server.
            kept = await self._threads.run(Work.DISK, source.load_kept, index)
            if kept is not None:
                self._keep(source, index, kept)
                return kept
        data = await self._loaded(source, size_bytes, partial(source.load_block, index))
        self._keep(source, index, data)
        if lane is not None:
            lane.note_block()
        return data

    async def _load_part(self, source: BlockSource, span: ByteRange) -> Buffer:
        data = await self._loaded(source, span.length, partial(source.load_part, span))
        if data:
            self._counters.bytes_loaded += len(data)
        return data

    async def _loaded(self, source: BlockSource, size_bytes: int, load: Callable[[], T]) -> T:
        """Load something of this size, once there is a place and room for it."""
        lane = source.lane
        if lane is not None:
            await lane.enter()
        try:
            while not self._has_room(source, size_bytes):
                await self._room.wait()
        except BaseException:
            if lane is not None:
                lane.leave(None)
            raise
        self._reserve(source, size_bytes)
        try:
            # Behind the room: whoever has the right to a request never waits for memory.
            return await self._ask(source, load)
        finally:
            self._release(source, size_bytes)

    async def _ask(self, source: BlockSource, load: Callable[[], T]) -> T:
        """Make a request that has its place in the source's lane."""
        return await source.origin.run(
            self._threads,
            source.work,
            load,
            answers=lambda: source.answers,
            on_leave=None if source.lane is None else source.lane.leave,
        )

    async def _load_run(self, source: BlockSource, run: range, land: Land[Buffer]) -> None:
        """Load blocks whose room is reserved; each lands as soon as it is there."""
        waiting = iter(run)
        answers = source.answers
        reserved_bytes = _size_bytes(source, run)
        token = trio.lowlevel.current_trio_token()
        given_up = Event()

        def take(data: Buffer) -> None:
            nonlocal reserved_bytes
            if given_up.is_set():
                return
            if source.answers != answers:
                source.origin.note_answer()
            self._release(source, len(data))
            reserved_bytes -= len(data)
            self._keep(source, next(waiting), data)
            if source.lane is not None:
                source.lane.note_block()
            land(data)

        def load() -> None:
            with closing(source.load_run(run)) as blocks:
                for data in blocks:
                    # The loop takes the block before it hears that this thread has ended.
                    token.run_sync_soon(take, data)
                    if given_up.is_set():
                        return

        try:
            await self._ask(source, load)
        finally:
            given_up.set()
            self._release(source, reserved_bytes)

    def _has_room(self, source: BlockSource, size_bytes: int) -> bool:
        """Whether a block may be loaded; where nothing else is being loaded any block may."""
        origin, lane = source.origin, source.lane
        most = self._budget_bytes * origin.budget_share
        shares = [(self._reserved_bytes, self._budget_bytes), (origin.reserved_bytes, most)]
        if lane is not None:
            shares.append((lane.reserved_bytes, most * _LANE_SHARE))
        return all(not held or held + size_bytes <= most for held, most in shares)

    def _reserve(self, source: BlockSource, size_bytes: int) -> None:
        self._reserved_bytes += size_bytes
        source.origin.reserved_bytes += size_bytes
        if source.lane is not None:
            source.lane.reserved_bytes += size_bytes
        self._make_room()

    def _release(self, source: BlockSource, size_bytes: int) -> None:
        self._reserved_bytes -= size_bytes
        source.origin.reserved_bytes -= size_bytes
        if source.lane is not None:
            source.lane.reserved_bytes -= size_bytes
        self._room.set()
        self._room = trio.Event()

    def _keep(self, source: BlockSource, index: int, data: Buffer) -> None:
        self._counters.blocks_loaded += 1
        self._counters.bytes_loaded += len(data)
        if len(data) <= self._budget_bytes:
            self._recent[source.key, index] = data
        self._make_room()

    def _make_room(self) -> None:
        while self._recent and self.buffered_bytes > self._budget_bytes:
            self._recent.popitem()
        self._counters.bytes_buffered = self.buffered_bytes


def _runs(indices: Iterable[int], most: int) -> Iterator[range]:
    """Neighbours among ascending block numbers, at most `most` of them together."""
    run = range(0)
    for index in indices:
        if len(run) == most or index != run.stop:
            if run:
                yield run
            run = range(index, index)
        run = range(run.start, index + 1)
    if run:
        yield run


def _size_bytes(source: BlockSource, run: range) -> int:
    return sum(block_range(index, source.size_bytes).length for index in run)
