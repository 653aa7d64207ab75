"""`artfs.Artifact` and `artfs.Run`: artifacts know the runs that made and used them, runs make and
use artifacts.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from artfs.catalog.records import RunRecord
from artfs.errors import ArtfsError, InvalidArgument, RunNotFound
from artfs.model import Metadata, RunState, check_name
from artfs.repository.facade import Repository
from artfs.sdk.artifact_content import ArtifactContent
from artfs.sdk.logged import link_artifact
from artfs.sdk.metadata import check_use_as, chosen_aliases
from artfs.sdk.runconfig import RunConfig
from artfs.sdk.session import (
    current_run,
    hide_run,
    mark_process,
    set_current_run,
    shared_repository,
    unmark_process,
)
from artfs.settings import RUN_VARIABLE, chosen_project
from artfs.system import forks
from artfs.system.processes import ExitWatch

logger = logging.getLogger(__name__)

_GOING_ON = frozenset({RunState.RUNNING, RunState.CRASHED})


class Artifact(ArtifactContent):
    """A versioned set of files and references: a dataset, a model, or anything else.

    An artifact begins as an empty draft, to which content is added. `Run.log_artifact` or `save`
    makes it a version of the artifact of that name; from then on it can be read, and its content
    can not be changed any more.

    Args:
        name: Letters, digits, underscores, hyphens and dots; at most 128 characters.
        type: What kind of thing it is, such as "dataset" or "model".
        description: Free text, shown as Markdown.
        metadata: A dict of JSON values with at most 100 keys at the top. It is copied.
        incremental: Build on the version called `latest` instead of on nothing.
        use_as: The name under which the current run uses it.

    Raises:
        ValueError: for a name or type that breaks the rules, or too many metadata keys.
        TypeError: for metadata that is not a dict.

    Example:
        >>> artifact = artfs.Artifact("mnist", type="dataset")
        >>> artifact.add_dir("mnist/")
        >>> artfs.log_artifact(artifact)
    """

    def save(self, project: str | None = None, settings: object = None) -> None:  # noqa: ARG002 - W&B's
        """Make the draft a version, or send what was changed of a logged artifact.

        The current run logs a draft, or the one that the process was started in; without one,
        a run of the job type "auto" is made for it.

        Args:
            project: Where to log it when there is no run.
            settings: Accepted for the sake of W&B's test harnesses; has no effect.

        Raises:
            ValueError: for aliases, tags or metadata that break the rules.
        """
        if self.id is not None:
            self._logged("save").save()
            return
        run = current_run()
        if run is not None:
            run.log_artifact(self)
            return
        repository = shared_repository()
        run = Run.joined(repository, project)
        with run or Run.begin(repository, project, job_type="auto") as chosen:
            chosen.log_artifact(self)

    def link(self, target_path: str, aliases: list[str] | None = None) -> None:
        """Put the version into a portfolio; a draft is saved first.

        Args:
            target_path: `portfolio`, `project/portfolio` or `entity/project/portfolio`.
            aliases: Names for it within the portfolio.

        Raises:
            ValueError: for a path or alias that breaks the rules.
        """
        if self.id is None:
            self.save()
        logged, run = self._logged("link"), current_run()
        link_artifact(
            logged.repository,
            logged.record.id,
            target_path,
            project=self.project if run is None else run.project,
            aliases=aliases,
        )

    def logged_by(self) -> Run | None:
        """The run that first logged the version; None if none did.

        Raises: ArtifactNotLoggedError in a draft.
        """
        logged = self._logged("logged_by")
        maker = logged.repository.catalog.maker_of(logged.record.id)
        return None if maker is None else Run(logged.repository, maker)

    def used_by(self) -> list[Run]:
        """The runs that used the version, oldest first.

        Raises: ArtifactNotLoggedError in a draft.
        """
        logged = self._logged("used_by")
        users = logged.repository.catalog.users_of(logged.record.id)
        return [Run(logged.repository, user) for user in users]


class Run:
    """Something that runs: it logs artifacts as its outputs and uses others as its inputs.

    `artfs.init` begins one. As a context manager it finishes at the end of the block, as failed
    where an exception leaves it; otherwise `finish` does, or the end of the process.
    """

    def __init__(self, repository: Repository, record: RunRecord) -> None:
        self.repository = repository
        self._record = record
        self._config = RunConfig(record.config, self._use_as_configured)
        self._slots: dict[str, str] = {}
        self._opened_in = forks.generation()
        # The process whose end is the run's end, as a generation of forks; None for a run that
        # somebody else began.
        self._owner: int | None = None
        self._marker: int | None = None
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
    ) -> Self:
        """A new run, which ends with this process at the latest.

        Raises: InvalidName, BackendUnavailable, PermissionDenied.
        """
        record = repository.catalog.create_run(
            check_name(chosen_project(project), kind="project"),
            name=name,
            job_type=job_type,
            config=config or {},
        )
        run = cls(repository, record)
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

    def __repr__(self) -> str:
        return f"<Run {self.name} ({self.id})>"

    @property
    def id(self) -> str:
        """The run's id, unique in the store."""
        return self._record.id

    @property
    def name(self) -> str:
        """A name for people."""
        return self._record.name

    @property
    def project(self) -> str:
        """The project that the run is in."""
        return self._record.project

    @property
    def entity(self) -> str:
        """The entity that the run's store belongs to."""
        return self.repository.info.entity

    @property
    def job_type(self) -> str | None:
        """What the run does, such as "train"; "auto" where `Artifact.save` made it."""
        return self._record.job_type

    @property
    def config(self) -> RunConfig:
        """What the run was configured with; `config.lr` and `config["lr"]` are the same."""
        return self._config

    @property
    def path(self) -> str:
        """`entity/project/id`."""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def state(self) -> str:
        """`running`, `finished`, `failed` or `crashed`, as the store knows it now.

        A run has crashed when its processes were killed before one of them ended it.
        Blocks: on the catalog.
        """
        return self.repository.catalog.run(self.id).state.value

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from one that began or joined the run."""
        return self._opened_in != forks.generation()

    # --- artifacts -------------------------------------------------------------------------

    def log_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - W&B's name
        aliases: str | Sequence[str] | None = None,
    ) -> Artifact:
        """Make an artifact a version, as an output of this run.

        Content that equals that of `latest` makes no new version; the aliases move all the same.

        Args:
            artifact_or_path: An artifact, or what to make one of: a file, a directory, or a URI.
            name: The artifact's name where a path is given. Default: `run-<id>-<base name>`.
            type: Its type where a path is given. Default: "unspecified".
            aliases: Aliases for it besides `latest`.

        Raises:
            ValueError: for a path that is nothing of that kind, and bad names and aliases.
            Conflict: if there is an artifact of that name and another type.
        """
        artifact = self._as_artifact(artifact_or_path, name, type)
        artifact.commit_to(self, aliases=chosen_aliases(aliases))
        return artifact

    def use_artifact(
        self,
        artifact_or_name: Artifact | str,
        type: str | None = None,  # noqa: A002 - W&B's name
        aliases: str | Sequence[str] | None = None,
        use_as: str | None = None,
    ) -> Artifact:
        """Record an artifact as an input of this run and return it.

        Args:
            artifact_or_name: `[[entity/]project/]name[:alias|:vN|:digest]`, or an artifact; a
                draft is logged first, unless some version has the same content.
            type: The type that it must have.
            aliases: Aliases for a draft besides `latest`.
            use_as: The name under which this run uses it; one artifact for each.

        Raises:
            ArtifactNotFound, VersionNotFound, AliasNotFound: if there is none of that name.
            ValueError: for another type, or a `use_as` that is taken.
        """
        check_use_as(use_as)
        if isinstance(artifact_or_name, str):
            record = self.repository.resolve(artifact_or_name, project=self.project)
            artifact = Artifact.of_version(
                self.repository, record, use_as=use_as or artifact_or_name
            )
        elif isinstance(artifact_or_name, Artifact):
            artifact = artifact_or_name
            if artifact.id is None:
                artifact.commit_to(self, aliases=chosen_aliases(aliases), dedupe_all=True)
        else:
            raise InvalidArgument(
                repr(artifact_or_name), "is neither an artifact nor the name of one"
            )
        if type is not None and type != artifact.type:
            raise InvalidArgument(artifact.name, f"has the type {artifact.type!r}, not {type!r}")
        self._record_use(artifact, use_as)
        return artifact

    def link_artifact(
        self,
        artifact: Artifact,
        target_path: str,
        aliases: list[str] | None = None,
    ) -> None:
        """Put an artifact into a portfolio; a draft is logged first. See `Artifact.link`."""
        if artifact.id is None:
            self.log_artifact(artifact)
        assert artifact.id is not None
        link_artifact(
            self.repository, artifact.id, target_path, project=self.project, aliases=aliases
        )

    def logged_artifacts(self) -> list[Artifact]:
        """The artifacts that this run logged, oldest first."""
        records = self.repository.catalog.outputs_of(self.id)
        return [Artifact.of_version(self.repository, record) for record in records]

    def used_artifacts(self) -> list[Artifact]:
        """The artifacts that this run used, in the order of first use."""
        records = self.repository.catalog.inputs_of(self.id)
        return [Artifact.of_version(self.repository, record) for record in records]

    def _as_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None,
        type_name: str | None,
    ) -> Artifact:
        if isinstance(artifact_or_path, Artifact):
            return artifact_or_path
        if not isinstance(artifact_or_path, str | os.PathLike):
            raise InvalidArgument(repr(artifact_or_path), "is neither an artifact nor a path")
        path = os.fspath(artifact_or_path)
        if name is None:
            name = f"run-{self.id}-{Path(path).name}"
        artifact = Artifact(name, type_name or "unspecified")
        if Path(path).is_file():
            artifact.add_file(path)
        elif Path(path).is_dir():
            artifact.add_dir(path)
        elif "://" in path:
            artifact.add_reference(path)
        else:
            raise InvalidArgument(path, "is not a file, a directory or a URI like s3://bucket/path")
        return artifact

    def _record_use(self, artifact: Artifact, use_as: str | None) -> None:
        assert artifact.id is not None
        slot = artifact.id if use_as is None else self._slots.setdefault(use_as, artifact.id)
        if slot != artifact.id:
            raise InvalidArgument(
                f"use_as {use_as!r}", "this run uses another artifact as that already"
            )
        self.repository.catalog.record_use(self.id, artifact.id, use_as=use_as)

    def _use_as_configured(self, key: str, artifact: ArtifactContent | str) -> Artifact:
        """Record what the config has under a key as an input, and keep there which it is."""
        if isinstance(artifact, str):
            record = self.repository.catalog.version_by_id(artifact)
            artifact = Artifact.of_version(self.repository, record, use_as=key)
        assert isinstance(artifact, Artifact)
        used = self.use_artifact(artifact, use_as=key)
        known = {**used.json_encode(), "usedAs": key}
        self.repository.catalog.configure_run(self.id, {key: known})
        return used

    # --- life ------------------------------------------------------------------------------

    def finish(self, exit_code: int | None = None) -> None:
        """End the run: as finished, or as failed with an exit code other than 0.

        A run that another process began, and which this one only joined, goes on. Ending a run
        twice is no error. Raises: BackendUnavailable.
        """
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
        if self._owner != forks.generation():
            return
        self._owner = None
        state = RunState.FAILED if exit_code else RunState.FINISHED
        self._record = self.repository.catalog.finish_run(self.id, state)

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
