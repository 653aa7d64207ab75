"""`artfs.Api`: looking through a store without a run, lazily and in pages."""

from __future__ import annotations

from typing import Any

from artfs.catalog.records import ArtifactRecord
from artfs.errors import ArtifactNotFound, InvalidArgument, NotFound, RunNotFound, WrongType
from artfs.model import check_name
from artfs.repository.facade import LATEST, Repository
from artfs.repository.runnames import find_run
from artfs.sdk.collections import PER_PAGE, ArtifactCollection, ArtifactType, ArtifactVersions
from artfs.sdk.run import Artifact, Run
from artfs.sdk.runlist import Project, Runs
from artfs.sdk.session import repository_to_read
from artfs.settings import chosen_project


class Api:
    """A store, to be looked through. Every answer is what the store says at that moment.

    Args:
        overrides: W&B's: `project` stands in for names that mention none; the rest is taken.
        timeout: Without effect.
        api_key: Without effect: a store needs none.
        store: A directory, or the URL of a shared store. Default: that of the current run; without
            one `$ARTFS_STORE`, the configuration file, a directory in the user's data directory.

    Raises:
        StoreNotFound: if there is none.

    Example:
        >>> api = artfs.Api()
        >>> api.artifact("demo/digits:latest").download()
    """

    def __init__(
        self,
        overrides: dict[str, Any] | None = None,
        timeout: int | None = None,  # noqa: ARG002 - without effect
        api_key: str | None = None,  # noqa: ARG002 - as above
        *,
        store: str | None = None,
    ) -> None:
        if overrides is not None and not isinstance(overrides, dict):
            raise InvalidArgument(
                repr(overrides)[:60], "is no dict of overrides", hint="write Api(store=…)"
            )
        self._project_name: str | None = (overrides or {}).get("project")
        self._repository: Repository = repository_to_read(store)

    @property
    def default_entity(self) -> str:
        """The entity that the store belongs to."""
        return self._repository.info.entity

    def _project(self, name: str | None = None) -> str:
        return chosen_project(name or self._project_name)

    def projects(self, entity: str | None = None, per_page: int = 200) -> list[Project]:  # noqa: ARG002 - W&B's
        """All projects, by name; a project is its name."""
        found = self._repository.catalog.projects()
        return [Project(record.name, self.default_entity) for record in found]

    def project(self, name: str, entity: str | None = None) -> Project:  # noqa: ARG002 - W&B's
        """The project of this name, which need not hold anything yet. Raises: ValueError."""
        return Project(check_name(name, kind="project"), self.default_entity)

    def flush(self) -> None:
        """Do nothing: nothing is remembered that could be old."""

    # --- artifacts -------------------------------------------------------------------------

    def artifact(self, name: str, type: str | None = None) -> Artifact:  # noqa: A002 - W&B's name
        """The version `[[entity/]project/]name[:alias|:vN|:digest]`; by default `latest`.

        Raises:
            ArtifactNotFound, VersionNotFound, AliasNotFound: if there is none.
            ValueError: for a bad name, or another type.
        """
        record = self._repository.resolve(name, project=self._project())
        if type is not None and record.type != type:
            raise WrongType(record.path, f"has the type {record.type!r}, not {type!r}")
        return Artifact.of_version(self._repository, record)

    def artifact_exists(self, name: str, type: str | None = None) -> bool:  # noqa: A002 - W&B's name
        """Whether `artifact` would find one. Raises: ValueError for a bad name."""
        try:
            path = self._repository.meant(name, project=self._project())
            assert path.project is not None
            catalog = self._repository.catalog
            found = catalog.version(path.project, path.name, path.selector or LATEST)
        except NotFound:
            return False
        return type in {None, found.type}

    def artifact_versions(
        self, type_name: str, name: str, per_page: int = PER_PAGE
    ) -> ArtifactVersions[Artifact]:
        """All versions of the artifact or portfolio `[[entity/]project/]name`, newest first.

        Raises: ArtifactNotFound, also for another type.
        """
        return self.artifact_collection(type_name, name).artifacts(per_page)

    def artifacts(
        self,
        type_name: str,
        name: str,
        order: str | None = None,
        per_page: int = PER_PAGE,
        tags: str | list[str] | None = None,
        start: str | None = None,  # noqa: ARG002 - W&B's
        *,
        filters: str | None = None,
    ) -> ArtifactVersions[Artifact]:
        """The versions of the artifact or portfolio `[[entity/]project/]name`.

        Args:
            type_name: The type that they must have.
            name: The artifact or portfolio.
            order: A field such as `created_at` or `size`; with `-` before it from the greatest
                down. Default: newest first.
            per_page: How many the catalog is asked for at a time.
            tags: Only those that have all of these.
            start: Without effect.
            filters: Only those that `artfs search` finds by these words, such as
                `metadata.accuracy > 0.9 -tag:raw`: of the newest 10,000.

        Raises:
            ArtifactNotFound: also for another type.
            ValueError: for another order, and for words that cannot be read.
        """
        record = self._collection_record(type_name, name)
        return ArtifactVersions(
            self._repository,
            record,
            Artifact.of_version,
            per_page,
            order=order,
            tags=tags,
            filters=filters,
        )

    def artifact_collection_exists(self, name: str, type: str) -> bool:  # noqa: A002 - W&B's name
        """Whether `artifact_collection` would find one. Raises: ValueError for a bad name."""
        try:
            self._collection_record(type, name)
        except NotFound:
            return False
        return True

    def artifact_types(self, project: str | None = None) -> list[ArtifactType[Artifact]]:
        """The types of a project's artifacts, by name."""
        chosen = self._project(project)
        records = self._repository.catalog.artifacts(project=chosen)
        names = sorted({record.type for record in records})
        return [ArtifactType(self._repository, chosen, name, Artifact.of_version) for name in names]

    def artifact_type(self, type_name: str, project: str | None = None) -> ArtifactType[Artifact]:
        """One type of a project's artifacts. Raises: ArtifactNotFound if nothing has it."""
        for found in self.artifact_types(project):
            if found.name == type_name:
                return found
        raise ArtifactNotFound(
            f"type {type_name!r}", f"no artifact of {self._project(project)} has it"
        )

    def artifact_collections(
        self, project_name: str | None = None, type_name: str | None = None
    ) -> list[ArtifactCollection[Artifact]]:
        """A project's artifacts and portfolios, by name; of one type where it is named."""
        records = self._repository.catalog.artifacts(
            project=self._project(project_name), type_name=type_name
        )
        return [
            ArtifactCollection(self._repository, record, Artifact.of_version) for record in records
        ]

    def artifact_collection(self, type_name: str, name: str) -> ArtifactCollection[Artifact]:
        """The artifact or portfolio `[[entity/]project/]name`.

        Raises: ArtifactNotFound, also for another type.
        """
        record = self._collection_record(type_name, name)
        return ArtifactCollection(self._repository, record, Artifact.of_version)

    def _collection_record(self, type_name: str, name: str) -> ArtifactRecord:
        if "/" in type_name and "/" not in name:
            raise ArtifactNotFound(
                repr(type_name)[:140],
                "is no type of artifacts",
                hint=f"the type comes first: did you mean ({name!r}, {type_name!r})?",
            )
        record = self._repository.artifact(name, project=self._project(), on_damage=None)
        if record.type != type_name:
            raise ArtifactNotFound(record.path, f"has the type {record.type!r}, not {type_name!r}")
        return record

    # --- runs ------------------------------------------------------------------------------

    def run(self, path: str) -> Run:
        """The run `[[entity/]project/]id`. Raises: RunNotFound."""
        *above, run_id = [part for part in path.strip("/").split("/") if part != "runs"] or [""]
        catalog = self._repository.catalog
        if above:
            record = find_run(catalog, above[-1], run_id)
            if record is None:
                raise RunNotFound(path, f"the project {above[-1]!r} has no such run")
        else:
            record = find_run(catalog, self._project(), run_id) or catalog.run(run_id)
        return Run(self._repository, record)

    def runs(
        self,
        path: str | None = None,
        filters: dict[str, Any] | None = None,
        order: str | None = "+created_at",
        per_page: int = PER_PAGE,  # noqa: ARG002 - without effect, as the others
        include_sweeps: bool = False,  # noqa: ARG002
        lazy: bool = True,  # noqa: ARG002
    ) -> Runs:
        """The runs of the project `[entity/]project`; of all without a path.

        Args:
            path: The project.
            filters: What they must be, in MongoDB's words: `{"config.lr": {"$gt": 0.1}}`, of
                `state`, `display_name`, `job_type`, `group`, `tags`, `created_at`, `config.…`,
                `summary_metrics.…`.
            order: A field of these; with `-` before it from the greatest down.
            per_page: Without effect, as `include_sweeps` and `lazy`.

        Raises:
            InvalidArgument, Unsupported: for filters and orders that are not known.
        """
        project = None if path is None else path.strip("/").split("/")[-1]
        return Runs(self._repository, project, filters, order)
