"""Lineage from plain paths: a run uses the versions whose files its processes open.

Opening a file costs one look at what is known of the thread. Everything else happens beside it:
reading /proc in a thread, writing the catalog in another. Only the first open of a thread, and one
every half second, waits for the former: a short-lived process would be gone before it is known.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import trio
from cachetools import LRUCache

from artfs.engine.threads import Threads, Work
from artfs.repository.facade import Repository
from artfs.vfs.callers import PROC, Caller, identify
from artfs.vfs.evidence import Evidence, Told, used_versions
from artfs.vfs.tree import DirectoryNode, Node
from artfs.vfs.uses import Uses
from artfs.vfs.versions import TreeDirectory

logger = logging.getLogger(__name__)

_MAX_THREADS = 8192
_MAX_RUNS = 1024
_MAX_WAITING = 1024
# For how long a thread is taken for what it was: it may begin a run, become another program, or
# end and leave its number to another thread.
_KNOWN_FOR_S = 0.5
# How long an open waits until its thread is known, and, where that took longer, until one does
# again.
_PATIENCE_S = 0.1
_IMPATIENCE_S = 10.0


def version_id_of(node: Node) -> str | None:
    """The version that a directory belongs to; None for other nodes."""
    return node.version.id if isinstance(node, TreeDirectory) else None


class _Thread:
    """What is known of a thread that asked for something."""

    __slots__ = ("evidence", "identified", "known_until_s", "run_id", "waiting")

    def __init__(self) -> None:
        self.evidence = Evidence()
        self.run_id: str | None = None
        self.known_until_s = -math.inf
        self.waiting: dict[Told, None] = {}
        # Set while somebody is finding out.
        self.identified: trio.Event | None = None


class Lineage:
    """Watches what threads ask for, and records what the runs that they belong to use."""

    def __init__(
        self, nursery: trio.Nursery, threads: Threads, repository: Repository, *, proc: Path = PROC
    ) -> None:
        """`proc` is where /proc is mounted."""
        self._nursery = nursery
        self._blocking = threads
        self._proc = proc
        self._threads: LRUCache[int, _Thread] = LRUCache(_MAX_THREADS)
        self._runs: LRUCache[str, Evidence] = LRUCache(_MAX_RUNS)
        self._everybody = Evidence()
        self._uses = Uses(repository, threads)
        self._impatient_until_s = -math.inf
        nursery.start_soon(self._uses.serve)

    def looked_up(self, thread_id: int, directory: DirectoryNode, found: Node | None) -> None:
        """A name was looked up in a directory; `found` is its node where it has one."""
        version_id = version_id_of(directory)
        if version_id is not None:
            self.visited(thread_id, version_id)
        elif found is not None and (version_id := version_id_of(found)) is not None:
            for evidence in self._evidence(thread_id):
                evidence.named(version_id)

    def opened_directory(self, thread_id: int, directory: DirectoryNode) -> None:
        """A directory was opened."""
        version_id = version_id_of(directory)
        if version_id is not None:
            self.visited(thread_id, version_id)

    def visited(self, thread_id: int, version_id: str) -> None:
        """A thread looked into a version."""
        for evidence in self._evidence(thread_id):
            evidence.inside(version_id)

    async def opened(self, thread_id: int, told: Told) -> None:
        """A file was opened."""
        thread = self._thread(thread_id)
        now = trio.current_time()
        if now < thread.known_until_s:
            if thread.run_id is not None:
                self._use(thread, thread.run_id, told)
            return
        if len(thread.waiting) < _MAX_WAITING:
            thread.waiting[told] = None
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

    def _evidence(self, thread_id: int) -> list[Evidence]:
        """Where what a thread is seen to look at is noted."""
        thread = self._thread(thread_id)
        if trio.current_time() >= thread.known_until_s:
            # Its run will take over the thread's evidence.
            self._identify_soon(thread_id, thread)
            return [thread.evidence, self._everybody]
        if thread.run_id is None:
            return [thread.evidence, self._everybody]
        return [*self._both(thread, thread.run_id), self._everybody]

    def _both(self, thread: _Thread, run_id: str) -> list[Evidence]:
        of_run: Evidence | None = self._runs.get(run_id)
        if of_run is None:
            of_run = self._runs[run_id] = Evidence()
        return [thread.evidence, of_run]

    def _use(self, thread: _Thread, run_id: str, told: Told) -> None:
        for version_id in used_versions(told, self._both(thread, run_id), self._everybody):
            self._uses.add(run_id, version_id)

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
            caller = (
                await self._blocking.run(Work.CALLERS, identify, thread_id, self._proc)
                if thread_id > 0
                else None
            )
            self._take(thread, caller)
        except Exception:
            # Nobody's reading ends because of this.
            logger.exception("finding out about thread %d failed", thread_id)
        finally:
            thread.known_until_s = known_until_s
            thread.identified = None
            identified.set()

    def _take(self, thread: _Thread, caller: Caller | None) -> None:
        """Take note of who a thread is, and record what it opened meanwhile."""
        thread.run_id = None if caller is None else caller.run_id
        waiting, thread.waiting = thread.waiting, {}
        if caller is None or caller.run_id is None:
            return
        thread.evidence.forget_before(caller.started_at_s)
        self._both(thread, caller.run_id)[1].add(thread.evidence)
        for told in waiting:
            self._use(thread, caller.run_id, told)
