"""Lineage from plain paths: a run uses the versions whose files its processes open.

Every file belongs to one version, so what was opened says which. Opening a file costs one look at
what is known of the thread. Everything else happens beside it: reading /proc in a thread, writing
the catalog in another. Only the first open of a thread, and one every half second, waits for the
former: a short-lived process would be gone before it is known.
"""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from pathlib import Path

import trio
from cachetools import LRUCache

from artfs.engine.blocking import Threads, Work
from artfs.errors import ArtfsError, NotFound, RunNotFound
from artfs.repository.facade import Repository
from artfs.settings import RUN_MARKER, RUN_MARKER_FDS, RUN_VARIABLE
from artfs.vfs.tree import DirectoryNode
from artfs.vfs.versions import TreeDirectory

PROC = Path("/proc")

_MAX_RUN_ID_LENGTH = 128

logger = logging.getLogger(__name__)

_MAX_WAITING_USES = 1024
_MAX_REMEMBERED = 65536
_RETRY_DELAYS_S = (0.5, 2.0, 8.0)
_LAST_CHANCE_S = 3.0
Use = tuple[str, str]
"""Ids of a run and of a version."""
_MAX_THREADS = 8192
_MAX_WAITING = 1024
# For how long a thread is taken for what it was: it may begin a run, become another program, or
# end and leave its number to another thread.
_KNOWN_FOR_S = 0.5
# How long an open waits until its thread is known, and, where that took longer, until one does
# again.
_PATIENCE_S = 0.1
_IMPATIENCE_S = 10.0


def run_of(thread_id: int, proc: Path = PROC) -> str | None:
    """The run of a thread; None where it is in none, is gone, or nobody may know.

    Blocks: on locks of the thread's process, so never on the loop: whoever holds such a lock may
    be waiting for this mount.
    """
    try:
        # What is opened below is this thread's or fails, even when its number is given to another.
        directory = os.open(proc / str(thread_id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _marked_run(directory) or _run_of_environment(_read(directory, "environ"))
    except OSError:
        return None
    finally:
        os.close(directory)


def _read(directory: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        return file.readall()


def _run_of_environment(environment: bytes) -> str | None:
    prefix = f"{RUN_VARIABLE}=".encode()
    for variable in environment.split(b"\0"):
        if variable.startswith(prefix):
            return _plausible(variable.removeprefix(prefix).decode(errors="replace"))
    return None


def _marked_run(directory: int) -> str | None:
    """The run that `artfs.init` began after the process had; see artfs/sdk/marker.py."""
    prefix = f"/memfd:{RUN_MARKER}"
    for descriptor in RUN_MARKER_FDS:
        try:
            target = os.readlink(f"fd/{descriptor}", dir_fd=directory)
        except OSError:
            return None
        if target.startswith(prefix):
            return _plausible(target.removeprefix(prefix).removesuffix(" (deleted)"))
    return None


def _plausible(run_id: str) -> str | None:
    return run_id if 0 < len(run_id) <= _MAX_RUN_ID_LENGTH and run_id.isprintable() else None


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
        if len(self._waiting) >= _MAX_WAITING_USES:
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
