"""`artfs.Api`: looking through a store without a run, lazily and in pages."""

from __future__ import annotations

from artfs.errors import ArtifactNotFound, InvalidArgument, NotFound, RunNotFound
from artfs.repository.facade import Repository
from artfs.sdk.collections import PER_PAGE, ArtifactCollection, ArtifactType, ArtifactVersions
from artfs.sdk.run import Artifact, Run
from artfs.sdk.session import active_repository, shared_repository
from artfs.settings import chosen_project


class Api:
    """A store, to be looked through. Every answer is what the store says at that moment.

    Args:
        store: A directory, or the URL of a shared store. Default: that of the current run; without
            one `$ARTFS_STORE`, the configuration file, a directory in the user's data directory.

    Raises:
        StoreNotFound: if there is none.

    Example:
        >>> api = artfs.Api()
        >>> api.artifact("demo/digits:latest").download()
    """

    def __init__(self, store: str | None = None) -> None:
        self._repository: Repository = (
            active_repository(create=False)
            if store is None
            else shared_repository(store, create=False)
        )

    @property
    def default_entity(self) -> str:
        """The entity that the store belongs to."""
        return self._repository.info.entity

    def projects(self) -> list[str]:
        """The names of all projects."""
        return [record.name for record in self._repository.catalog.projects()]

    # --- artifacts -------------------------------------------------------------------------

    def artifact(self, name: str, type: str | None = None) -> Artifact:  # noqa: A002 - W&B's name
        """The version `[[entity/]project/]name[:alias|:vN|:digest]`; by default `latest`.

        Raises:
            ArtifactNotFound, VersionNotFound, AliasNotFound: if there is none.
            ValueError: for a bad name, or another type.
        """
        record = self._repository.resolve(name, project=_project())
        if type is not None and record.type != type:
            raise InvalidArgument(record.path, f"has the type {record.type!r}, not {type!r}")
        return Artifact.of_version(self._repository, record)

    def artifact_exists(self, name: str, type: str | None = None) -> bool:  # noqa: A002 - W&B's name
        """Whether `artifact` would find one. Raises: ValueError for a bad name."""
        try:
            return type in {None, self.artifact(name).type}
        except NotFound:
            return False

    def artifact_versions(
        self, type_name: str, name: str, per_page: int = PER_PAGE
    ) -> ArtifactVersions:
        """All versions of the artifact or portfolio `[[entity/]project/]name`, newest first.

        Raises: ArtifactNotFound, also for another type.
        """
        return self.artifact_collection(type_name, name).artifacts(per_page)

    def artifacts(self, type_name: str, name: str, per_page: int = PER_PAGE) -> ArtifactVersions:
        """The newer name of `artifact_versions`."""
        return self.artifact_versions(type_name, name, per_page)

    def artifact_types(self, project: str | None = None) -> list[ArtifactType]:
        """The types of a project's artifacts, by name."""
        chosen = _project(project)
        records = self._repository.catalog.artifacts(project=chosen)
        names = sorted({record.type for record in records})
        return [ArtifactType(self._repository, chosen, name) for name in names]

    def artifact_type(self, type_name: str, project: str | None = None) -> ArtifactType:
        """One type of a project's artifacts. Raises: ArtifactNotFound if nothing has it."""
        for found in self.artifact_types(project):
            if found.name == type_name:
                return found
        raise ArtifactNotFound(f"type {type_name!r}", f"no artifact of {_project(project)} has it")

    def artifact_collections(
        self, project_name: str | None = None, type_name: str | None = None
    ) -> list[ArtifactCollection]:
        """A project's artifacts and portfolios, by name; of one type where it is named."""
        records = self._repository.catalog.artifacts(
            project=_project(project_name), type_name=type_name
        )
        return [ArtifactCollection(self._repository, record) for record in records]

    def artifact_collection(self, type_name: str, name: str) -> ArtifactCollection:
        """The artifact or portfolio `[[entity/]project/]name`.

        Raises: ArtifactNotFound, also for another type.
        """
        path = self._repository.parse(name, project=_project())
        assert path.project is not None
        record = self._repository.catalog.artifact(path.project, path.name)
        if record.type != type_name:
            raise ArtifactNotFound(record.path, f"has the type {record.type!r}, not {type_name!r}")
        return ArtifactCollection(self._repository, record)

    # --- runs ------------------------------------------------------------------------------

    def run(self, path: str) -> Run:
        """The run `[[entity/]project/]id`. Raises: RunNotFound."""
        *above, run_id = path.strip("/").split("/")
        record = self._repository.catalog.run(run_id)
        if above and above[-1] != record.project:
            raise RunNotFound(path, f"the run is in the project {record.project!r}")
        return Run(self._repository, record)

    def runs(self, path: str | None = None) -> list[Run]:
        """The runs of the project `[entity/]project`, newest first; of all without a path."""
        project = None if path is None else path.strip("/").split("/")[-1]
        records = self._repository.catalog.runs(project=project)
        return [Run(self._repository, record) for record in records]


def _project(name: str | None = None) -> str:
    return chosen_project(name)
