"""One open file: reads served from memory where they can be, else by flights."""

from __future__ import annotations

import trio

from artfs.engine.fetch import BlockSource, Fetcher
from artfs.engine.flights import Flight
from artfs.engine.prefetch import MAX_DISTANT_WINDOW_BLOCKS, MAX_WINDOW_BLOCKS, ReadPattern
from artfs.errors import DeadlineExceeded
from artfs.model import BLOCK_SIZE_BYTES, PART_BYTES, Buffer, ByteRange, block_count

_MOST_SCATTERED_BYTES = 1024 * 1024
"""More at once is a stream that is about to begin."""


class Reader:
    """Reads one content for one open file; state is touched on the loop only."""

    __slots__ = ("_ahead", "_fetcher", "_pattern", "_source", "_timeout_s")

    def __init__(self, fetcher: Fetcher, source: BlockSource, *, timeout_s: float) -> None:
        self._fetcher = fetcher
        self._source = source
        self._timeout_s = timeout_s
        self._pattern = ReadPattern()
        # The first block that no window has covered yet.
        self._ahead = 0

    async def read(self, offset: int, length: int) -> Buffer:
        """Exactly `length` bytes from `offset`, fewer only at the end of the file.

        Checkpoints: only where the bytes are not at hand. Raises: what Content.load_block does;
        DeadlineExceeded.
        """
        source = self._source
        stop = min(offset + length, source.size_bytes)
        if offset >= stop:
            return b""
        most = MAX_DISTANT_WINDOW_BLOCKS if source.run_blocks > 1 else MAX_WINDOW_BLOCKS
        window = self._pattern.observe(offset, stop - offset, most=most)
        first, last = offset // BLOCK_SIZE_BYTES, (stop - 1) // BLOCK_SIZE_BYTES
        if window:
            self._read_ahead(last, window)
        else:
            self._ahead = last + 1
        if first == last:
            block = self._fetcher.recent(source, first)
            if block is not None:
                base = first * BLOCK_SIZE_BYTES
                return memoryview(block)[offset - base : stop - base]
        found = source.try_read(ByteRange(offset, stop - offset))
        if found is not None:
            return found
        with trio.move_on_after(self._timeout_s):
            if not window:
                part = await self._part(ByteRange(offset, stop - offset))
                if part is not None:
                    return part
            return await self._fetch(offset, stop)
        raise DeadlineExceeded(
            "read", f"no answer within {self._timeout_s:g} s", hint="`-o timeout=S` waits longer"
        )

    async def _part(self, span: ByteRange) -> Buffer | None:
        """The bytes of a read that is no stream, without their blocks where that can be."""
        source = self._source
        if source.may_be_kept:
            kept = await self._fetcher.read_kept(source, span)
            if kept is not None:
                return kept
        if not (self._pattern.is_scattered and source.has_parts):
            return None
        if source.size_bytes <= BLOCK_SIZE_BYTES or span.length > _MOST_SCATTERED_BYTES:
            return None
        start = span.start // PART_BYTES * PART_BYTES
        stop = min(-(-span.stop // PART_BYTES) * PART_BYTES, source.size_bytes)
        flight = self._fetcher.fetch_part(source, ByteRange(start, stop - start))
        data = await flight.landed()
        return memoryview(data)[span.start - start :][: span.length] if data else None

    async def _fetch(self, offset: int, stop: int) -> Buffer:
        first, last = offset // BLOCK_SIZE_BYTES, (stop - 1) // BLOCK_SIZE_BYTES
        # All of them start before the first one is waited for.
        waiting = [self._block_or_flight(index) for index in range(first, last + 1)]
        parts: list[Buffer] = []
        for index, block in enumerate(waiting, first):
            data = await block.landed() if isinstance(block, Flight) else block
            base = index * BLOCK_SIZE_BYTES
            parts.append(memoryview(data)[max(offset - base, 0) : stop - base])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _block_or_flight(self, index: int) -> Buffer | Flight[Buffer]:
        return self._fetcher.recent(self._source, index) or self._fetcher.fetch(self._source, index)

    def _read_ahead(self, last: int, window: int) -> None:
        """Start the blocks of the window that no window covered before."""
        source = self._source
        count = block_count(source.size_bytes)
        start, stop = max(self._ahead, last + 1), min(last + 1 + window, count)
        # A request for several blocks is worth waiting for, as long as half the window is covered.
        if stop < count and stop - start < min(source.run_blocks, window // 2):
            return
        self._ahead = self._fetcher.prefetch(source, start, stop)
