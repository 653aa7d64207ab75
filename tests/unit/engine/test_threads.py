from __future__ import annotations

import threading

import trio

from artfs.engine.blocking import DISK_THREADS, Threads, Work
from tests.support.loops import on_trio


@on_trio
async def test_a_stuck_kind_of_work_does_not_hold_up_another() -> None:
    threads = Threads()
    release = threading.Event()

    def stuck() -> None:
        release.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(DISK_THREADS + 3):
            nursery.start_soon(threads.run, Work.DISK, stuck)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await threads.run(Work.NETWORK, lambda: 3) == 3
        release.set()
