"""Changing and deleting versions, and portfolios, each in a caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, exc, select, update

from artfs.catalog.bulk import among
from artfs.catalog.engine import now_ns
from artfs.catalog.records import ArtifactChange, ArtifactRecord, VersionRecord, VersionUpdate
from artfs.catalog.rowchecks import json_text
from artfs.catalog.rows import (
    find_artifact,
    linked_version,
    list_artifacts,
    require_artifact,
    version_by_id,
)
from artfs.catalog.schema import LATEST, aliases, artifacts, links, projects, tags, versions
from artfs.catalog.searchindex import mark, mark_artifact
from artfs.catalog.writes import (
    add_link,
    lock_artifact,
    lock_artifacts,
    move_aliases,
    put_tags,
    restore_latest,
)
from artfs.errors import (
    AliasNotFound,
    ArtifactNotFound,
    Conflict,
    VersionExists,
    VersionNotFound,
)
from artfs.failpoints import reach
from artfs.model import VersionState


def update_version(
    connection: Connection,
    version_id: str,
    changes: VersionUpdate,
    portfolio: tuple[str, str] | None,
) -> VersionRecord:
    """What Catalog.update_version says."""
    if portfolio is None:
        artifact_id = connection.execute(
            select(versions.c.artifact_id).where(versions.c.id == version_id)
        ).scalar_one_or_none()
    else:
        artifact_id = require_artifact(connection, *portfolio).id
    if artifact_id is not None:
        lock_artifacts(connection, [artifact_id])
    current = linked_version(connection, artifact_id, version_id) if artifact_id else None
    if artifact_id is None or current is None:
        raise VersionNotFound(repr(version_id)[:60], "no such version, or it was deleted")
    missing = sorted(set(changes.remove_aliases) - set(current.aliases))
    if missing:
        raise AliasNotFound(f"{current.path}", f"it has no alias {missing[0]!r}")
    values = _column_values(changes)
    if values:
        connection.execute(update(versions).where(versions.c.id == version_id).values(values))
    if changes.tags is not msgspec.UNSET:
        connection.execute(delete(tags).where(tags.c.version_id == version_id))
        put_tags(connection, version_id, changes.tags)
    if changes.remove_aliases:
        connection.execute(
            delete(aliases).where(
                aliases.c.artifact_id == artifact_id, aliases.c.name.in_(changes.remove_aliases)
            )
        )
    move_aliases(connection, artifact_id, changes.add_aliases, version_id)
    reach("alias.moved")
    restore_latest(connection, [artifact_id])
    mark(connection, [version_id])
    changed = linked_version(connection, artifact_id, version_id)
    assert changed is not None
    return changed


def _column_values(changes: VersionUpdate) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if changes.description is not msgspec.UNSET:
        values["description"] = changes.description
    if changes.metadata is not msgspec.UNSET:
        values["metadata"] = json_text(changes.metadata)
    if changes.ttl_s is not msgspec.UNSET:
        values["ttl_s"] = changes.ttl_s
    return values


def link(
    connection: Connection, version_id: str, project: str, portfolio: str, names: Sequence[str]
) -> VersionRecord:
    """What Catalog.link says."""
    made = version_by_id(connection, version_id)
    key = lock_artifact(connection, project, portfolio, type_name=made.type, is_portfolio=True)
    _require_committed(connection, made)
    moved = set(names)
    if linked_version(connection, key.id, version_id) is None:
        add_link(connection, key, version_id)
        moved.add(LATEST)
    reach("alias.linked")
    move_aliases(connection, key.id, moved, version_id)
    record = linked_version(connection, key.id, version_id)
    assert record is not None
    return record


def _require_committed(connection: Connection, made: VersionRecord) -> None:
    state = connection.execute(
        select(versions.c.state).where(versions.c.id == made.id).with_for_update(read=True)
    ).scalar_one()
    if state != VersionState.COMMITTED.value:
        raise VersionNotFound(made.path, "the version was deleted")


def unlink(connection: Connection, version_id: str, project: str, portfolio: str) -> None:
    """What Catalog.unlink says."""
    key = find_artifact(connection, project, portfolio, lock=True)
    if key is None or not key.is_portfolio:
        raise ArtifactNotFound(f"{project}/{portfolio}", "no such portfolio")
    gone = connection.execute(
        delete(links).where(links.c.artifact_id == key.id, links.c.version_id == version_id)
    )
    if gone.rowcount == 0:
        raise VersionNotFound(key.path, "the version is not in this portfolio")
    reach("delete.unlinked")
    restore_latest(connection, [key.id])


def delete_version(connection: Connection, version_id: str, *, delete_aliases: bool) -> None:
    """What Catalog.delete_version says."""
    path, state = _lock_row(connection, version_id)
    # By its state alone: what is damaged can be deleted, whatever it is that is wrong with it.
    if state in {VersionState.DELETED.value, VersionState.PENDING.value}:
        raise VersionNotFound(path, "the version was deleted")
    names = _aliases_that_hold(connection, version_id)
    if names and not delete_aliases:
        raise Conflict(path, _as_reason(names), hint="delete its aliases as well")
    _delete_versions(connection, [version_id])


def expire_version(connection: Connection, version_id: str, *, dry_run: bool) -> str | None:
    """What Catalog.expire_version says."""
    made = _lock_version(connection, version_id)
    if made.state is not VersionState.COMMITTED:
        return None
    if names := _aliases_that_hold(connection, version_id):
        return _as_reason(names)
    portfolio = connection.execute(
        select(projects.c.name, artifacts.c.name)
        .join_from(links, artifacts, artifacts.c.id == links.c.artifact_id)
        .join(projects, projects.c.id == artifacts.c.project_id)
        .where(links.c.version_id == version_id, artifacts.c.is_portfolio)
        .order_by(projects.c.name, artifacts.c.name)
        .limit(1)
    ).one_or_none()
    if portfolio is not None:
        return f"it is linked into {portfolio[0]}/{portfolio[1]}"
    if not dry_run:
        _delete_versions(connection, [version_id])
    return None


def _lock_version(connection: Connection, version_id: str) -> VersionRecord:
    """The version; nobody gives it an alias until the transaction ends. Raises: VersionNotFound."""
    _lock_row(connection, version_id)
    return version_by_id(connection, version_id)


def _lock_row(connection: Connection, version_id: str) -> tuple[str, Any]:
    """What a version is called and its state, as its row says; locked as in `_lock_version`.

    Raises: VersionNotFound.
    """
    holders = set(_holders(connection, links, [version_id]))
    # Where rows are lost, an alias may be left without its link.
    holders |= set(_holders(connection, aliases, [version_id]))
    lock_artifacts(connection, holders)
    connection.execute(select(versions.c.id).where(versions.c.id == version_id).with_for_update())
    row = connection.execute(
        select(projects.c.name, artifacts.c.name, versions.c.index, versions.c.state)
        .select_from(versions)
        .outerjoin(artifacts, artifacts.c.id == versions.c.artifact_id)
        .outerjoin(projects, projects.c.id == artifacts.c.project_id)
        .where(versions.c.id == version_id)
    ).one_or_none()
    if row is None and not holders:
        raise VersionNotFound(repr(version_id)[:60], "the store has no version of this id")
    # A link or an alias may be all that is left of it.
    return (f"{row[0]}/{row[1]}:v{row[2]}", row[3]) if row else (f"version {version_id}", None)


def _aliases_that_hold(connection: Connection, version_id: str) -> Sequence[str]:
    """The aliases that somebody gave a version, here or in a portfolio: not `latest`."""
    return connection.scalars(
        select(aliases.c.name)
        .where(aliases.c.version_id == version_id, aliases.c.name != LATEST)
        .order_by(aliases.c.name)
    ).all()


def _as_reason(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"it has the alias {names[0]!r}"
    return f"it has {len(names)} aliases ({', '.join(names[:8])})"


def change_artifact(
    connection: Connection, artifact_id: int, changes: ArtifactChange
) -> ArtifactRecord:
    """What Catalog.change_artifact says."""
    lock_artifacts(connection, [artifact_id])
    current = _artifact_by_id(connection, artifact_id)
    values: dict[str, Any] = {}
    if changes.name is not msgspec.UNSET and changes.name != current.name:
        _require_free(connection, current.project, changes.name)
        values["name"] = changes.name
    if changes.type is not msgspec.UNSET and changes.type != current.type:
        if current.is_portfolio:
            raise Conflict(current.path, "is a portfolio, which keeps its type")
        values["type"] = changes.type
    if changes.description is not msgspec.UNSET:
        values["description"] = changes.description
    if changes.add_tags or changes.remove_tags:
        kept = sorted({*current.tags, *changes.add_tags} - {*changes.remove_tags})
        values["tags"] = msgspec.json.encode(kept).decode() if kept else None
    if not values:
        return current
    try:
        connection.execute(update(artifacts).where(artifacts.c.id == artifact_id).values(values))
    except exc.IntegrityError:
        # Another one has got the name meanwhile.
        raise _name_taken(current.project, str(values["name"])) from None
    if "name" in values:
        mark_artifact(connection, artifact_id)
    return _artifact_by_id(connection, artifact_id)


def _artifact_by_id(connection: Connection, artifact_id: int) -> ArtifactRecord:
    found = list_artifacts(connection, artifacts.c.id == artifact_id)
    if not found:
        raise ArtifactNotFound(f"artifact {artifact_id}", "the store has none of this id")
    return found[0]


def _require_free(connection: Connection, project: str, name: str) -> None:
    if find_artifact(connection, project, name) is not None:
        raise _name_taken(project, name)


def _name_taken(project: str, name: str) -> VersionExists:
    return VersionExists(
        f"{project}/{name}", "is there already", hint="choose another name, or delete that one"
    )


def delete_artifact(connection: Connection, artifact_id: int) -> None:
    """What Catalog.delete_artifact says."""
    lock_artifacts(connection, [artifact_id])
    gone = connection.execute(
        update(artifacts)
        .where(artifacts.c.id == artifact_id, artifacts.c.deleted_at_ns.is_(None))
        .values(deleted_at_ns=now_ns(connection))
    )
    if gone.rowcount == 0:
        raise ArtifactNotFound(f"artifact {artifact_id}", "the store has none of this id")
    made = connection.scalars(
        select(versions.c.id).where(
            versions.c.artifact_id == artifact_id,
            versions.c.state == VersionState.COMMITTED.value,
        )
    ).all()
    _delete_versions(connection, made)
    connection.execute(delete(links).where(links.c.artifact_id == artifact_id))


def _delete_versions(connection: Connection, version_ids: Sequence[str]) -> None:
    """Mark versions DELETED and take them, with their aliases, out of all that holds them."""
    deleted = {"state": VersionState.DELETED.value}
    for some in among(connection, versions.c.id, version_ids):
        connection.execute(update(versions).where(some).values(deleted))
    holders: set[int] = set()
    for table in (links, aliases):
        # Aliases go with their links: but for those that have lost them.
        holders |= set(_holders(connection, table, version_ids))
        for held in among(connection, table.c.version_id, version_ids):
            connection.execute(delete(table).where(held))
    reach("delete.marked")
    restore_latest(connection, sorted(holders))


def _holders(connection: Connection, table: Table, version_ids: Sequence[str]) -> Iterator[int]:
    """Ids of the artifacts of which a table has rows about these versions."""
    for some in among(connection, table.c.version_id, version_ids):
        yield from connection.scalars(select(table.c.artifact_id).where(some).distinct()).all()
