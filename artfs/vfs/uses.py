"""Writing into the catalog which run used which version."""

from __future__ import annotations

import logging
from collections import deque

import trio
from cachetools import LRUCache

from artfs.engine.threads import Threads, Work
from artfs.errors import ArtfsError, NotFound, RunNotFound
from artfs.repository.facade import Repository

logger = logging.getLogger(__name__)

_MAX_WAITING = 1024
_MAX_REMEMBERED = 65536
_RETRY_DELAYS_S = (0.5, 2.0, 8.0)
_LAST_CHANCE_S = 3.0

Use = tuple[str, str]
"""Ids of a run and of a version."""


class Uses:
    """Records each use once, in the background; what goes wrong is logged and disturbs nobody."""

    def __init__(self, repository: Repository, threads: Threads) -> None:
        self._catalog = repository.catalog
        self._work = Work.DISK if repository.info.root is not None else Work.NETWORK
        self._threads = threads
        self._known: LRUCache[Use, bool] = LRUCache(_MAX_REMEMBERED)
        self._unknown_runs: LRUCache[str, bool] = LRUCache(_MAX_REMEMBERED)
        self._waiting: deque[Use] = deque()
        self._came = trio.Event()
        self._is_full = False

    def add(self, run_id: str, version_id: str) -> None:
        """Record that a run used a version, some time soon."""
        use = (run_id, version_id)
        if use in self._known or run_id in self._unknown_runs:
            return
        if len(self._waiting) >= _MAX_WAITING:
            if not self._is_full:
                logger.warning("too many uses wait to be recorded; more are not")
            self._is_full = True
            return
        self._known[use] = True
        self._waiting.append(use)
        self._came.set()

    async def serve(self) -> None:
        """Record until cancelled; what waits then has one more chance."""
        try:
            while True:
                await self._came.wait()
                self._came = trio.Event()
                while self._waiting:
                    await self._record(self._waiting[0], _RETRY_DELAYS_S)
                    self._waiting.popleft()
                self._is_full = False
        finally:
            with trio.move_on_after(_LAST_CHANCE_S, shield=True):
                while self._waiting:
                    await self._record(self._waiting[0], ())
                    self._waiting.popleft()

    async def _record(self, use: Use, delays_s: tuple[float, ...]) -> None:
        run_id, version_id = use
        if run_id in self._unknown_runs:
            return
        for delay_s in (*delays_s, None):
            try:
                await self._threads.run(self._work, self._write, run_id, version_id)
            except RunNotFound:
                self._unknown_runs[run_id] = True
                logger.warning(
                    "what run %r uses is not recorded: the store has no such run", run_id
                )
            except NotFound as error:
                logger.info("the use of a version that is gone is not recorded: %s", error)
            except Exception as error:  # noqa: BLE001 - the mount would end with it
                if delay_s is not None:
                    await trio.sleep(delay_s)
                    continue
                _report(use, error)
            return

    def _write(self, run_id: str, version_id: str) -> None:
        self._catalog.record_use(run_id, version_id, use_as=None)


def _report(use: Use, error: Exception) -> None:
    text = "that run %s used version %s could not be recorded: %s"
    trace = None if isinstance(error, ArtfsError) else error
    logger.warning(text, *use, error, exc_info=trace)
