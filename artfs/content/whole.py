"""What is pinned by the md5 of the whole is compared with it, in whatever order it is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import md5
from threading import Event

import msgspec

from artfs import forks
from artfs.blobs.cache import BlockCache
from artfs.errors import IntegrityError
from artfs.model import BLOCK_SIZE_BYTES, Buffer, ByteRange, Digest, block_count

_CATCH_UP_BLOCKS = 2

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
