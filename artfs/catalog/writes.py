"""What changes to names are made of: upserts, counters, aliases, in a caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, func, select, update

from artfs.catalog.bulk import put_rows, upsert
from artfs.catalog.checked import ArtifactKey
from artfs.catalog.dangling import MAX_INDEX
from artfs.catalog.engine import now_ns
from artfs.catalog.rows import find_artifact
from artfs.catalog.schema import LATEST, aliases, artifacts, links, projects, tags
from artfs.catalog.searchindex import mark
from artfs.errors import Unsupported, VersionExists


def put_tags(connection: Connection, version_id: str, names: Iterable[str]) -> None:
    """Give a version tags that it has not yet."""
    put_rows(connection, tags, [{"version_id": version_id, "name": name} for name in set(names)])


def ensure_project(connection: Connection, name: str) -> int:
    """The id of the project, which is made where it is missing."""
    wanted = select(projects.c.id).where(projects.c.name == name)
    found: int | None = connection.execute(wanted).scalar_one_or_none()
    if found is None:
        put_rows(connection, projects, [{"name": name, "created_at_ns": now_ns(connection)}])
        return int(connection.execute(wanted).scalar_one())
    return found


def lock_artifact(
    connection: Connection, project: str, name: str, *, type_name: str, is_portfolio: bool
) -> ArtifactKey:
    """The artifact or portfolio, locked until the transaction ends, made where it is missing.

    Raises: VersionExists where the name belongs to one of another type or kind.
    """
    key = find_artifact(connection, project, name, lock=True)
    if key is None:
        row = {
            "project_id": ensure_project(connection, project),
            "name": name,
            "type": type_name,
            "is_portfolio": is_portfolio,
            "next_index": 0,
            "created_at_ns": now_ns(connection),
        }
        put_rows(connection, artifacts, [row])
        key = find_artifact(connection, project, name, lock=True)
        assert key is not None
    if key.is_portfolio != is_portfolio:
        kind = "a portfolio" if key.is_portfolio else "an artifact"
        raise VersionExists(key.path, f"the name belongs to {kind}", hint="choose another name")
    if not is_portfolio and key.type != type_name:
        raise VersionExists(
            key.path, f"has the type {key.type!r}, not {type_name!r}", hint="choose another name"
        )
    return key


def lock_artifacts(connection: Connection, ids: Iterable[int]) -> None:
    """Keep other writers from the numbers and aliases of these artifacts and portfolios."""
    # One order for everybody, so that two writers cannot wait for each other.
    connection.execute(
        select(artifacts.c.id)
        .where(artifacts.c.id.in_(sorted(ids)))
        .order_by(artifacts.c.id)
        .with_for_update()
    ).all()


def add_link(
    connection: Connection, key: ArtifactKey, version_id: str, *, index: int | None = None
) -> int:
    """Give a version a number of a locked artifact or portfolio that none has, or the next one.

    Returns the number. Raises: Unsupported where there is no number left.
    """
    index = key.next_index if index is None else index
    if index >= MAX_INDEX:
        # The number of the one after it could not be kept.
        raise Unsupported(
            key.path,
            f"v{MAX_INDEX - 1} is the last version that it can have",
            hint="go on under another name",
        )
    if index >= key.next_index:
        connection.execute(
            update(artifacts).where(artifacts.c.id == key.id).values(next_index=index + 1)
        )
    row = {"artifact_id": key.id, "index": index, "version_id": version_id}
    connection.execute(links.insert(), row)
    return index


def move_aliases(
    connection: Connection, artifact_id: int, names: Iterable[str], version_id: str
) -> None:
    """Point aliases of a locked artifact or portfolio to one of its versions."""
    rows = [
        {"artifact_id": artifact_id, "name": name, "version_id": version_id}
        for name in sorted(set(names))
    ]
    if rows:
        insert = upsert(connection, aliases)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=[aliases.c.name, aliases.c.artifact_id],
                set_={"version_id": insert.excluded.version_id},
            ),
            rows,
        )
        mark(connection, [version_id])


def restore_latest(connection: Connection, artifact_ids: Iterable[int]) -> None:
    """Let `latest` fall back to the newest version left, where an artifact has lost it."""
    for artifact_id in artifact_ids:
        newest = (
            select(func.max(links.c.index)).where(links.c.artifact_id == artifact_id)
        ).scalar_subquery()
        version_id = connection.execute(
            select(links.c.version_id).where(
                links.c.artifact_id == artifact_id, links.c.index == newest
            )
        ).scalar_one_or_none()
        if version_id is not None:
            row = {"artifact_id": artifact_id, "name": LATEST, "version_id": version_id}
            put_rows(connection, aliases, [row])
            mark(connection, [version_id])
