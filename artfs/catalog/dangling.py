"""Names that should be there and are not: rows that lead to rows which are lost.

A database keeps to foreign keys as long as everybody goes through it: a backup may lack rows, and
SQLite looks at keys only where it is asked to. Whoever lists what is there does not meet such
names, so they are looked for: what is lost is to be told as damage, not as "there is none".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Integer,
    String,
    Text,
    and_,
    cast,
    null,
    or_,
    select,
    union_all,
)

from artfs.catalog.blob_port import OnDamage
from artfs.catalog.rowchecks import HINT, shown
from artfs.catalog.schema import LATEST, aliases, artifacts, links, projects, versions
from artfs.errors import DamagedRecord
from artfs.model import VersionState

MAX_INDEX = 2**31 - 1
"""The largest number that a version can have."""


def is_living() -> ColumnElement[bool]:
    """Whether a version is COMMITTED.

    A state that no version has counts as damage, not as a version that nobody needs.
    """
    gone = (VersionState.PENDING.value, VersionState.DELETED.value)
    return or_(versions.c.state.is_(None), versions.c.state.not_in(gone))


def tell_lost_projects(connection: Connection, on_damage: OnDamage | None) -> None:
    """Tell of artifacts whose project is not there. Raises: DamagedRecord without `on_damage`."""
    orphans = (
        select(artifacts.c.name)
        .outerjoin(projects, projects.c.id == artifacts.c.project_id)
        .where(projects.c.id.is_(None), artifacts.c.deleted_at_ns.is_(None))
    )
    reason = "its project is not in the catalog"
    _tell(
        (
            DamagedRecord(f"artifact {shown(name)}", reason, hint=HINT, kind="project")
            for name in connection.scalars(orphans).all()
        ),
        on_damage,
    )


def tell_lost_names(
    connection: Connection, *conditions: ColumnElement[bool], on_damage: OnDamage | None
) -> None:
    """Tell of names of versions that artifacts which satisfy the conditions have lost.

    Raises: DamagedRecord without `on_damage`.
    """
    _tell(map(_lost_name, connection.execute(_lost(*conditions)).all()), on_damage)


def lost_name_of(connection: Connection, artifact_id: int, selector: str) -> DamagedRecord | None:
    """What tells that an artifact has lost the version that an alias, `vN` or digest selects."""
    for row in connection.execute(_lost(artifacts.c.id == artifact_id)):
        error = _lost_name(row)
        if selector in {*error.names, row[-1]}:
            return error
    return None


def _tell(errors: Iterable[DamagedRecord], on_damage: OnDamage | None) -> None:
    for error in errors:
        if on_damage is None:
            raise error
        on_damage(error)


def _lost_name(row: Sequence[Any]) -> DamagedRecord:
    project, artifact, alias, index, version_id, _ = row
    hint = f"`artfs rm` deletes it; {HINT}"
    if index is not None:
        alias, reason = f"v{index}", "the catalog has the version, but not that it is in there"
    elif version_id is not None:
        reason = "the alias leads to a version that is not in there"
    else:
        reason = "the catalog has versions of it, but not this alias"
        hint = f"it comes back when `artfs alias add` gives one of them an alias; {HINT}"
    return DamagedRecord(
        shown(f"{project}/{artifact}:{alias}"),
        reason,
        hint=hint,
        version_id=version_id,
        kind="version",
        names=(alias,),
    )


def _lost(*conditions: ColumnElement[bool]) -> CompoundSelect[Any]:
    """Names that artifacts should have, and that no link has.

    They are aliases of no link; numbers of versions that are no links in their own artifact; and
    `latest` where it is not. One statement: what others change meanwhile is no damage.
    """
    path, no_text = (projects.c.name, artifacts.c.name), cast(null(), Text)
    no_number, no_id = cast(null(), Integer), cast(null(), String(32))
    in_project = projects.c.id == artifacts.c.project_id
    living = (artifacts.c.deleted_at_ns.is_(None), *conditions)
    of_alias = select(*path, aliases.c.name, no_number, aliases.c.version_id, no_text)
    is_link = and_(
        links.c.artifact_id == aliases.c.artifact_id, links.c.version_id == aliases.c.version_id
    )
    of_version = select(
        *path, no_text, versions.c.index, versions.c.id, cast(versions.c.digest, Text)
    )
    is_held = and_(
        links.c.artifact_id == versions.c.artifact_id,
        links.c.version_id == versions.c.id,
        links.c.index == versions.c.index,
    )
    of_latest = select(*path, cast(LATEST, Text), no_number, no_id, no_text)
    has_version = select(links.c.index).where(links.c.artifact_id == artifacts.c.id).exists()
    has_latest = (
        select(aliases.c.name)
        .where(aliases.c.artifact_id == artifacts.c.id, aliases.c.name == LATEST)
        .exists()
    )
    return union_all(
        of_alias.join_from(aliases, artifacts, artifacts.c.id == aliases.c.artifact_id)
        .join(projects, in_project)
        .outerjoin(links, is_link)
        .where(links.c.artifact_id.is_(None), *living),
        of_version.join_from(versions, artifacts, artifacts.c.id == versions.c.artifact_id)
        .join(projects, in_project)
        .outerjoin(links, is_held)
        .where(
            links.c.artifact_id.is_(None),
            versions.c.index.between(0, MAX_INDEX),
            is_living(),
            *living,
        ),
        of_latest.join_from(artifacts, projects, in_project).where(
            has_version, ~has_latest, *living
        ),
    )
