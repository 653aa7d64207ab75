"""The one bridge from tasks to blocking code."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol, TypeVar, TypeVarTuple, cast

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

NETWORK_THREADS = 64
DISK_THREADS = 8
CALLERS_THREADS = 2


class Work(Enum):
    """What blocking code mostly waits for: each kind has threads of its own."""

    NETWORK = "network"
    DISK = "disk"
    """The disk, and the hashing of what comes from it."""
    CALLERS = "callers"
    """Other processes, to be told about by /proc."""


class Door(Protocol):
    """What a call has to pass before it may have a thread; used on the loop only."""

    async def enter(self) -> None:
        """Wait until it may go on; what this raises ends the call."""
        ...

    def begin(self) -> None:
        """The thread starts."""
        ...

    def leave(self) -> None:
        """The thread has ended, or there was none; once for each `enter` that returned."""
        ...


class Threads:
    """Runs blocking code in threads, a limited number for each kind of work."""

    def __init__(self) -> None:
        self._limiters = {
            Work.NETWORK: trio.CapacityLimiter(NETWORK_THREADS),
            Work.DISK: trio.CapacityLimiter(DISK_THREADS),
            Work.CALLERS: trio.CapacityLimiter(CALLERS_THREADS),
        }

    async def run(
        self,
        work: Work,
        function: Callable[[*Ts], T],
        *arguments: *Ts,
        door: Door | None = None,
    ) -> T:
        """Call `function` in a thread and return or raise what it does.

        When the caller is cancelled the thread is left to itself: it keeps its place among the
        threads, and behind the door, until it returns, and what it returns is dropped.
        """
        limiter: trio.CapacityLimiter | _Behind = self._limiters[work]
        if door is not None:
            limiter = _Behind(door, self._limiters[work])
        return await trio.to_thread.run_sync(
            function,
            *arguments,
            abandon_on_cancel=True,
            # What trio asks of a limiter is these two methods.
            limiter=cast("trio.CapacityLimiter", limiter),
        )


class _Behind:
    """A limiter behind a door, as `trio.to_thread.run_sync` takes one."""

    def __init__(self, door: Door, limiter: trio.CapacityLimiter) -> None:
        self._door = door
        self._limiter = limiter

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Wait for both."""
        await self._door.enter()
        try:
            await self._limiter.acquire_on_behalf_of(borrower)
        except BaseException:
            self._door.leave()
            raise
        self._door.begin()

    def release_on_behalf_of(self, borrower: object) -> None:
        """Give both back."""
        self._limiter.release_on_behalf_of(borrower)
        self._door.leave()
