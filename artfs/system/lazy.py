"""A value that many threads share and the first of them makes."""

from __future__ import annotations

from collections.abc import Callable
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

    def _forget(self) -> None:
        # The parent's connections are closed here without a word to their servers.
        self._made = []
