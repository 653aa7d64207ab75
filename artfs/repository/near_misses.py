"""What somebody may have meant whose name leads to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING

from artfs.errors import (
    AliasNotFound,
    ArtfsError,
    ArtifactNotFound,
    DamagedRecord,
    NotFound,
    VersionNotFound,
)
from artfs.targets import ArtifactPath

if TYPE_CHECKING:
    from artfs.catalog.base import Catalog

_SIMILAR = 0.6
_LOOKED_AT = 1000
"""Versions of one artifact."""
_NUMBER = re.compile(r"[vV]?0*(\d{1,9})")


def closest(word: str, names: Iterable[str]) -> str | None:
    """The name that is most like a word, if one is; capitals count little."""
    lowered = {name.lower(): name for name in names}
    found = get_close_matches(word.lower(), lowered, n=1, cutoff=_SIMILAR)
    return lowered[found[0]] if found else None


@contextmanager
def named_near_misses(catalog: Catalog, path: ArtifactPath, *, entity: str) -> Iterator[None]:
    """Let what is not found name what is like it. `path` has a project.

    Blocks: on the catalog, where something is not found. Raises: what is raised in it.
    """
    try:
        yield
    except (ArtifactNotFound, VersionNotFound, AliasNotFound) as error:
        meant = None
        # Whatever keeps us from looking: the error that is there counts.
        with suppress(ArtfsError):
            meant = _meant(catalog, path, error)
        if meant is None:
            raise
        reason = error.reason
        if _is_foreign(path, meant):
            reason = f"this store belongs to the entity {entity!r}"
        raise type(error)(error.subject, reason, hint=f"did you mean {meant}?") from None


def _meant(catalog: Catalog, path: ArtifactPath, error: NotFound) -> str | None:
    assert path.project is not None
    if isinstance(error, ArtifactNotFound):
        return _artifact(catalog, path)
    if path.selector is None:
        return None
    artifact = catalog.artifact(path.project, path.name, on_damage=_ignored)
    versions = catalog.versions(artifact.id, limit=_LOOKED_AT, on_damage=_ignored)
    number = _NUMBER.fullmatch(path.selector)
    if number is not None:
        # 3 for v3, V3, v03: never another number, which would be another version.
        wanted = f"v{int(number[1])}"
        found = wanted if wanted in {each.version for each in versions} else None
    else:
        found = closest(path.selector, {alias for each in versions for alias in each.aliases})
    return None if found is None else f"{path.project}/{path.name}:{found}"


def _artifact(catalog: Catalog, path: ArtifactPath) -> str | None:
    assert path.project is not None
    projects = [each.name for each in catalog.projects(on_damage=_ignored)]
    if path.project in projects:
        found = closest(path.name, _names(catalog, path.project))
        if found is not None:
            return f"{path.project}/{found}"
    swapped = path.name in projects and path.project in _names(catalog, path.name)
    if swapped:
        return f"{path.name}/{path.project}"
    # ENTITY/PROJECT/NAME of another entity reads as PROJECT/NAME/VERSION.
    if path.selector and path.name in projects and path.selector in _names(catalog, path.name):
        return f"{path.name}/{path.selector}"
    project = closest(path.project, [each for each in projects if each != path.project])
    if project is not None:
        found = closest(path.name, _names(catalog, project))
        if found is not None:
            return f"{project}/{found}"
    elsewhere = [
        each.path for each in catalog.artifacts(on_damage=_ignored) if each.name == path.name
    ]
    return elsewhere[0] if len(elsewhere) == 1 else None


def _is_foreign(path: ArtifactPath, meant: str) -> bool:
    return path.selector is not None and meant == f"{path.name}/{path.selector}"


def _names(catalog: Catalog, project: str) -> list[str]:
    return [each.name for each in catalog.artifacts(project=project, on_damage=_ignored)]


def _ignored(_: DamagedRecord) -> None:
    """What is damaged is nobody's near miss."""
