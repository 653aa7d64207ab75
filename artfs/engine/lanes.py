"""The requests for one object of a server: as many at once as it was seen to answer.

An object that stalls must not take the places and the memory of its server's other objects, nor
need readers that wait for the same object more than one request to learn what becomes of it.
"""

from __future__ import annotations

import trio

from artfs.errors import DeadlineExceeded

MAX_WIDTH = 16
"""Half of the requests that a server may have."""


class Lane:
    """How many requests for one object are under way, and may be. For the loop only."""

    __slots__ = ("_error", "_failures", "_running", "_waiting", "_width", "reserved_bytes")

    def __init__(self) -> None:
        self.reserved_bytes = 0
        self._running = 0
        self._width = 1
        self._waiting = trio.lowlevel.ParkingLot()
        self._failures = 0
        self._error: DeadlineExceeded | None = None

    @property
    def is_full(self) -> bool:
        """Whether a request would not begin now."""
        return self._running >= self._width

    async def enter(self) -> None:
        """Wait for a place. Raises: the DeadlineExceeded of a request that was waited for."""
        known = self._failures
        while self.is_full:
            await self._waiting.park()
            if self._failures != known and self._error is not None:
                raise self._error.with_traceback(None)
        self.enter_nowait()

    def enter_nowait(self) -> None:
        """Take a place that is there."""
        self._running += 1

    def leave(self, error: DeadlineExceeded | None) -> None:
        """Give a place back; once for each that was taken.

        `error`: there was no answer in time. Whoever waits for the place need not find out again.
        """
        self._running -= 1
        if error is None:
            self._let_in()
            return
        self._width = 1
        self._failures += 1
        self._error = error
        self._waiting.unpark_all()

    def note_block(self) -> None:
        """A block has come: one more request at a time is worth it."""
        self._width = min(self._width + 1, MAX_WIDTH)
        self._let_in()

    def _let_in(self) -> None:
        room = self._width - self._running
        if room > 0:
            self._waiting.unpark(count=room)
