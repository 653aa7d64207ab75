"""This user's block cache."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from hashlib import md5
from pathlib import Path
from threading import Event
from typing import Protocol

import msgspec

from artfs import forks
from artfs.blobs.cache import BlockCache
from artfs.blobs.cache_eviction import Quota
from artfs.content.base import RemoteContent
from artfs.errors import BackendUnavailable, ConfigError, DeadlineExceeded, IntegrityError
from artfs.model import BLOCK_SIZE_BYTES, Buffer, ByteRange, Digest, block_count, block_range
from artfs.settings import CACHE_VARIABLE, cache_limit_bytes, cache_path, timeout_s
from artfs.system.directories import own_directory
from artfs.system.files import file_state

_NOWHERE = Path("/proc/no-home/artfs")

logger = logging.getLogger(__name__)

MAX_RUN_BLOCKS = 8
"""The most blocks that one request asks for."""
_FLIGHT_SHARE = 0.8
_MAX_RUN_S = 10.0
"""A run that takes longer ends with the block that it is at: others may wait for the next ones."""
_CATCH_UP_BLOCKS = 2


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

    def expected(self, index: int) -> bytes | None:
        """The SHA-256 of a block, where it is known."""
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
            index, offset = divmod(position, BLOCK_SIZE_BYTES)
            opened = self._cache.opened(self._key, index)
            # What is behind a block in its file is none of its bytes.
            if opened is None or opened.size_bytes != block_range(index, self._size).length:
                return None
            length = min(BLOCK_SIZE_BYTES - offset, span.stop - position)
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
        if not self._cache.has(self._key, number):
            self._cache.put(self._key, number, data)


ECHO_S = 5.0
"""How long all blocks fail of content that was found wrong, once a reader heard of it."""


class WholeCheck:
    """Compares the md5 of whole content, once all of it has been read, in whatever order.

    Content in one block is checked before anybody sees it. Of larger content the last block that
    was missing fails if the whole is wrong, and all blocks are dropped. Who hears of that may be
    read-ahead, which tells nobody, while others have read wrong blocks: so all blocks go on failing
    until that was heard again, and for `ECHO_S` from then on. Thread-safe.
    """

    def __init__(
        self,
        cache: BlockCache,
        key: Digest,
        expected: bytes,
        content: ContentToCheck,
        *,
        state: bytes = b"",
        lasts: bool = True,
    ) -> None:
        """`state`: where the content is a file, the one in which it is; it holds for that alone.

        Unless it `lasts`, nobody else is told of it, nor told by others.
        """
        self._cache = cache
        self._key = key
        self._expected = expected
        self._note = expected + state
        self._content = content
        self._count = block_count(content.size_bytes)
        self._lock = forks.lock()
        self._state = md5()
        self._next = 0
        self._seen = bytearray(self._count)
        self._done = Event()
        self._failure: IntegrityError | None = None
        self._heard_s: float | None = None
        self._lasts = lasts
        if lasts and cache.read_note(key) == self._note:
            self._done.set()

    def seen(self, index: int, data: Buffer) -> None:
        """Told of each block before it is handed out.

        Blocks: hashing, and now and then disk. Raises: IntegrityError.
        """
        if self._done.is_set():
            return
        with self._lock:
            if self._done.is_set():
                return
            if self._failure is not None:
                self._fail_again(self._failure, index)
            self._seen[index] = 1
            if index == self._next:
                self._take(data)
            self._catch_up()
            if self._next == self._count:
                self._finish()

    @property
    def is_done(self) -> bool:
        """Whether all was found right."""
        return self._done.is_set()

    def has_seen(self, span: ByteRange) -> bool:
        """Whether no byte of `span` is new to it."""
        first, last = span.start // BLOCK_SIZE_BYTES, (span.stop - 1) // BLOCK_SIZE_BYTES
        return self._done.is_set() or all(self._seen[first : last + 1])

    def _take(self, data: Buffer) -> None:
        self._state.update(data)
        self._next += 1

    def _catch_up(self) -> None:
        """Hash what came out of order: little by little, and all once nothing is missing."""
        budget = self._count if all(self._seen) else _CATCH_UP_BLOCKS
        while budget and self._next < self._count and self._seen[self._next]:
            block = self._content.reread(self._next)
            if block is None:
                self._seen[self._next] = 0
                return
            self._take(block)
            budget -= 1

    def _finish(self) -> None:
        right = self._state.digest() == self._expected
        self._state, self._next, self._seen = md5(), 0, bytearray(self._count)
        if right:
            self._done.set()
            if self._lasts:
                self._cache.write_note(self._key, self._note)
            return
        for index in range(self._count):
            self._cache.drop(self._key, index)
        failure = IntegrityError(
            self._content.subject,
            f"its content does not have the md5 {self._expected.hex()} that it was pinned with",
            hint="what was cached of it is fetched again",
        )
        if self._count > 1:
            self._failure, self._heard_s = failure, None
        raise failure

    def _fail_again(self, failure: IntegrityError, index: int) -> None:
        """Tell a reader of a failure that he may be concerned by; forget it in the end."""
        now = time.monotonic()
        if self._heard_s is None:
            self._heard_s = now
        elif now - self._heard_s > ECHO_S:
            self._failure = None
            return
        self._cache.drop(self._key, index)
        raise failure.with_traceback(None)


class ContentToCheck(msgspec.Struct, frozen=True):
    """What WholeCheck has to know."""

    subject: str
    size_bytes: int
    reread: Callable[[int], Buffer | None]
    """A block that was seen, from where it is cheap; None where it no longer is."""
