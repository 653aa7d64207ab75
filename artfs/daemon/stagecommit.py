"""Commits of a staging mount that is in use."""

from __future__ import annotations

import logging

import trio

from artfs.daemon.messages import CommitStatus, Failure
from artfs.errors import ArtfsError
from artfs.staging.area import Area
from artfs.staging.commit import Commit, CommitReport
from artfs.staging.hasher import Background
from artfs.staging.intake import Progress
from artfs.vfs.staged import StagedFiles

logger = logging.getLogger(__name__)

_GRACE_S = 0.5
"""The kernel tells of a close a moment after close(2) has returned."""


class Committer:
    """Makes versions of a mounted staging area, one at a time."""

    def __init__(self, area: Area, staged: StagedFiles, background: Background) -> None:
        self._area = area
        self._staged = staged
        self._background = background
        self._lock = trio.Lock()
        self._number = 0
        self._pending = 0
        self._progress = Progress()
        self._report: CommitReport | None = None
        self._failure: Failure | None = None

    def announce(self) -> None:
        """A commit is about to be asked for: from now on it shows as running."""
        self._number += 1
        if not self._pending:
            self._report = self._failure = None
            self._progress = Progress()
        self._pending += 1

    def failed(self, error: ArtfsError) -> None:
        """Take note of how an announced commit ended."""
        self._pending -= 1
        self._failure = Failure.of(error)

    async def commit(self, *, wait_writers_s: float) -> CommitReport:
        """Make a version of what there is; the mount goes on upon it.

        Raises: StagingBusy where files are open for writing all that time; Conflict, OutOfSpace,
        PermissionDenied, BackendUnavailable. The area then is as it was.
        """
        async with self._lock:
            self._background.pause()
            commit = Commit(self._area, self._progress)
            try:
                report = await self._commit(commit, wait_writers_s)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(commit.discard)
                self._background.resume()
        self._pending = max(self._pending - 1, 0)
        self._report = report
        self._log(report)
        return report

    async def wait_for_writers(self, timeout_s: float) -> bool:
        """Wait until no file is open for writing; False where that takes too long."""
        with trio.move_on_after(max(timeout_s, 0.0)):
            while self._staged.contents.writing():
                await self._staged.no_writers.wait()
        return not self._staged.contents.writing()

    def status(self) -> CommitStatus | None:
        """The commit that runs, or the last one."""
        if not self._number and not self._lock.locked():
            return None
        progress, report = self._progress, self._report
        return CommitStatus(
            number=self._number,
            running=self._pending > 0 or self._lock.locked(),
            files_done=progress.files_done,
            files_total=progress.files_total,
            bytes_done=progress.bytes_done,
            bytes_total=progress.bytes_total,
            version=report.version.path if report and report.version else None,
            created=report is not None and report.created,
            failure=self._failure,
        )

    async def _commit(self, commit: Commit, wait_writers_s: float) -> CommitReport:
        await trio.to_thread.run_sync(commit.prepare)
        deadline = trio.current_time() + max(wait_writers_s, _GRACE_S)
        gate = self._staged.gate
        while True:
            await self.wait_for_writers(deadline - trio.current_time())
            with trio.CancelScope(shield=True):
                await gate.shut()
                try:
                    # Somebody may have opened a file before the gate was shut.
                    late = trio.current_time() >= deadline
                    if late or not self._staged.contents.writing():
                        return await trio.to_thread.run_sync(commit.finish)
                finally:
                    gate.open()

    def _log(self, report: CommitReport) -> None:
        version = report.version
        if version is None:
            logger.info("nothing was staged: no version was made")
        elif report.created:
            logger.info("committed %s (%d files)", version.path, version.file_count)
        else:
            logger.info("nothing changed: %s has the same content", version.path)
