from __future__ import annotations

import pytest
import trio

from artfs.engine.flights import ECHO_S, Flights
from artfs.errors import BackendUnavailable, DeadlineExceeded, IntegrityError
from tests.support.loops import on_jumping_trio, on_trio


@on_trio
async def test_many_waiters_share_one_flight() -> None:
    calls = 0
    results: list[int] = []

    async def work() -> int:
        nonlocal calls
        calls += 1
        await trio.testing.wait_all_tasks_blocked()
        return 7

    async with trio.open_nursery() as nursery:
        flights: Flights[int] = Flights(nursery, timeout_s=10)

        async def wait() -> None:
            results.append(await flights.join("key", work).landed())

        for _ in range(50):
            nursery.start_soon(wait)
    assert (calls, results) == (1, [7] * 50)


@on_trio
async def test_a_waiter_that_gives_up_does_not_end_the_flight() -> None:
    async with trio.open_nursery() as nursery:
        flights: Flights[str] = Flights(nursery, timeout_s=10)
        landing = trio.Event()

        async def work() -> str:
            await landing.wait()
            return "landed"

        with trio.CancelScope() as impatient:
            impatient.cancel()
            await flights.join("key", work).landed()
        assert impatient.cancelled_caught
        patient = flights.join("key", work)
        landing.set()
        assert await patient.landed() == "landed"


@on_trio
async def test_a_failure_reaches_every_waiter_and_is_then_forgotten() -> None:
    attempts = 0
    caught: list[Exception] = []

    async def work() -> int:
        nonlocal attempts
        attempts += 1
        await trio.testing.wait_all_tasks_blocked()
        if attempts == 1:
            raise IntegrityError("block 0", "bad")
        return attempts

    async with trio.open_nursery() as nursery:
        flights: Flights[int] = Flights(nursery, timeout_s=10)

        async def wait() -> None:
            try:
                await flights.join("key", work).landed()
            except IntegrityError as error:
                caught.append(error)

        async with trio.open_nursery() as waiters:
            for _ in range(5):
                waiters.start_soon(wait)
        assert len(caught) == 5
        assert await flights.join("key", work).landed() == 2


@on_jumping_trio
async def test_a_flight_that_never_lands_fails_at_its_deadline() -> None:
    async with trio.open_nursery() as nursery:
        flights: Flights[None] = Flights(nursery, timeout_s=30)
        with pytest.raises(DeadlineExceeded, match="30 s"):
            await flights.join("key", trio.sleep_forever).landed()
        assert trio.current_time() == pytest.approx(30, abs=0.5)
        # The kernel asks a second time where its read-ahead failed: that has no time of its own.
        with pytest.raises(DeadlineExceeded, match="30 s"):
            await flights.join("key", trio.sleep_forever).landed()
        assert trio.current_time() == pytest.approx(30, abs=0.5)
        await trio.sleep(2 * ECHO_S)
        assert "key" not in flights


@on_trio
async def test_waiters_are_told_when_the_mount_ends() -> None:
    heard: list[Exception] = []
    async with trio.open_nursery() as outer, trio.open_nursery() as nursery:
        flights: Flights[None] = Flights(nursery, timeout_s=30)
        flight = flights.join("key", trio.sleep_forever)

        async def wait() -> None:
            try:
                await flight.landed()
            except BackendUnavailable as error:
                heard.append(error)

        outer.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(heard) == 1
