"""Jobs side by side in threads, and values that the first of many threads makes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from artfs import forks

T = TypeVar("T")

A = TypeVar("A")
R = TypeVar("R")
MAX_THREADS = 16
_MAX_PENDING = 4 * MAX_THREADS
_GRACE_S = 0.5


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


class Workers:
    """A pool of threads for one operation."""

    def __init__(self, name: str) -> None:
        # It starts no thread before there is a job for it.
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix=name)

    def run(
        self, function: Callable[[A], None], jobs: Iterable[A], *, on_failure: Callable[[], None]
    ) -> None:
        """Do all jobs; once. What fails first ends it: `on_failure` tells the others to give up.

        They are waited for, unless it was Ctrl-C: who waits for a server does not hear of it.
        Raises: what a job raises.
        """
        pending: deque[Future[None]] = deque()
        try:
            for job in jobs:
                pending.append(self._pool.submit(function, job))
                if len(pending) >= _MAX_PENDING:
                    pending[0].result()
                    pending.popleft()
            for future in pending:
                future.result()
        except BaseException as error:
            on_failure()
            self._pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
            wait([future for future in pending if future.running()], timeout=_GRACE_S)
            raise
        self._pool.shutdown()

    def share(self, function: Callable[[A], None], parts: Iterable[A]) -> None:
        """Do all parts of a job, in this thread and in those that have nothing else to do.

        Returns when no thread is at it any more. Raises: what a part raises.
        """
        waiting = deque(parts)

        def work() -> None:
            while True:
                try:
                    part = waiting.popleft()
                except IndexError:
                    return
                try:
                    function(part)
                except BaseException:
                    waiting.clear()
                    raise

        others = [self._pool.submit(work) for _ in range(min(len(waiting), MAX_THREADS) - 1)]
        try:
            work()
        finally:
            joined = [other for other in others if not other.cancel()]
            wait(joined)
        for other in joined:
            other.result()
