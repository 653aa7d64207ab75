"""The life of a run: how it begins, is joined and resumed, and what ends it."""

from __future__ import annotations

import atexit
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from artfs import forks
from artfs.catalog.records import RunRecord
from artfs.errors import ArtfsError, RunNotFound
from artfs.model import Metadata, RunState, check_name
from artfs.repository.facade import Repository
from artfs.sdk.resuming import forget_resumable, note_resumable
from artfs.sdk.rundescription import changed_names
from artfs.sdk.runmodels import RunModels
from artfs.sdk.runsettings import RunRequest, Settings
from artfs.sdk.session import (
    current_run,
    hide_run,
    mark_process,
    set_current_run,
    unmark_process,
)
from artfs.settings import RUN_VARIABLE, chosen_project
from artfs.system.processes import ExitWatch

logger = logging.getLogger(__name__)

_GOING_ON = frozenset({RunState.RUNNING, RunState.CRASHED})


class RunLife(RunModels):
    """A run that this process began, joined or resumed, and which ends with its owner."""

    def __init__(
        self, repository: Repository, record: RunRecord, details: Metadata | None = None
    ) -> None:
        super().__init__(repository, record, details)
        self._opened_in = forks.generation()
        # The process whose end is the run's end, as a generation of forks; None for a run that
        # somebody else began.
        self._owner: int | None = None
        self._marker: int | None = None
        self._resume_file: Path | None = None
        self._exit_watch: ExitWatch | None = None

    @classmethod
    def begin(
        cls,
        repository: Repository,
        project: str | None,
        *,
        name: str | None = None,
        job_type: str | None = None,
        config: Metadata | None = None,
        run_id: str | None = None,
    ) -> Self:
        """A new run, which ends with this process at the latest.

        Raises: Conflict where there is a run of that id, InvalidName, BackendUnavailable,
        PermissionDenied.
        """
        record = repository.catalog.create_run(
            check_name(chosen_project(project), kind="project"),
            name=name,
            job_type=job_type,
            config=config or {},
            run_id=run_id,
        )
        run = cls(repository, record, {})
        run.own()
        return run

    @classmethod
    def joined(cls, repository: Repository, project: str | None) -> Self | None:
        """The run that the environment names, where it goes on in the store, and is of `project`.

        Raises: BackendUnavailable, PermissionDenied.
        """
        run_id = os.environ.get(RUN_VARIABLE)
        if not run_id:
            return None
        try:
            record = repository.catalog.run(run_id)
        except RunNotFound:
            return None
        # Also one whose first process was killed: as long as its command goes on, it is running.
        if record.state not in _GOING_ON or project not in {None, record.project}:
            return None
        return cls(repository, repository.catalog.join_run(run_id))

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from one that began or joined the run."""
        return self._opened_in != forks.generation()

    def finish(self, exit_code: int | None = None) -> None:
        """End the run: as finished, or as failed with an exit code other than 0.

        A run that another process began, and which this one only joined, goes on. Ending a run
        twice is no error. Raises: BackendUnavailable.
        """
        self._has_ended = True
        if current_run() is self:
            set_current_run(None)
            if self._owner is not None:
                hide_run()
            if self._marker is not None:
                unmark_process(self._marker)
                self._marker = None
            if self._exit_watch is not None:
                self._exit_watch.stop()
                self._exit_watch = None
        if self._summary is not None:
            self._summary.save()
        if self._owner != forks.generation():
            return
        self._owner = None
        state = RunState.FAILED if exit_code else RunState.FINISHED
        self._record = self.repository.catalog.finish_run(self.id, state)
        self._after_end(state)

    def _after_end(self, state: RunState) -> None:
        if state is RunState.FINISHED and self._resume_file is not None:
            forget_resumable(self._resume_file, self.id)

    def started(self, request: RunRequest, *, settings: Settings, details: Metadata) -> None:
        """Keep what `init` was asked for. Blocks: on the catalog."""
        self._settings = settings
        self._is_silent = request.silent
        self._files_root = request.dir
        self._said_at_start(changed_names(request.name, request.job_type), details)
        if request.resume == "auto":
            self._resume_file = note_resumable(request.dir, self.id)

    def taken_part(self, request: RunRequest) -> None:
        """Keep what `init` was asked for that is about this process of a run alone."""
        self._is_silent, self._files_root = request.silent, request.dir

    @classmethod
    def resumed_from(cls, repository: Repository, record: RunRecord) -> Self:
        """A run that is there, and which goes on: joined where others are at it, else owned.

        Blocks: on the catalog. Raises: RunNotFound.
        """
        if record.state is RunState.RUNNING:
            run = cls(repository, repository.catalog.join_run(record.id))
        else:
            repository.catalog.finish_run(record.id, RunState.RUNNING)
            run = cls(repository, repository.catalog.join_run(record.id))
            run.own()
        last = run.summary.get("_step")
        run._starting_step = last + 1 if isinstance(last, int) else 0
        run._resumed = True
        return run

    def own(self) -> None:
        """Make the end of this process the end of the run."""
        self._owner = forks.generation()

    def finish_at_exit(self) -> None:
        """Finish when the interpreter ends, as failed where an error or `sys.exit` ends it."""
        self._exit_watch = ExitWatch()
        atexit.register(self._finish_at_exit, self._exit_watch)

    def _finish_at_exit(self, watch: ExitWatch) -> None:
        try:
            self.finish(exit_code=watch.code())
        except ArtfsError as error:
            logger.warning("the run could not be finished: %s", error)

    def mark(self) -> None:
        """Let mounts know that what this process opens is used by the run."""
        self._marker = mark_process(self.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.finish(exit_code=0 if exc is None else 1)
