"""Work that several tasks wait for, done once.

A flight belongs to a nursery and not to the task that asked first: a task that gives up does not
take the result from the others. What fails reaches every waiter and is forgotten, so that the
next one tries again. Only that a source was given up is remembered for a moment: where the
kernel's read-ahead fails it reads the same place once more, for the same caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Generic, TypeVar

import trio

from artfs.errors import BackendUnavailable, DeadlineExceeded, IntegrityError

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
Land = Callable[[T], None]

ECHO_S = 1.0
"""How long a flight that failed for want of its source is what others join."""
_AT_ONCE_S = 0.25
"""Several attempts take longer than that."""


class Flight(Generic[T]):
    """Work under way, or just ended."""

    __slots__ = ("_done", "_error", "_results", "started")

    def __init__(self) -> None:
        self.started = trio.current_time()
        self._done = trio.Event()
        self._results: list[T] = []
        self._error: Exception | None = None

    @property
    def is_late(self) -> bool:
        """Whether it failed because its source was given up, and has just done so."""
        return _is_late(self._error, self.started)

    async def landed(self) -> T:
        """The result. Raises: what the work raised; DeadlineExceeded."""
        await self._done.wait()
        if self._error is not None:
            # Several tasks raise the same error: each begins with a traceback of its own.
            raise self._error.with_traceback(None)
        return self._results[0]

    def land(self, result: T) -> None:
        """Hand the result to everybody."""
        self._results.append(result)
        self._done.set()

    def fail(self, error: Exception) -> None:
        """Let everybody who waits raise `error`; one that has landed already stays as it is."""
        if not self._done.is_set():
            self._error = error
            self._done.set()

    async def fly(self, work: Callable[[], Awaitable[T]], timeout_s: float) -> None:
        """Do the work, and let everybody know."""
        try:
            with trio.move_on_after(timeout_s) as scope:
                self.land(await work())
            if scope.cancelled_caught:
                self.fail(_too_late(timeout_s))
        except Exception as error:  # noqa: BLE001 - it is raised in every task that waits
            self.fail(error)
        finally:
            # It is still flying only where the nursery was cancelled.
            self.fail(_ended())


class Flights(Generic[T]):
    """Flights by key; every one of them ends within a timeout."""

    def __init__(self, nursery: trio.Nursery, *, timeout_s: float) -> None:
        self._nursery = nursery
        self._timeout_s = timeout_s
        self._flying: dict[Hashable, Flight[T]] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._flying

    def join(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> Flight[T]:
        """The flight of this key that is under way, or a new one that does `work`."""
        flight = self._flying.get(key)
        if flight is None:
            flight = self._flying[key] = Flight()
            self._nursery.start_soon(self._fly, key, flight, work)
        return flight

    def start_run(
        self,
        keys: Sequence[K],
        work: Callable[[Land[T]], Awaitable[None]],
        *,
        alone: Callable[[K], Awaitable[T]],
    ) -> None:
        """Start flights of `keys`, none of which is flying, that one piece of work lands in order.

        Each has the timeout from when the one before it landed. A failure is told to all that have
        not landed; but an IntegrityError only concerns the first of them, and what is behind it
        flies again, `alone`.
        """
        flights = deque((key, Flight[T]()) for key in keys)
        self._flying.update(flights)
        self._nursery.start_soon(self._fly_run, flights, work, alone)

    async def _fly_run(
        self,
        flights: deque[tuple[K, Flight[T]]],
        work: Callable[[Land[T]], Awaitable[None]],
        alone: Callable[[K], Awaitable[T]],
    ) -> None:
        error: Exception = _ended()
        started_s = trio.current_time()
        try:
            with trio.move_on_after(self._timeout_s) as scope:

                def land(result: T) -> None:
                    key, flight = flights.popleft()
                    del self._flying[key]
                    flight.land(result)
                    scope.deadline = trio.current_time() + self._timeout_s

                await work(land)
            if scope.cancelled_caught:
                error = _too_late(self._timeout_s)
        except IntegrityError as damage:
            error = damage
            while len(flights) > 1:
                key, flight = flights.pop()
                self._nursery.start_soon(self._fly, key, flight, partial(alone, key))
        except Exception as failure:  # noqa: BLE001 - it is raised in every task that waits
            error = failure
        finally:
            for _, flight in flights:
                flight.fail(error)
            try:
                if _is_late(error, started_s):
                    await trio.sleep(ECHO_S)
            finally:
                for key, _ in flights:
                    del self._flying[key]

    async def _fly(
        self, key: Hashable, flight: Flight[T], work: Callable[[], Awaitable[T]]
    ) -> None:
        try:
            await flight.fly(work, self._timeout_s)
            if flight.is_late:
                await trio.sleep(ECHO_S)
        finally:
            del self._flying[key]


def _is_late(error: Exception | None, started_s: float) -> bool:
    """Whether it took time to fail like this: what is refused at once may be asked for at once."""
    return isinstance(error, BackendUnavailable) and trio.current_time() - started_s > _AT_ONCE_S


def _too_late(timeout_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        "the store", f"no answer within {timeout_s:g} s", hint="`-o timeout=S` waits longer"
    )


def _ended() -> BackendUnavailable:
    return BackendUnavailable("the mount", "it is being ended")
