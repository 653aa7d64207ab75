"""What a mount shows: the whole store, a project, an artifact, or one version."""

from __future__ import annotations

import msgspec

from artfs.catalog.records import VersionRecord
from artfs.errors import ArtifactNotFound
from artfs.model import check_name
from artfs.repository.facade import Repository


class Target(msgspec.Struct, frozen=True):
    """What a mount's root is; parts that are None are below it."""

    project: str | None = None
    name: str | None = None
    version: VersionRecord | None = None


def resolve_target(
    repository: Repository, text: str | None, *, default_project: str | None = None
) -> Target:
    """Find what `text` names: `PROJECT`, `PROJECT/NAME` or `[PROJECT/]NAME:SELECTOR`.

    None is the whole store. A version is pinned: the mount stays with the one found here.
    Blocks: on the catalog. Raises: InvalidName, ArtifactNotFound, VersionNotFound,
    AliasNotFound, BackendUnavailable.
    """
    if text is None:
        return Target()
    if ":" in text:
        version = repository.resolve(text, project=default_project)
        return Target(version.project, version.name, version)
    if "/" in text:
        path = repository.parse(text)
        assert path.project is not None
        repository.catalog.artifact(path.project, path.name)
        return Target(path.project, path.name)
    project = check_name(text, kind="project")
    if project not in {each.name for each in repository.catalog.projects()}:
        raise ArtifactNotFound(project, "the store has no such project")
    return Target(project)
