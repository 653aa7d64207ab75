"""Blocks out of what a source sends, whatever breaks on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from hashlib import sha256

from artfs import forks
from artfs.errors import BackendUnavailable, DeadlineExceeded, ReferenceChanged
from artfs.model import BLOCK_SIZE_BYTES, Buffer, ByteRange, block_range
from artfs.references.base import Body, Source, TransientFailure
from artfs.references.retry import Deadline, RetryPolicy, limit_hint, retrying

_PROGRESS_BYTES = 64 * 1024
"""A connection that brought less of what is missing is no reason to try on without a pause."""
_ENDLESS = 1 << 62


class SourceBlocks:
    """Fetches the blocks of one source of known size; implements BlockFetcher.

    What came of a block before a failure is kept, so that the next call goes on there. So is the
    connection of a server that ignores ranges, which would begin all over otherwise.
    """

    def __init__(
        self, source: Source, subject: str, size_bytes: int, *, policy: RetryPolicy
    ) -> None:
        self._source = source
        self._subject = subject
        self._size = size_bytes
        self._policy = policy
        self._lock = forks.lock()
        self._parked: _Stream | None = None
        forks.in_child(self._forget_parked)
        self.sends_all = False
        self.has_parts = True
        self.answers = 0

    def fetch(self, first: int, count: int) -> Generator[tuple[int, Buffer]]:
        """See BlockFetcher."""
        stream = self._take_parked(first)
        stop = first + count
        span_stop = min(stop * BLOCK_SIZE_BYTES, self._size)
        deadline, reached = Deadline(self._policy), first
        try:
            while stream.index < stop:
                if stream.index > reached:
                    # Each block that was asked for has its own budget; the way to one is part of
                    # it, however often a server makes us begin all over.
                    deadline, reached = Deadline(self._policy), stream.index
                data = retrying(
                    self._policy,
                    lambda running: stream.advance(self._source, span_stop, running),
                    deadline=deadline,
                )
                self.sends_all |= stream.is_whole
                yield stream.index - 1, data
        finally:
            self.sends_all |= stream.is_whole
            self._park(stream)

    def fetch_part(self, span: ByteRange) -> Buffer | None:
        """See BlockFetcher."""
        received = bytearray()

        def attempt(deadline: Deadline) -> Buffer | None:
            position = span.start + len(received)
            began_s, before = time.monotonic(), len(received)
            wanted = ByteRange(position, span.stop - position)
            with self._source.read(wanted, timeout_s=deadline.step_s) as body:
                if body.whole:
                    self.sends_all = True
                    return None
                skipped = position - body.start
                for piece in body:
                    self._note_bytes()
                    deadline.received_bytes += len(piece)
                    received.extend(memoryview(piece)[skipped:])
                    skipped = max(0, skipped - len(piece))
                    elapsed_s = time.monotonic() - began_s
                    if deadline.is_too_slow(len(received) - before, elapsed_s):
                        raise TransientFailure(self._subject, "answers too slowly", timed_out=True)
                    if len(received) > span.length:
                        raise ReferenceChanged(
                            self._subject, f"{span.length} bytes were asked for, more came"
                        )
            if len(received) < span.length:
                raise TransientFailure(self._subject, "the server sent less than it has")
            return received

        return retrying(self._policy, attempt)

    def expected(self, index: int) -> None:  # noqa: ARG002 - the port's signature
        """See BlockFetcher: nothing is known of single blocks of a source."""
        return

    def _forget_parked(self) -> None:
        # Its connection is the parent's.
        self._parked = None

    def _take_parked(self, index: int) -> _Stream:
        with self._lock:
            parked = self._parked
            if parked is not None and parked.leads_to(index):
                self._parked = None
                return parked
        return _Stream(self._subject, self._size, index, on_bytes=self._note_bytes)

    def _note_bytes(self) -> None:
        self.answers += 1

    def _park(self, stream: _Stream) -> None:
        stream.settle()
        if stream.is_worth_keeping:
            with self._lock:
                stream, self._parked = self._parked or stream, stream
        if stream is not self._parked:
            stream.close()


def measure(source: Source, subject: str, *, policy: RetryPolicy) -> Iterator[tuple[int, bytes]]:
    """All blocks of a source that tells its size only by ending.

    They are the whole when the iteration ends: either the source told its end from that of the
    connection, or a second reading had the same bytes and ended there as well.
    Raises: as Source does; BackendUnavailable where two readings differ.
    """
    seen, size_bytes = sha256(), 0
    index, pending = 0, bytearray()
    tells_end = True
    for piece, told in _everything(source, subject, policy):
        tells_end = told
        seen.update(piece)
        size_bytes += len(piece)
        pending += piece
        while len(pending) >= BLOCK_SIZE_BYTES:
            yield index, bytes(pending[:BLOCK_SIZE_BYTES])
            del pending[:BLOCK_SIZE_BYTES]
            index += 1
    if pending:
        yield index, bytes(pending)
    if not tells_end:
        again, again_bytes = sha256(), 0
        for piece, _ in _everything(source, subject, policy):
            again.update(piece)
            again_bytes += len(piece)
        if (size_bytes, seen.digest()) != (again_bytes, again.digest()):
            raise BackendUnavailable(
                subject,
                f"does not say its length, and two readings of it differ ({size_bytes} and "
                f"{again_bytes} bytes)",
                hint="try again",
            )


def _everything(source: Source, subject: str, policy: RetryPolicy) -> Iterator[tuple[bytes, bool]]:
    """One reading of a source of unknown size: its pieces, and whether its end will be told."""
    deadline = Deadline(policy)
    body = retrying(
        policy,
        lambda running: source.read(ByteRange(0, _ENDLESS), timeout_s=running.step_s),
        deadline=deadline,
    )
    with body:
        if not body.whole:
            raise BackendUnavailable(subject, "does not say its length, and sent a part of it")
        # An empty body has an end, too.
        yield b"", body.tells_end
        for piece in body:
            yield piece, body.tells_end
            if not deadline.remaining_s:
                raise DeadlineExceeded(
                    subject, "too slow to be read to its end for its size", hint=limit_hint(policy)
                )


class _Stream:
    """The block that comes next, as much of it as has come, and the connection it comes by."""

    def __init__(
        self, subject: str, size_bytes: int, index: int, *, on_bytes: Callable[[], None]
    ) -> None:
        self._on_bytes = on_bytes
        self._subject = subject
        self._size = size_bytes
        self.index = index
        self._pending = bytearray()
        self._body: Body | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._skip_bytes = 0
        self._body_bytes = 0
        self._new_bytes = 0
        self._opened_s = 0.0
        self.is_whole = False
        """Whether the last connection sends all of the content from its start."""

    def leads_to(self, index: int) -> bool:
        """Whether going on here is the way to a block."""
        return self.index == index or (
            self.is_whole and self._body is not None and self.index < index
        )

    @property
    def is_worth_keeping(self) -> bool:
        """Whether a connection or a part of a block would be lost."""
        ended = self.index * BLOCK_SIZE_BYTES >= self._size
        return not ended and (self._body is not None or bool(self._pending))

    def advance(self, source: Source, span_stop: int, deadline: Deadline) -> bytearray:
        """The next block; afterwards `index` is one more. Raises: as Source does."""
        while True:
            wanted = block_range(self.index, self._size).length
            if len(self._pending) >= wanted:
                return self._cut(wanted)
            if not deadline.remaining_s:
                raise DeadlineExceeded(
                    self._subject,
                    f"too slow: not there within its deadline ({deadline.account})",
                    hint=limit_hint(deadline.policy),
                )
            if self._body is None:
                self._open(source, span_stop, deadline)
            received = self._receive()
            deadline.received_bytes += received
            if received:
                self._on_bytes()
            elapsed_s = time.monotonic() - self._opened_s
            if deadline.is_too_slow(self._body_bytes, elapsed_s):
                self.close()
                raise TransientFailure(
                    self._subject,
                    f"{self._body_bytes} bytes in {elapsed_s:.0f} s",
                    timed_out=True,
                )

    def settle(self) -> None:
        """Give a connection back whose range is read to its end."""
        if self._body is not None and not self.is_whole:
            try:
                next(self._pieces, None)
            except BackendUnavailable:
                pass
            finally:
                self.close()

    def close(self) -> None:
        """Let the connection go."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def _open(self, source: Source, span_stop: int, deadline: Deadline) -> None:
        position = self.index * BLOCK_SIZE_BYTES + len(self._pending)
        span = ByteRange(position, max(span_stop, position + 1) - position)
        body = source.read(span, timeout_s=deadline.step_s)
        self.is_whole = body.whole
        if body.whole and position > 0:
            # It begins all over: so do we, and keep what comes by.
            self.index = 0
            self._pending.clear()
            position = 0
        self._skip_bytes = position - body.start
        self._body, self._pieces = body, iter(body)
        self._body_bytes = self._new_bytes = 0
        self._opened_s = time.monotonic()

    def _receive(self) -> int:
        """Take the next piece; its length."""
        try:
            piece = next(self._pieces, b"")
        except TransientFailure:
            self.close()
            if self._made_progress:
                return 0
            raise
        if not piece:
            self.close()
            if not self._made_progress:
                raise TransientFailure(self._subject, "the server sent less than it has")
            return 0
        self._body_bytes += len(piece)
        skipped = min(self._skip_bytes, len(piece))
        self._skip_bytes -= skipped
        self._new_bytes += len(piece) - skipped
        self._pending += memoryview(piece)[skipped:]
        return len(piece)

    @property
    def _made_progress(self) -> bool:
        """Whether this connection brought enough of what was missing to try on at once."""
        return self._new_bytes >= _PROGRESS_BYTES and not self.is_whole

    def _cut(self, length: int) -> bytearray:
        # What comes behind the block is little: it is copied, and the block is not.
        data, self._pending = self._pending, self._pending[length:]
        del data[length:]
        self.index += 1
        if self.index * BLOCK_SIZE_BYTES >= self._size:
            self._check_end()
        return data

    def _check_end(self) -> None:
        """Raises: ReferenceChanged where a body goes on behind what should be the last byte."""
        goes_on = bool(self._pending)
        try:
            while self._body is not None and not goes_on:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                goes_on = bool(piece)
        except TransientFailure as error:
            if not error.overlong:
                # Everything came, but whether that is all of it nobody knows.
                self._begin_again()
                raise
            goes_on = True
        if goes_on:
            self._begin_again()
            raise ReferenceChanged(self._subject, f"pinned at {self._size} bytes, more came")

    def _begin_again(self) -> None:
        """Forget the block that was just cut."""
        self.close()
        self._pending.clear()
        self.index -= 1
