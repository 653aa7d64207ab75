"""The loop that takes requests: nobody starves, nobody is forgotten."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator

import pyfuse3
import pytest
import trio
import trio.testing

from artfs.fuse.loop import TURN_S, EagerLock, RequestWait, lean_trio

DEADLINE_S = 10.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_pyfuse3_takes_trio_from_where_we_put_ours() -> None:
    """Without this a later pyfuse3 would go back to the slow way, and nobody would notice."""
    assert vars(pyfuse3)["trio"] is trio
    assert inspect.iscoroutinefunction(pyfuse3.main)


def test_names_that_are_not_replaced_are_those_of_trio() -> None:
    """A pyfuse3 that uses one more name of trio finds it."""
    used_by_a_later_pyfuse3 = "fail_after", "CapacityLimiter", "current_time"
    stand_in = lean_trio()
    for name in used_by_a_later_pyfuse3:
        assert getattr(stand_in, name) is getattr(trio, name)
    assert stand_in.lowlevel.checkpoint is trio.lowlevel.checkpoint
    assert stand_in.Lock is EagerLock
    assert stand_in.lowlevel.wait_readable is not trio.lowlevel.wait_readable
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = stand_in.nonsense


def test_a_request_that_is_there_costs_no_turn_of_the_scheduler(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, b"x")

    async def main() -> None:
        wait = RequestWait()
        with trio.CancelScope(deadline=-1):
            # Any checkpoint of trio would raise Cancelled here.
            await wait.wait_readable(reader)
            return
        pytest.fail("it went to the scheduler")

    trio.run(main)


@pytest.mark.parametrize("spin_s", [0.0, 0.001])
def test_a_request_that_comes_later_is_waited_for(pipe: tuple[int, int], spin_s: float) -> None:
    reader, writer = pipe

    async def main() -> None:
        wait = RequestWait(spin_s=spin_s)
        with trio.fail_after(DEADLINE_S):
            for _ in range(3):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(wait.wait_readable, reader)
                    await trio.testing.wait_all_tasks_blocked()
                    os.write(writer, b"x")
                os.read(reader, 1)

    trio.run(main)


def test_others_run_however_many_requests_there_are(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, b"x")
    ran = False

    async def other() -> None:
        nonlocal ran
        ran = True

    async def main() -> None:
        wait = RequestWait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            until_s = trio.current_time() + 1000 * TURN_S
            while not ran and trio.current_time() < until_s:
                await wait.wait_readable(reader)

    trio.run(main)
    assert ran


def test_a_lock_lets_one_in_at_a_time_and_forgets_none() -> None:
    inside = 0
    done: list[int] = []

    async def worker(lock: EagerLock, number: int) -> None:
        nonlocal inside
        for _ in range(20):
            async with lock:
                inside += 1
                assert inside == 1
                await trio.lowlevel.checkpoint()
                inside -= 1
            if number % 2:
                await trio.lowlevel.checkpoint()
        done.append(number)

    async def main() -> None:
        lock = EagerLock()
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                for number in range(5):
                    nursery.start_soon(worker, lock, number)

    trio.run(main)
    assert sorted(done) == list(range(5))


def test_who_is_cancelled_while_waiting_for_the_lock_does_not_keep_others_from_it() -> None:
    async def wait_for(lock: EagerLock, got: list[str]) -> None:
        async with lock:
            got.append("lock")

    async def main() -> list[str]:
        lock, got = EagerLock(), list[str]()
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery, lock:
                scope = trio.CancelScope()
                with scope:
                    async with trio.open_nursery() as waiting:
                        waiting.start_soon(wait_for, lock, got)
                        await trio.testing.wait_all_tasks_blocked()
                        scope.cancel()
                nursery.start_soon(wait_for, lock, got)
                await trio.testing.wait_all_tasks_blocked()
                assert not got
        return got

    assert trio.run(main) == ["lock"]
