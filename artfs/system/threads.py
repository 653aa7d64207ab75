"""Many small blocking jobs side by side, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")


def in_parallel(function: Callable[[A], R], arguments: Iterable[A], *, workers: int) -> Iterator[R]:
    """Like `map`, with `workers` threads and at most four times as many jobs under way.

    Raises: what `function` raises, in order; jobs that have not begun are then dropped.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="artfs-references")
    waiting: deque[Future[R]] = deque()
    try:
        for argument in arguments:
            waiting.append(pool.submit(function, argument))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
