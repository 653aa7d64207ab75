"""Finding artifacts and versions by patterns of names: `demo/exp-*`, `demo/digits:v1*`."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from artfs.catalog.records import ArtifactRecord, VersionRecord
from artfs.errors import ArtifactNotFound, DamagedRecord, InvalidName
from artfs.repository.facade import Repository

_HINT = "write PROJECT/NAME[:VERSION], with *, ? and [a-z] in each"


class Matches(msgspec.Struct, frozen=True):
    """What a pattern matches."""

    artifacts: list[ArtifactRecord]
    versions: list[VersionRecord] | None
    """Of all these artifacts, newest first; None where no version is spoken of."""


def matching(repository: Repository, text: str, *, project: str | None = None) -> Matches:
    """The artifacts, or versions, that a pattern matches; a version has aliases and a number.

    Blocks: on the catalog. Raises: InvalidName, ArtifactNotFound where nothing matches,
    BackendUnavailable.
    """
    wanted_project, name, selector = _split(text, repository.info.entity, project)
    artifacts = [
        each
        for each in repository.catalog.artifacts(on_damage=_passed_over)
        if fnmatchcase(each.project, wanted_project) and fnmatchcase(each.name, name)
    ]
    versions = None
    if selector is not None:
        versions = [
            version
            for each in artifacts
            for version in repository.catalog.versions(each.id, on_damage=_passed_over)
            if any(fnmatchcase(named, selector) for named in (version.version, *version.aliases))
        ]
    if not (artifacts if versions is None else versions):
        raise ArtifactNotFound(text, "nothing matches")
    return Matches(artifacts, versions)


def _split(text: str, entity: str, project: str | None) -> tuple[str, str, str | None]:
    names, colon, rest = text.removesuffix("/").partition(":")
    parts = names.split("/")
    selector = rest if colon else None
    if len(parts) == 3 and parts[0] == entity:
        parts = parts[1:]
    elif len(parts) == 3 and selector is None:
        *parts, selector = parts
    if len(parts) == 1 and project is not None:
        parts = [project, *parts]
    if len(parts) != 2 or "" in parts or selector == "" or "/" in (selector or ""):
        raise InvalidName(text, "not a pattern of names", hint=_HINT)
    return parts[0], parts[1], selector


def _passed_over(_: DamagedRecord) -> None:
    """What is damaged is matched by its own name alone."""
