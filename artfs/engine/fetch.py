"""Fetching blocks: each of them once, for however many readers, within a budget of memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from weakref import WeakValueDictionary

import trio
from cachetools import LRUCache

from artfs.engine.counters import Counters
from artfs.engine.flights import Flight, Flights
from artfs.engine.threads import Threads, Work
from artfs.errors import IntegrityError
from artfs.model import ByteRange, block_range
from artfs.repository.content import Buffer, Content

BUDGET_BYTES = 128 * 1024 * 1024
_MAX_IDLE_SOURCES = 512


class Source:
    """One content as the engine knows it: opened by the first flight, in its thread."""

    __slots__ = ("__weakref__", "_content", "_open", "key", "size_bytes", "work")

    def __init__(
        self, key: bytes, size_bytes: int, work: Work, open_content: Callable[[], Content]
    ) -> None:
        self.key = key
        self.size_bytes = size_bytes
        self.work = work
        self._open = open_content
        self._content: Content | None = None

    def try_read(self, span: ByteRange) -> Buffer | None:
        """See Content.try_read; None also as long as the content was not opened."""
        return None if self._content is None else self._content.try_read(span)

    def load_block(self, index: int) -> Buffer:
        """See Content.load_block; also opens the content where nobody has. Thread-safe."""
        content = self._content
        if content is None:
            # Two threads may both get here: the content that is kept last serves all.
            content = self._content = self._open()
        expected = block_range(index, self.size_bytes).length
        data = content.load_block(index)
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
        self._sources: WeakValueDictionary[bytes, Source] = WeakValueDictionary()
        self._idle_sources: LRUCache[bytes, Source] = LRUCache(_MAX_IDLE_SOURCES)

    @property
    def buffered_bytes(self) -> int:
        """Blocks in memory, and the room that flights have reserved."""
        return int(self._recent.currsize) + self._reserved_bytes

    def source(self, key: bytes, make: Callable[[], Source]) -> Source:
        """The source of this key, shared by all who have the content open."""
        found = self._sources.get(key)
        if found is None:
            found = self._sources[key] = make()
        # It outlives its last reader for a while: files are opened again and again.
        self._idle_sources[key] = found
        return found

    def recent(self, source: Source, index: int) -> Buffer | None:
        """The block if it is in memory."""
        found: Buffer | None = self._recent.get((source.key, index))
        return found

    def fetch(self, source: Source, index: int) -> Flight[Buffer]:
        """The flight of a block that is not in memory."""
        return self._flights.join((source.key, index), partial(self._load, source, index))

    def prefetch(self, source: Source, index: int) -> bool:
        """Start to load a block that nobody waits for; False where memory is short.

        Half of the budget is left to blocks that somebody waits for, so that under pressure
        windows shrink first.
        """
        key = (source.key, index)
        if key in self._flights or key in self._recent:
            return True
        size_bytes = block_range(index, source.size_bytes).length
        if self._reserved_bytes + size_bytes > self._budget_bytes // 2:
            return False
        self.fetch(source, index)
        return True

    async def _load(self, source: Source, index: int) -> Buffer:
        size_bytes = block_range(index, source.size_bytes).length
        while self._reserved_bytes and self._reserved_bytes + size_bytes > self._budget_bytes:
            await self._room.wait()
        self._reserved_bytes += size_bytes
        self._make_room()
        try:
            data = await self._threads.run(source.work, source.load_block, index)
        finally:
            self._reserved_bytes -= size_bytes
            self._room.set()
            self._room = trio.Event()
        self._counters.blocks_loaded += 1
        self._counters.bytes_loaded += size_bytes
        if size_bytes <= self._budget_bytes:
            self._recent[source.key, index] = data
        self._make_room()
        return data

    def _make_room(self) -> None:
        while self._recent and self.buffered_bytes > self._budget_bytes:
            self._recent.popitem()
        self._counters.bytes_buffered = self.buffered_bytes
