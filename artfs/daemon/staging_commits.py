"""Commits of a staging mount that is in use."""

from __future__ import annotations

import logging

import trio

from artfs.errors import ArtfsError
from artfs.mounts.messages import CommitStatus, Failure
from artfs.staging.area import Area
from artfs.staging.commit import CommitAttempt, CommitReport, set_expected
from artfs.staging.hasher import Background
from artfs.system.progress import ProgressMeter
from artfs.vfs.staging_tree import StagedFiles

logger = logging.getLogger(__name__)

_GRACE_S = 2.0
"""The kernel tells of a close a moment after close(2) has returned; a process that is about to
start another program holds what is open a moment longer.
"""

_MAX_REMEMBERED = 64


class StagingCommits:
    """Makes versions of a mounted staging area, one at a time."""

    def __init__(self, area: Area, staged: StagedFiles, background: Background) -> None:
        self._area = area
        self._staged = staged
        self._background = background
        self._lock = trio.Lock()
        self._number = 0
        self._running: set[int] = set()
        self._ended: dict[int, CommitStatus] = {}
        self._meter = ProgressMeter()
        self._is_last = False
        self._patience = trio.CancelScope()

    def announce(self) -> int:
        """A commit is about to be asked for: from now on it shows as running; its number."""
        self._number += 1
        if not self._running:
            self._meter = ProgressMeter()
        self._running.add(self._number)
        return self._number

    def done(self, number: int, report: CommitReport) -> None:
        """Take note of what an announced commit made."""
        version = None if report.version is None else report.version.path
        self._end(
            CommitStatus(number=number, running=False, version=version, created=report.created)
        )

    def failed(self, number: int, error: ArtfsError) -> None:
        """Take note of why an announced commit made nothing."""
        self._end(CommitStatus(number=number, running=False, failure=Failure.of(error)))

    def _end(self, status: CommitStatus) -> None:
        self._running.discard(status.number)
        self._ended[status.number] = status
        if len(self._ended) > _MAX_REMEMBERED:
            del self._ended[next(iter(self._ended))]

    async def commit_last(self) -> CommitReport:
        """Commit what there is, waiting for nobody; from then on nothing can be changed.

        Raises: as `commit`; then what is changed still is kept with the rest.
        """
        self._is_last = True
        self._patience.cancel()
        self.announce()
        return await self.commit(wait_writers_s=0.0)

    async def commit(
        self,
        *,
        wait_writers_s: float,
        expect: str | None = None,
        take_unfinished: bool = False,
    ) -> CommitReport:
        """Make a version of what there is; the mount goes on upon it. See Command.

        Raises: StagingBusy where files are open for writing all that time; Conflict, OutOfSpace,
        PermissionDenied, BackendUnavailable. The area then is as it was.
        """
        async with self._lock:
            if take_unfinished:
                self._area.contents.accept_unfinished()
            if expect is not None:
                await trio.to_thread.run_sync(set_expected, self._area, expect)
            self._background.pause()
            commit = CommitAttempt(self._area, self._meter)
            try:
                report = await self._commit(commit, wait_writers_s)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(commit.discard)
                self._background.resume()
        self._log(report)
        return report

    async def wait_for_writers(self, timeout_s: float) -> bool:
        """Wait until no file is open for writing; False where that takes too long."""
        with trio.move_on_after(max(timeout_s, 0.0)):
            while self._staged.contents.writing():
                await self._staged.no_writers.wait()
        return not self._staged.contents.writing()

    def status(self, number: int | None = None) -> CommitStatus | None:
        """A commit, by default the last one; None where there was none, or it is long ago."""
        number = self._number if number is None else number
        if number not in self._running:
            return self._ended.get(number)
        return CommitStatus(number=number, running=True, progress=self._meter.progress)

    async def _commit(self, commit: CommitAttempt, wait_writers_s: float) -> CommitReport:
        await trio.to_thread.run_sync(commit.prepare)
        deadline = trio.current_time() + max(wait_writers_s, _GRACE_S)
        gate = self._staged.gate
        while True:
            with trio.CancelScope() as self._patience:
                await self.wait_for_writers(deadline - trio.current_time())
            if self._is_last:
                deadline = min(deadline, trio.current_time() + _GRACE_S)
            with trio.CancelScope(shield=True):
                await gate.shut()
                committed = False
                try:
                    # Somebody may have opened a file before the gate was shut.
                    late = trio.current_time() >= deadline
                    if late or not self._staged.contents.writing():
                        report = await trio.to_thread.run_sync(commit.finish)
                        committed = True
                        return report
                finally:
                    # What is changed after the last commit would be dropped with the area.
                    if not (committed and self._is_last):
                        gate.open()

    def _log(self, report: CommitReport) -> None:
        version = report.version
        if version is None:
            logger.info("nothing was staged: no version was made")
        elif report.created:
            logger.info("committed %s (%d files)", version.path, version.file_count)
        else:
            logger.info("nothing changed: %s has the same content", version.path)
