"""The loop that takes requests from the kernel, without trio's scheduler between two of them.

pyfuse3 waits for each request by a trio lock and by epoll. That is three turns of trio's scheduler,
longer than most of our handlers take. While requests come one after the other, as from `cp` or
`tar`, none of it is needed: the descriptor says at once whether another request is there.

pyfuse3 takes everything it needs of trio from its own global `trio`, and replaces that itself in
its asyncio mode. We put there a trio whose lock and whose wait are cheaper.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from types import ModuleType
from typing import Any

import pyfuse3
import trio

_MIN_TASKS = 4
_MAX_TASKS = 4096
TURN_S = 0.001
"""After this long other tasks are let in, however many requests there are."""

SPIN_S = 0.00003
"""How long to look for the next request before sleeping: to be woken takes longer than that."""

_now_s = time.perf_counter


async def serve_requests() -> None:
    """Serve the mount until it is unmounted or this is cancelled; call it once in a process."""
    vars(pyfuse3)["trio"] = lean_trio()
    await pyfuse3.main(min_tasks=_MIN_TASKS, max_tasks=_MAX_TASKS)


def lean_trio() -> StandIn:
    """trio, but for a cheaper lock and a cheaper wait."""
    lowlevel = StandIn(trio.lowlevel, wait_readable=RequestWait().wait_readable)
    return StandIn(trio, Lock=EagerLock, lowlevel=lowlevel)


class StandIn:
    """A module in which some names are others; all the rest is the module's own."""

    def __init__(self, module: ModuleType, **others: object) -> None:
        self._module = module
        vars(self).update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class EagerLock:
    """A lock that costs nothing where it is free, and goes to whoever comes first.

    trio's own lets others run whenever it is taken, and hands itself to who has waited longest:
    then each request would be received by another task than the last one.
    """

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[trio.lowlevel.Task] = deque()

    async def __aenter__(self) -> None:
        while self._held:
            task = trio.lowlevel.current_task()
            self._waiting.append(task)

            def give_up(_raise: object, task: trio.lowlevel.Task = task) -> trio.lowlevel.Abort:
                self._waiting.remove(task)
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(give_up)
        self._held = True

    async def __aexit__(self, *_error: object) -> None:
        self._held = False
        if self._waiting:
            # It runs as soon as we wait for anything else than a request; it may find the lock
            # held again, and waits on.
            trio.lowlevel.reschedule(self._waiting.popleft())


class RequestWait:
    """Waits until the kernel has a request."""

    def __init__(self, *, spin_s: float | None = None) -> None:
        """`spin_s`: see SPIN_S, which is the default where the client has a processor beside us."""
        alone = len(os.sched_getaffinity(0)) == 1
        self._spin_s = (0.0 if alone else SPIN_S) if spin_s is None else spin_s
        self._spins = True
        self._poll = select.poll()
        self._fd = -1
        self._turn_began_s = _now_s()

    async def wait_readable(self, fd: int) -> None:
        """Return once `fd` is readable. Raises: trio.ClosedResourceError; OSError."""
        began_s = _now_s()
        if began_s - self._turn_began_s > TURN_S:
            await trio.lowlevel.checkpoint()
            self._turn_began_s = began_s = _now_s()
        if fd != self._fd:
            self._poll.register(fd, select.POLLIN)
            self._fd = fd
        poll = self._poll.poll
        if poll(0):
            return
        if self._spins:
            until_s = began_s + self._spin_s
            while _now_s() < until_s:
                if poll(0):
                    return
        await trio.lowlevel.wait_readable(fd)
        self._turn_began_s = _now_s()
        # Who pauses for long pays with a wake-up once; looking would be a waste of the processor.
        self._spins = self._turn_began_s - began_s < 2 * self._spin_s
