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
        clock = trio.testing.MockClock(autojump_threshold=0.05)
        trio.run(functools.partial(test, *arguments, **named), clock=clock)

    return run
