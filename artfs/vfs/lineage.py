"""Lineage from plain paths: a run uses the versions whose files its processes open.

Every file belongs to one version, so what was opened says which. Opening a file costs one look at
what is known of the thread. Everything else happens beside it: reading /proc in a thread, writing
the catalog in another. Only the first open of a thread, and one every half second, waits for the
former: a short-lived process would be gone before it is known.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import trio
from cachetools import LRUCache

from artfs.engine.threads import Threads, Work
from artfs.repository.facade import Repository
from artfs.vfs.callers import PROC, run_of
from artfs.vfs.tree import DirectoryNode
from artfs.vfs.uses import Uses
from artfs.vfs.versions import TreeDirectory

logger = logging.getLogger(__name__)

_MAX_THREADS = 8192
_MAX_WAITING = 1024
# For how long a thread is taken for what it was: it may begin a run, become another program, or
# end and leave its number to another thread.
_KNOWN_FOR_S = 0.5
# How long an open waits until its thread is known, and, where that took longer, until one does
# again.
_PATIENCE_S = 0.1
_IMPATIENCE_S = 10.0


class _Thread:
    """What is known of a thread that opened something."""

    __slots__ = ("identified", "known_until_s", "run_id", "waiting")

    def __init__(self) -> None:
        self.run_id: str | None = None
        self.known_until_s = -math.inf
        # Versions that it opened, by id, while it was not known.
        self.waiting: dict[str, None] = {}
        # Set while somebody is finding out.
        self.identified: trio.Event | None = None


class Lineage:
    """Watches which versions threads open, and records what the runs that they belong to use."""

    def __init__(
        self, nursery: trio.Nursery, threads: Threads, repository: Repository, *, proc: Path = PROC
    ) -> None:
        """`proc` is where /proc is mounted."""
        self._nursery = nursery
        self._blocking = threads
        self._proc = proc
        self._threads: LRUCache[int, _Thread] = LRUCache(_MAX_THREADS)
        self._uses = Uses(repository, threads)
        self._impatient_until_s = -math.inf
        nursery.start_soon(self._uses.serve)

    def looks(self, thread_id: int, directory: DirectoryNode) -> None:
        """A thread looks for a name in a directory: in a version it will most likely open it."""
        if isinstance(directory, TreeDirectory):
            thread = self._thread(thread_id)
            if trio.current_time() >= thread.known_until_s:
                self._identify_soon(thread_id, thread)

    async def opened(self, thread_id: int, directory: DirectoryNode) -> None:
        """A file in a directory was opened."""
        if not isinstance(directory, TreeDirectory):
            return
        version_id = directory.version.id
        thread = self._thread(thread_id)
        now = trio.current_time()
        if now < thread.known_until_s:
            if thread.run_id is not None:
                self._uses.add(thread.run_id, version_id)
            return
        if len(thread.waiting) < _MAX_WAITING:
            thread.waiting[version_id] = None
        identified = self._identify_soon(thread_id, thread)
        if now < self._impatient_until_s:
            return
        with trio.move_on_after(_PATIENCE_S) as waiting:
            await identified.wait()
        if waiting.cancelled_caught:
            self._impatient_until_s = trio.current_time() + _IMPATIENCE_S

    def _thread(self, thread_id: int) -> _Thread:
        found: _Thread | None = self._threads.get(thread_id)
        if found is None:
            found = self._threads[thread_id] = _Thread()
        return found

    def _identify_soon(self, thread_id: int, thread: _Thread) -> trio.Event:
        if thread.identified is None:
            thread.identified = trio.Event()
            self._nursery.start_soon(self._identify, thread_id, thread, thread.identified)
        return thread.identified

    async def _identify(self, thread_id: int, thread: _Thread, identified: trio.Event) -> None:
        # Counted from before: what changed while it was found out may not be in it.
        known_until_s = trio.current_time() + _KNOWN_FOR_S
        try:
            # A kernel thread, or one that this process cannot see, has no number.
            thread.run_id = (
                await self._blocking.run(Work.CALLERS, run_of, thread_id, self._proc)
                if thread_id > 0
                else None
            )
            waiting, thread.waiting = thread.waiting, {}
            if thread.run_id is not None:
                for version_id in waiting:
                    self._uses.add(thread.run_id, version_id)
        except Exception:
            # Nobody's reading ends because of this.
            logger.exception("finding out about thread %d failed", thread_id)
        finally:
            thread.known_until_s = known_until_s
            thread.identified = None
            identified.set()
