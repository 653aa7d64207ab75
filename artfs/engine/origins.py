"""Where content comes from: each origin has its share, and one that only hangs is left alone.

A server that takes requests and never answers would cost every reader a whole deadline, and the
kernel lets only so many reads of a mount wait. After some silences in a row its reads fail at
once, until one request that is let through as a trial shows that it answers again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple
from weakref import WeakValueDictionary

import trio
from cachetools import LRUCache

from artfs.engine.blocking import Threads, Work
from artfs.errors import BackendUnavailable, DeadlineExceeded

MAX_WIDTH = 16
"""Half of the requests that a server may have."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
MAX_SILENCES = 8
"""So many requests in a row that end without any answer are enough."""
PAUSE_S = 3.0
"""From there, and from each trial that fails, to the next trial."""
_REQUESTS = 32
_BUDGET_SHARE = 0.75
_MAX_PATIENCE_S = 10.0
_MAX_IDLE = 256


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


class Origin:
    """A server, or whatever else may be slow for all that comes from it. For the loop only."""

    __slots__ = (
        "__weakref__",
        "_answered_s",
        "_in_trial",
        "_most",
        "_name",
        "_patience_s",
        "_running",
        "_silences",
        "_trial_s",
        "_waiting",
        "budget_share",
        "reserved_bytes",
    )

    def __init__(
        self,
        name: str = "the store",
        *,
        requests: float = math.inf,
        budget_share: float = 1,
        patience_s: float = math.inf,
    ) -> None:
        """`patience_s`: a request without an answer for so long counts as a silence."""
        self.budget_share = budget_share
        self.reserved_bytes = 0
        self._name = name
        self._most = requests
        self._patience_s = patience_s
        self._running = 0
        self._waiting = trio.lowlevel.ParkingLot()
        self._silences = 0
        self._answered_s = -math.inf
        self._trial_s = 0.0
        self._in_trial = False

    @property
    def is_silent(self) -> bool:
        """Whether it only hangs, as far as is known: reads fail at once."""
        return self._silences >= MAX_SILENCES

    @property
    def is_busy(self) -> bool:
        """Whether a request would not begin now."""
        return self.is_silent or self._running >= self._most

    async def run(
        self,
        threads: Threads,
        work: Work,
        function: Callable[[*Ts], T],
        *arguments: *Ts,
        answers: Callable[[], int] | None = None,
        on_leave: Callable[[DeadlineExceeded | None], None] | None = None,
    ) -> T:
        """Call `function`, a request to it, in a thread, once there is a place.

        Whoever cancels this does so because it took too long. The place is held until the thread
        ends, however long that takes. `answers` counts what has come from the origin, where the
        function may get its result elsewhere, or fail in spite of an answer. `on_leave` is called
        when the thread has ended, or is not going to begin, with its DeadlineExceeded.
        Raises: what `function` does; DeadlineExceeded at once where the origin is silent.
        """
        request = _Request(self, on_leave)
        before = answers() if answers is not None else -1

        def has_answered() -> bool:
            return answers is not None and answers() != before

        def ask() -> T:
            try:
                result = function(*arguments)
            except Exception as error:
                request.answered = has_answered()
                request.error = error
                raise
            request.answered = answers is None or has_answered()
            return result

        try:
            return await threads.run(work, ask, door=request)
        except (trio.Cancelled, DeadlineExceeded):
            if has_answered():
                # It began to answer: that this one is not whole is no silence of the server.
                self.note_answer()
            else:
                self._note_silence(request)
            raise
        except BackendUnavailable:
            # A refused connection, or an overloaded server: at least it does not hang.
            raise
        except Exception:
            self.note_answer()
            raise
        finally:
            if request.is_trial:
                self._in_trial = False
            if on_leave is not None and not request.has_entered:
                on_leave(None)

    def note_answer(self) -> None:
        """It has answered something."""
        self._silences = 0
        self._answered_s = trio.current_time()

    def _note_silence(self, request: _Request) -> None:
        now_s = trio.current_time()
        if now_s - max(request.began_s, self._answered_s) < self._patience_s:
            return
        self._silences += 1
        if self.is_silent:
            self._trial_s = now_s + PAUSE_S
            # They need not wait until their own time is up.
            self._waiting.unpark_all()

    async def _enter(self) -> bool:
        """Wait for a place; whether the request is a trial. Raises: DeadlineExceeded."""
        while not self.is_silent:
            if self._running < self._most:
                self._running += 1
                return False
            await self._waiting.park()
        if self._in_trial or trio.current_time() < self._trial_s:
            raise DeadlineExceeded(
                self._name,
                "its last requests got no answer in time",
                hint="it is asked again every few seconds",
            )
        self._in_trial = True
        # It does not wait for the places of those that hang.
        self._running += 1
        return True

    def _leave(self, request: _Request) -> None:
        self._running -= 1
        if request.answered:
            self.note_answer()
        if self._running < self._most:
            self._waiting.unpark()


class _Request:
    """One request; implements Door."""

    __slots__ = ("_on_leave", "_origin", "answered", "began_s", "error", "has_entered", "is_trial")

    def __init__(
        self, origin: Origin, on_leave: Callable[[DeadlineExceeded | None], None] | None
    ) -> None:
        self._origin = origin
        self._on_leave = on_leave
        self.error: Exception | None = None
        self.has_entered = False
        self.answered = False
        """Set by the thread, also when nobody waits for it any more."""
        self.began_s = math.inf
        self.is_trial = False

    async def enter(self) -> None:
        """See Door."""
        self.is_trial = await self._origin._enter()  # noqa: SLF001 - its other half
        self.has_entered = True

    def begin(self) -> None:
        """See Door."""
        self.began_s = trio.current_time()

    def leave(self) -> None:
        """See Door."""
        self._origin._leave(self)  # noqa: SLF001 - its other half
        if self._on_leave is not None:
            error, self.error = self.error, None
            self._on_leave(error if isinstance(error, DeadlineExceeded) else None)


class Origins:
    """The origins of one mount, by name."""

    def __init__(self, *, timeout_s: float) -> None:
        """`timeout_s` is that of a flight."""
        self._patience_s = min(timeout_s / 2, _MAX_PATIENCE_S)
        self._known: WeakValueDictionary[str, Origin] = WeakValueDictionary()
        # What was learnt of one should outlive its last reader.
        self._idle: LRUCache[str, Origin] = LRUCache(_MAX_IDLE)

    def get(self, name: str) -> Origin:
        """The origin of this name."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = Origin(
                name,
                requests=_REQUESTS,
                budget_share=_BUDGET_SHARE,
                patience_s=self._patience_s,
            )
        self._idle[name] = found
        return found


def server_of(uri: str) -> str:
    """The name of the origin of what is at a URI."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
