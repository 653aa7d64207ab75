"""How far work on many files has come: one count, from who works to who shows it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import msgspec

from artfs import forks


class Progress(msgspec.Struct, frozen=True):
    """What is done, and of how much."""

    files_done: int = 0
    bytes_done: int = 0
    files_total: int | None = None
    """None where nobody counted."""
    bytes_total: int | None = None


OnProgress = Callable[[Progress], None]
"""Called from any thread, one at a time; what it raises ends the operation."""


class Stopped(Exception):
    """A worker was asked to give up; who asked raises the reason."""


class ProgressMeter:
    """Adds up what the threads of an operation do, and reports it. Thread-safe."""

    def __init__(self, on_progress: OnProgress | None = None) -> None:
        self._on_progress = on_progress
        self._lock = forks.lock()
        self._files_done = 0
        self._bytes_done = 0
        self._files_total: int | None = None
        self._bytes_total: int | None = None
        self._stopped = Event()

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        with self._lock:
            return self._now()

    def stop(self) -> None:
        """Make the next report raise, so that a worker in another thread gives up."""
        self._stopped.set()

    def expect(self, *, files: int | None = None, size_bytes: int | None = None) -> None:
        """There is so much more to do: the next report says so."""
        with self._lock:
            if files is not None:
                self._files_total = (self._files_total or 0) + files
            if size_bytes is not None:
                self._bytes_total = (self._bytes_total or 0) + size_bytes

    def advance(self, *, files: int = 0, size_bytes: int = 0) -> None:
        """So much more is done. Raises: Stopped after `stop`; what the callback raises."""
        if self._stopped.is_set():
            raise Stopped
        with self._lock:
            self._files_done += files
            self._bytes_done += size_bytes
            if self._on_progress is not None:
                self._on_progress(self._now())

    def advance_bytes(self, size_bytes: int) -> None:
        """`advance` in the shape of a callback."""
        self.advance(size_bytes=size_bytes)

    def _now(self) -> Progress:
        return Progress(self._files_done, self._bytes_done, self._files_total, self._bytes_total)
