"""The one bridge from tasks to blocking code."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TypeVar, TypeVarTuple

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


class Threads:
    """Runs blocking code in threads, a limited number for each kind of work."""

    def __init__(self) -> None:
        self._limiters = {
            Work.NETWORK: trio.CapacityLimiter(NETWORK_THREADS),
            Work.DISK: trio.CapacityLimiter(DISK_THREADS),
            Work.CALLERS: trio.CapacityLimiter(CALLERS_THREADS),
        }

    async def run(self, work: Work, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call `function` in a thread and return or raise what it does.

        When the caller is cancelled the thread is left to itself: it keeps its place among the
        threads until it returns, and what it returns is dropped.
        """
        return await trio.to_thread.run_sync(
            function, *arguments, abandon_on_cancel=True, limiter=self._limiters[work]
        )
