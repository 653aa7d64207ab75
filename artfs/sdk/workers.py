"""Threads that do jobs side by side, and join in with large ones when they are idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

A = TypeVar("A")

MAX_THREADS = 16
_MAX_PENDING = 4 * MAX_THREADS
_GRACE_S = 0.5


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
