"""Runs of clients are running as long as they are heard of: this server holds them meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from artfs.catalog.base import Catalog
from artfs.errors import ArtfsError, NotFound
from artfs.system import forks

SILENCE_S = 300.0
"""A client that is not heard of for so long has crashed; it says something each half minute."""


class RunHolds:
    """Holds runs for clients. Thread-safe; blocks on the catalog."""

    def __init__(self, catalog: Catalog, clock: Callable[[], float] = time.monotonic) -> None:
        self._catalog = catalog
        self._clock = clock
        self._lock = forks.lock()
        self._heard: dict[str, float] = {}

    def hear(self, run_id: str) -> None:
        """Note that a run goes on. Raises: RunNotFound, BackendUnavailable."""
        with self._lock:
            is_new = run_id not in self._heard
            self._heard[run_id] = self._clock()
        if is_new:
            try:
                self._catalog.join_run(run_id)
            except NotFound:
                self.forget(run_id)
                raise

    def forget(self, run_id: str) -> None:
        """Hold a run no more, which has ended or whose client is silent."""
        with self._lock:
            self._heard.pop(run_id, None)
        with suppress(ArtfsError):
            self._catalog.leave_run(run_id)

    def leave_silent(self) -> None:
        """Let go of the runs whose clients are not heard of any more."""
        limit = self._clock() - SILENCE_S
        with self._lock:
            silent = [run_id for run_id, heard in self._heard.items() if heard < limit]
        for run_id in silent:
            self.forget(run_id)
