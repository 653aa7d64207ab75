"""This user's block cache."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from artfs import forks
from artfs.blobs.cache import BlockCache, OpenBlock, block_of, part_index
from artfs.blobs.cache_eviction import Quota
from artfs.content.base import RemoteContent
from artfs.content.whole import WholeCheck
from artfs.errors import BackendUnavailable, ConfigError, DeadlineExceeded
from artfs.model import (
    BLOCK_SIZE_BYTES,
    PART_BYTES,
    Buffer,
    ByteRange,
    Digest,
    block_range,
)
from artfs.settings import CACHE_VARIABLE, cache_limit_bytes, cache_path, timeout_s
from artfs.system.directories import own_directory
from artfs.system.files import file_state
from artfs.system.oserrors import reach_step

_NOWHERE = Path("/proc/no-home/artfs")

logger = logging.getLogger(__name__)

MAX_RUN_BLOCKS = 8
"""The most blocks that one request asks for."""
_FLIGHT_SHARE = 0.8
_MAX_RUN_S = 10.0
"""A run that takes longer ends with the block that it is at: others may wait for the next ones."""


def cache_root() -> Path:
    """Where the block cache is."""
    try:
        return cache_path() / "blocks"
    except ConfigError:
        # Of somebody without a home: nothing can be made there, so nothing is kept.
        return _NOWHERE


def open_cache(*, read_directly: bool = False) -> BlockCache:
    """The block cache, with the quota of the configuration or the standard one.

    Raises: ConfigError; PermissionDenied for a cache that somebody else made or can write to: what
    is in it would be taken for what was fetched.
    """
    root = cache_root()
    if os.path.lexists(root):
        own_directory(root, variable=CACHE_VARIABLE).close()
    quota = Quota.standard(root, cache_limit_bytes())
    return BlockCache(root, quota, read_directly=read_directly)


def flight_timeout_s() -> float:
    """How long to wait for another process that fetches a block; longer than any fetch may take."""
    return timeout_s() * _FLIGHT_SHARE


class BlockFetcher(Protocol):
    """Where missing blocks come from. Thread-safe."""

    def fetch(self, first: int, count: int) -> Generator[tuple[int, Buffer]]:
        """Blocks `first` to `first + count - 1`, in order, verified as far as is known how.

        Blocks before and behind these may come too, where the source sends them anyway.
        Blocks: within a deadline for each. Raises: as Content.load_block.
        """
        ...

    @property
    def has_parts(self) -> bool:
        """Whether bytes can be had without the rest of their block, which would prove them."""
        ...

    def fetch_part(self, span: ByteRange) -> Buffer | None:
        """The bytes of a span alone; None from a source that sends everything instead.

        Blocks: within one deadline. Raises: as Content.load_block.
        """
        ...

    def expected(self, index: int) -> bytes | None:
        """The SHA-256 or root of a block, where it is known."""
        ...

    @property
    def sends_all(self) -> bool:
        """Whether the source was seen to send everything, whatever was asked for."""
        ...

    @property
    def answers(self) -> int:
        """A number that grows with the bytes that come, also of blocks that are never whole."""
        ...


class CachedContent(RemoteContent):
    """The bytes of a blob or reference, by its key in the cache."""

    __slots__ = (
        "__weakref__",
        "_cache",
        "_fetched_count",
        "_fetcher",
        "_given_up",
        "_in_turn",
        "_key",
        "_size",
        "_whole",
    )

    def __init__(
        self,
        cache: BlockCache,
        key: Digest,
        size_bytes: int,
        fetcher: BlockFetcher,
        *,
        whole: WholeCheck | None = None,
    ) -> None:
        self._cache = cache
        self._key = key
        self._size = size_bytes
        self._fetcher = fetcher
        self._whole = whole
        self._in_turn = forks.turn()
        self._given_up: BackendUnavailable | None = None
        self._fetched_count = 0

    @property
    def size_bytes(self) -> int:
        """See Content."""
        return self._size

    @property
    def remote(self) -> RemoteContent:
        """See Content."""
        return self

    @property
    def fetched_count(self) -> int:
        """See RemoteContent."""
        return self._fetched_count + self._fetcher.answers

    @property
    def cache_key(self) -> Digest:
        """See RemoteContent."""
        return self._key

    @property
    def has_parts(self) -> bool:
        """See RemoteContent."""
        return (
            self._whole is None
            and self._size > BLOCK_SIZE_BYTES
            and self._fetcher.has_parts
            and not self._fetcher.sends_all
        )

    @property
    def any_order(self) -> bool:
        """See Content.

        A source that sends everything serves who reads in order; so does an md5 of the whole.
        """
        return self._whole is None and not self._fetcher.sends_all

    def try_read(self, span: ByteRange) -> Buffer | None:
        """See Content: serves blocks that were loaded before, from the page cache.

        A file of the cache that was changed since is no longer what was found right.
        """
        data = bytearray(span.length)
        view = memoryview(data)
        position = span.start
        while position < span.stop:
            found = self._at_hand(position)
            if found is None:
                return None
            opened, start = found
            offset = position - start
            length = min(opened.size_bytes - offset, span.stop - position)
            if not opened.is_proved(ByteRange(offset, length)):
                return None
            part = view[position - span.start :][:length]
            try:
                count = os.preadv(opened.file.fd, [part], offset, os.RWF_NOWAIT)
                if count != length or file_state(opened.file.fd) != opened.state:
                    return None
            except OSError:
                # Not in memory, or a file system without RWF_NOWAIT.
                return None
            position += length
        return data

    def load_block(self, index: int) -> Buffer:
        """See Content."""
        [data] = self.load_run(index, 1)
        return data

    def load_run(self, first: int, count: int) -> Generator[Buffer]:
        """See RemoteContent."""
        index, stop = first, first + count
        while index < stop:
            data = self._cached(index)
            if data is not None:
                yield self._seen(index, data)
                index += 1
                continue
            # Its locks and its connection must not live as long as an error's traceback.
            with self._turn(index), closing(self._fetch(index, stop)) as found:
                for block in found:
                    yield self._seen(index, block)
                    index += 1

    def load_kept(self, index: int) -> Buffer | None:
        """See RemoteContent."""
        data = self._cached(index)
        return None if data is None else self._seen(index, data)

    def read_kept(self, span: ByteRange) -> Buffer | None:
        """See RemoteContent."""
        if self._whole is not None and not self._whole.is_done:
            # Its blocks are to be seen whole.
            return None
        parts: list[Buffer] = []
        position = span.start
        while position < span.stop:
            data = self._kept_at(position, span.stop)
            if data is None:
                return None
            parts.append(data)
            position += len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def load_part(self, span: ByteRange) -> Buffer | None:
        """See RemoteContent."""
        first, stop = span.start // PART_BYTES, -(-span.stop // PART_BYTES)
        if not self.has_parts:
            return None
        start = first * PART_BYTES
        around = ByteRange(start, min(stop * PART_BYTES, self._size) - start)
        with self._cache.flight(self._key, part_index(first), timeout_s=flight_timeout_s()):
            data = self.read_kept(span)
            if data is not None:
                return data
            data = self._fetcher.fetch_part(around)
            if data is None:
                return None
            self._fetched_count += 1
            view = memoryview(data)
            for number in range(first, stop):
                at = number * PART_BYTES - start
                self._keep(part_index(number), view[at : at + PART_BYTES])
        return view[span.start - start :][: span.length]

    def _places(self, position: int) -> tuple[tuple[int, ByteRange], ...]:
        """Under which indices the byte at a position may be kept, and what else is with it."""
        number = position // PART_BYTES
        start = number * PART_BYTES
        index = position // BLOCK_SIZE_BYTES
        return (
            (index, block_range(index, self._size)),
            (part_index(number), ByteRange(start, min(PART_BYTES, self._size - start))),
        )

    def _at_hand(self, position: int) -> tuple[OpenBlock, int] | None:
        """The open file that has the byte at a position, and where in the content it begins."""
        for index, span in self._places(position):
            opened = self._cache.opened(self._key, index)
            # What is behind a block in its file is none of its bytes.
            if opened is not None and opened.size_bytes == span.length:
                return opened, span.start
        return None

    def _kept_at(self, position: int, stop: int) -> Buffer | None:
        """Verified bytes from `position` on, `stop` at the latest, as far as one file has them."""
        expected = self._fetcher.expected(position // BLOCK_SIZE_BYTES)
        for index, span in self._places(position):
            part = ByteRange(position - span.start, min(stop, span.stop) - position)
            data = self._cache.read_span(self._key, index, part, expected=expected)
            opened = self._cache.opened(self._key, index)
            # One of another size is of a time when the source had that: see _cached.
            if data is not None and opened is not None and opened.size_bytes == span.length:
                return data
        return None

    def is_cached(self, index: int) -> bool:
        """See RemoteContent."""
        return self._cache.has(self._key, index)

    def _seen(self, index: int, data: Buffer) -> Buffer:
        if self._whole is not None:
            self._whole.seen(index, data)
        return data

    def _cached(self, index: int) -> Buffer | None:
        data = self._cache.read(self._key, index, expected=self._fetcher.expected(index))
        if data is not None and len(data) != block_range(index, self._size).length:
            # Of a time when the source had another size, and nothing that tells it apart.
            self._cache.drop(self._key, index)
            return None
        return data

    def _fetch(self, index: int, stop: int) -> Generator[Buffer]:
        """Block `index` and those behind it that nobody has or fetches, `stop` at the latest."""
        stop = min(stop, index + MAX_RUN_BLOCKS)
        if self._cache.bypassed:
            with closing(self._wanted(index, stop - index)) as wanted:
                yield from (data for _, data in wanted)
            return
        with self._cache.flight(self._key, index, timeout_s=flight_timeout_s()) as flight:
            data = self._cached(index)
            if data is not None:
                yield data
                return
            count = 1
            while index + count < stop and flight.extend(index + count):
                if self._cache.has(self._key, index + count):
                    flight.release(index + count)
                    break
                count += 1
            late_s = time.monotonic() + _MAX_RUN_S
            with closing(self._wanted(index, count)) as wanted:
                for number, block in wanted:
                    self._keep(number, block)
                    flight.release(number)
                    yield block
                    if time.monotonic() > late_s:
                        return

    @contextmanager
    def _turn(self, index: int) -> Iterator[None]:
        """One after the other, where each request would make the source begin all over.

        Whoever gets his turn may find that what he wants has come by. One who waited while another
        gave the source up shares that failure. Raises: DeadlineExceeded; that failure.
        """
        if not self._fetcher.sends_all:
            yield
            return
        known = self._given_up
        if not self._in_turn.acquire(timeout=flight_timeout_s()):
            raise DeadlineExceeded("source", "others read it for too long")
        try:
            if self._given_up not in {known, None} and not self.is_cached(index):
                assert self._given_up is not None
                raise self._given_up.with_traceback(None)
            try:
                yield
            except BackendUnavailable as error:
                self._given_up = error
                raise
        finally:
            self._in_turn.release()

    def _wanted(self, first: int, count: int) -> Generator[tuple[int, Buffer]]:
        """The blocks that were asked for; others that come are kept, if they are missing."""
        with closing(self._fetcher.fetch(first, count)) as found:
            for number, data in found:
                self._fetched_count += 1
                if first <= number < first + count:
                    yield number, data
                else:
                    self._keep(number, data)

    def _keep(self, number: int, data: Buffer) -> None:
        # It may have come into the cache by the way, as a neighbour of something else.
        reach_step("cache.fetched", "block")
        if not self._cache.has(self._key, number):
            proof = self._fetcher.expected(block_of(number))
            self._cache.put(self._key, number, data, proved_by=proof)
