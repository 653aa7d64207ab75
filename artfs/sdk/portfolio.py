"""Portfolios: collections of versions of any artifact, with numbers and aliases of their own."""

from __future__ import annotations

from collections.abc import Sequence

from artfs.catalog.records import VersionRecord
from artfs.errors import ArtifactNotFound, InvalidArgument
from artfs.model import check_name
from artfs.repository.facade import Repository
from artfs.sdk.labels import chosen_aliases


def link_artifact(
    repository: Repository,
    version_id: str,
    target_path: str,
    *,
    project: str,
    aliases: str | Sequence[str] | None,
) -> VersionRecord:
    """Put a version into the portfolio `[[entity/]project/]portfolio`; see `Artifact.link`.

    `project` is that of a path that names none. Returns the version as the portfolio shows it.
    Raises: InvalidArgument for a path with a version or alias, InvalidName, ArtifactNotFound for
    another entity, VersionExists where the name belongs to an artifact.
    """
    if ":" in target_path:
        raise InvalidArgument(
            target_path, "names a version", hint="write [[entity/]project/]portfolio"
        )
    parts = target_path.split("/")
    if len(parts) > 3:
        raise InvalidArgument(
            target_path, "is not a portfolio", hint="write [[entity/]project/]portfolio"
        )
    portfolio = check_name(parts[-1], kind="portfolio")
    if len(parts) > 1:
        project = check_name(parts[-2], kind="project")
    if len(parts) > 2 and parts[0] != repository.info.entity:
        raise ArtifactNotFound(
            target_path, f"this store belongs to the entity {repository.info.entity!r}"
        )
    return repository.catalog.link(version_id, project, portfolio, chosen_aliases(aliases))
