"""`artfs.Artifact` and `artfs.Run`: artifacts know the runs that made and used them, runs make and
use artifacts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from artfs.catalog.records import RunRecord, VersionRecord
from artfs.errors import InvalidArgument, WrongType
from artfs.model import Metadata
from artfs.repository.facade import Repository
from artfs.sdk.artifact_content import ArtifactContent
from artfs.sdk.collections import ArtifactCollection
from artfs.sdk.logged import link_artifact
from artfs.sdk.metadata import check_tags, check_use_as, chosen_aliases
from artfs.sdk.runlife import RunLife
from artfs.sdk.runmodels import fill_from
from artfs.sdk.session import (
    current_run,
    shared_repository,
)


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

    def link(self, target_path: str, aliases: Iterable[str] | None = None) -> Artifact:
        """Put the version into a portfolio, and return it as that shows it; a draft is saved first.

        Args:
            target_path: `portfolio`, `project/portfolio` or `entity/project/portfolio`.
            aliases: Names for it within the portfolio.

        Raises:
            ValueError: for a path or alias that breaks the rules.
        """
        if self.id is None:
            self.save()
        logged, run = self._logged("link"), current_run()
        record = link_artifact(
            logged.repository,
            logged.record.id,
            target_path,
            project=self.project if run is None else run.project,
            aliases=aliases if aliases is None else list(aliases),
        )
        return Artifact.of_version(logged.repository, record)

    def unlink(self) -> None:
        """Take the version out of the portfolio that it was asked of.

        Raises: ArtifactNotLoggedError in a draft; ValueError where it was not asked of one.
        """
        logged = self._logged("unlink")
        if not logged.is_link:
            raise InvalidArgument(
                self.qualified_name, "is not linked", hint="delete() deletes a version"
            )
        logged.delete(delete_aliases=True)

    @property
    def linked_artifacts(self) -> list[Artifact]:
        """The version as its portfolios show it; empty where it was asked of one.

        Raises: ArtifactNotLoggedError in a draft.
        """
        logged = self._logged("linked_artifacts")
        if logged.is_link:
            return []
        found = logged.repository.catalog.memberships(logged.record.id)
        return [Artifact.of_version(logged.repository, each) for each in found if each.is_linked]

    @property
    def source_artifact(self) -> Artifact:
        """The version in the artifact that it was logged to.

        Raises: ArtifactNotLoggedError in a draft.
        """
        logged = self._logged("source_artifact")
        return Artifact.of_id(self, logged.record.id) if logged.is_link else self

    @property
    def collection(self) -> ArtifactCollection[Artifact]:
        """The artifact or portfolio that the version was asked of.

        Raises: ArtifactNotLoggedError in a draft.
        """
        logged = self._logged("collection")
        return self._collection(logged.record.project, logged.record.name)

    @property
    def source_collection(self) -> ArtifactCollection[Artifact]:
        """The artifact that the version was logged to.

        Raises: ArtifactNotLoggedError in a draft.
        """
        record = self._logged("source_collection").record
        return self._collection(record.source_project, record.source_name)

    def _collection(self, project: str, name: str) -> ArtifactCollection[Artifact]:
        repository = self._logged("collection").repository
        record = repository.catalog.artifact(project, name)
        return ArtifactCollection(repository, record, Artifact.of_version)

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


class Run(RunLife):
    """Something that runs: it logs artifacts as its outputs and uses others as its inputs.

    `artfs.init` begins one. As a context manager it finishes at the end of the block, as failed
    where an exception leaves it; otherwise `finish` does, or the end of the process.
    """

    def __init__(
        self, repository: Repository, record: RunRecord, details: Metadata | None = None
    ) -> None:
        super().__init__(repository, record, details)
        self._slots: dict[str, str] = {}

    def log_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - W&B's name
        aliases: str | Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> Artifact:
        """Make an artifact a version, as an output of this run.

        Content that equals that of `latest` makes no new version; the aliases move all the same.

        Args:
            artifact_or_path: An artifact, or what to make one of: a file, a directory, or a URI.
            name: The artifact's name where a path is given. Default: `run-<id>-<base name>`.
            type: Its type where a path is given. Default: "unspecified".
            aliases: Aliases for it besides `latest`.
            tags: Tags for it besides those that it has.

        Raises:
            ValueError: for a path that is nothing of that kind, and bad names, aliases and tags.
            Conflict: if there is an artifact of that name and another type.
        """
        chosen, more = chosen_aliases(aliases), check_tags(tags or ())
        artifact = self._as_artifact(artifact_or_path, name, type)
        if more:
            artifact.tags = [*artifact.tags, *more]
        artifact.commit_to(self, aliases=chosen)
        if not set(more) <= set(artifact.tags):
            # The content was there already, in a version that keeps what it says of itself.
            artifact.tags = [*artifact.tags, *more]
            artifact.save()
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
            repository, record = self._found(artifact_or_name)
            artifact = Artifact.of_version(repository, record, use_as=use_as or artifact_or_name)
        elif isinstance(artifact_or_name, Artifact):
            artifact = artifact_or_name
            if artifact.id is None:
                artifact.commit_to(self, aliases=chosen_aliases(aliases), dedupe_all=True)
        else:
            raise InvalidArgument(
                repr(artifact_or_name), "is neither an artifact nor the name of one"
            )
        if type is not None and type != artifact.type:
            raise WrongType(artifact.name, f"has the type {artifact.type!r}, not {type!r}")
        self._record_use(artifact, use_as)
        return artifact

    def link_artifact(
        self,
        artifact: Artifact,
        target_path: str,
        aliases: Iterable[str] | None = None,
    ) -> Artifact:
        """Put an artifact into a portfolio; a draft is logged first. See `Artifact.link`."""
        if artifact.id is None:
            self.log_artifact(artifact)
        assert artifact.id is not None
        record = link_artifact(
            self.repository,
            artifact.id,
            target_path,
            project=self.project,
            aliases=aliases if aliases is None else list(aliases),
        )
        return Artifact.of_version(self.repository, record)

    def new_artifact(self, name: str, type_name: str) -> Artifact:
        """An empty draft."""
        return Artifact(name, type_name)

    def _found(self, name: str) -> tuple[Repository, VersionRecord]:
        """The version of a name, and the store that it is in."""
        return self.repository, self.repository.resolve(name, project=self.project)

    def logged_artifacts(self, per_page: int = 100) -> list[Artifact]:  # noqa: ARG002 - W&B's
        """The artifacts that this run logged, oldest first."""
        records = self.repository.catalog.outputs_of(self.id)
        return [Artifact.of_version(self.repository, record) for record in records]

    def used_artifacts(self, per_page: int = 100) -> list[Artifact]:  # noqa: ARG002 - W&B's
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
        fill_from(artifact, path)
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
