"""What can be wrong inside a catalog, for `artfs doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Select, func, select

from artfs.catalog.schema import LATEST, aliases, artifacts, blobs, links, packs, projects, versions
from artfs.model import VersionState

_MAX_NAMED = 100


def find_damage(connection: Connection) -> list[str]:
    """What Catalog.check says."""
    found = list(_sqlite_damage(connection)) if connection.dialect.name == "sqlite" else []
    path = projects.c.name + "/" + artifacts.c.name
    for query, text in _inconsistencies(path):
        found += [
            f"{name} {text}"
            for name in connection.scalars(query.order_by("what").limit(_MAX_NAMED))
        ]
    return found


def _sqlite_damage(connection: Connection) -> Iterator[str]:
    for (line,) in connection.exec_driver_sql(f"PRAGMA integrity_check({_MAX_NAMED})"):
        if line != "ok":
            yield str(line)
    for table, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"a row of {table} refers to one of {parent} that is not there"


def _inconsistencies(path: Any) -> Iterator[tuple[Select[Any], str]]:
    of_project = projects.c.id == artifacts.c.project_id
    in_artifact = links.c.artifact_id == artifacts.c.id
    linked = (
        select(path.label("what"))
        .join_from(artifacts, projects, of_project)
        .join(links, in_artifact)
        .distinct()
    )
    yield (
        linked.outerjoin(
            aliases, (aliases.c.artifact_id == artifacts.c.id) & (aliases.c.name == LATEST)
        ).where(aliases.c.version_id.is_(None)),
        f"has versions, but no {LATEST!r}",
    )
    yield (
        linked.join(versions, versions.c.id == links.c.version_id).where(
            versions.c.state != VersionState.COMMITTED.value
        ),
        "holds a version that is not committed",
    )
    yield (
        linked.where(links.c.index >= artifacts.c.next_index),
        "would give a version number a second time",
    )
    yield (
        select((path + ":" + versions.c.id).label("what"))
        .join_from(artifacts, projects, of_project)
        .join(versions, versions.c.artifact_id == artifacts.c.id)
        .outerjoin(links, in_artifact & (links.c.version_id == versions.c.id))
        .where(versions.c.state == VersionState.COMMITTED.value, links.c.version_id.is_(None)),
        "is committed, but its artifact does not hold it",
    )
    yield (
        select(func.count().label("what"))
        .select_from(blobs)
        .join(packs, packs.c.id == blobs.c.pack_id)
        .where(blobs.c.offset_bytes + blobs.c.size_bytes > packs.c.size_bytes)
        .having(func.count() > 0),
        "blobs reach beyond the end of their pack",
    )
