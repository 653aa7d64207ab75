"""Work that several tasks wait for, done once.

A flight belongs to a nursery and not to the task that asked first: a task that gives up does not
take the result from the others. What fails reaches every waiter and is forgotten, so that the
next one tries again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import trio

from artfs.errors import BackendUnavailable, DeadlineExceeded

T = TypeVar("T")


class Flight(Generic[T]):
    """Work under way, or just ended."""

    __slots__ = ("_done", "_error", "_results", "started")

    def __init__(self) -> None:
        self.started = trio.current_time()
        self._done = trio.Event()
        self._results: list[T] = []
        self._error: Exception | None = None

    async def landed(self) -> T:
        """The result. Raises: what the work raised; DeadlineExceeded."""
        await self._done.wait()
        if self._error is not None:
            # Several tasks raise the same error: each begins with a traceback of its own.
            raise self._error.with_traceback(None)
        return self._results[0]

    async def fly(self, work: Callable[[], Awaitable[T]], timeout_s: float) -> None:
        """Do the work, and let everybody know."""
        # What stands unless one of the lines below takes its place: the nursery was cancelled.
        self._error = BackendUnavailable("the mount", "it is being ended")
        try:
            with trio.move_on_after(timeout_s) as scope:
                self._results.append(await work())
                self._error = None
            if scope.cancelled_caught:
                self._error = DeadlineExceeded("the store", f"no answer within {timeout_s:g} s")
        except Exception as error:  # noqa: BLE001 - it is raised in every task that waits
            self._error = error
        finally:
            self._done.set()


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

    async def _fly(
        self, key: Hashable, flight: Flight[T], work: Callable[[], Awaitable[T]]
    ) -> None:
        try:
            await flight.fly(work, self._timeout_s)
        finally:
            del self._flying[key]
