"""A value that many threads share and the first of them makes."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Calls `make` when its value is first asked for, and again only if that raised."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._lock = Lock()

    def __call__(self) -> T:
        """The value. Blocks and raises: as `make` does."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]
