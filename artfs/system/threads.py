"""Jobs side by side in threads, and values that the first of many threads makes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from artfs.system import forks

T = TypeVar("T")


class Once(Generic[T]):
    """Calls `make` when its value is first asked for, and again only if that raised.

    A forked child makes its own: two processes on one connection would mix up their answers.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._lock = forks.lock()
        forks.in_child(self._forget)

    def __call__(self) -> T:
        """The value. Blocks and raises: as `make` does."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def renew(self, refused: T) -> T:
        """Another value than one that is of no use any more; of many who ask at once one makes it.

        Blocks and raises: as `make` does.
        """
        with self._lock:
            if self._made and self._made[0] is refused:
                self._made = []
        return self()

    def _forget(self) -> None:
        # The parent's connections are closed here without a word to their servers.
        self._made = []


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
