"""Running asynchronous tests."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

import trio
import trio.testing

P = ParamSpec("P")


def on_trio(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test on trio, by the real clock."""

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        trio.run(functools.partial(test, *arguments, **named))

    return run


def on_jumping_trio(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test on trio, by a clock that jumps ahead as soon as every task waits."""

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        # Tasks that wait for a thread wait, too: on a busy machine it takes its time.
        clock = trio.testing.MockClock(autojump_threshold=0.25)
        trio.run(functools.partial(test, *arguments, **named), clock=clock)

    return run


def on_standing_trio(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test on trio, by a clock that stands still but for `time_passes`."""

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        trio.run(functools.partial(test, *arguments, **named), clock=trio.testing.MockClock())

    return run


def time_passes(seconds: float) -> None:
    """Move the clock of a test that stands still."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    clock.jump(seconds)
