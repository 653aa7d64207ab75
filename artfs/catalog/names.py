"""Reading and changing names: projects, artifacts, versions, aliases, links."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, select, true, update

from artfs.catalog.base import ArtifactRecord, ProjectRecord, VersionRecord, VersionUpdate
from artfs.catalog.commits import (
    add_link,
    linked_version,
    move_alias,
    open_artifact,
    set_tags,
)
from artfs.catalog.rows import (
    read_artifacts,
    read_versions,
    unlinked_version_query,
    version_query,
)
from artfs.catalog.schema import LATEST, aliases, artifacts, links, projects, versions
from artfs.errors import AliasNotFound, ArtifactNotFound, Conflict, VersionNotFound
from artfs.model import VersionState, is_wandb_digest, version_index


def list_projects(connection: Connection) -> list[ProjectRecord]:
    """See Catalog.projects."""
    count = func.count(artifacts.c.id).label("artifact_count")
    query = (
        select(projects.c.name, projects.c.created_at_ns, count)
        .outerjoin(
            artifacts,
            (artifacts.c.project_id == projects.c.id) & artifacts.c.deleted_at_ns.is_(None),
        )
        .group_by(projects.c.id)
        .order_by(projects.c.name)
    )
    return [ProjectRecord(*row) for row in connection.execute(query)]


def list_artifacts(
    connection: Connection, project: str | None, type_name: str | None
) -> list[ArtifactRecord]:
    """See Catalog.artifacts."""
    condition: ColumnElement[bool] = true()
    if project is not None:
        condition &= projects.c.name == project
    if type_name is not None:
        condition &= artifacts.c.type == type_name
    return read_artifacts(connection, condition)


def find_artifact(connection: Connection, project: str, name: str) -> ArtifactRecord:
    """See Catalog.artifact."""
    found = read_artifacts(connection, (projects.c.name == project) & (artifacts.c.name == name))
    if not found:
        raise _no_artifact(project, name)
    return found[0]


def list_versions(
    connection: Connection, artifact_id: int, before_index: int | None, limit: int | None
) -> list[VersionRecord]:
    """See Catalog.versions."""
    query = version_query().where(links.c.artifact_id == artifact_id)
    if before_index is not None:
        query = query.where(links.c.index < before_index)
    return read_versions(connection, query.order_by(links.c.index.desc()).limit(limit))


def find_version(connection: Connection, project: str, name: str, selector: str) -> VersionRecord:
    """See Catalog.version."""
    query = version_query().where(
        projects.c.name == project, artifacts.c.name == name, artifacts.c.deleted_at_ns.is_(None)
    )
    index = version_index(selector)
    by_alias = query.join(
        aliases,
        (aliases.c.artifact_id == links.c.artifact_id)
        & (aliases.c.version_id == links.c.version_id),
    ).where(aliases.c.name == selector)
    if index is not None:
        found = read_versions(connection, query.where(links.c.index == index))
    else:
        found = read_versions(connection, by_alias)
        if not found and is_wandb_digest(selector):
            same = query.where(versions.c.digest == selector)
            found = read_versions(connection, same.order_by(links.c.index.desc()).limit(1))
    if found:
        return found[0]
    find_artifact(connection, project, name)
    path = f"{project}/{name}"
    hint = f"`artfs history {path}` lists what there is"
    if index is not None or is_wandb_digest(selector):
        raise VersionNotFound(f"{path}:{selector}", "no such version", hint=hint)
    raise AliasNotFound(f"{path}:{selector}", "no such alias", hint=hint)


def find_version_by_id(connection: Connection, version_id: str) -> VersionRecord:
    """See Catalog.version_by_id."""
    found = read_versions(connection, unlinked_version_query().where(versions.c.id == version_id))
    if not found:
        raise VersionNotFound(version_id, "no version has this id")
    return found[0]


def update_version(connection: Connection, version_id: str, change: VersionUpdate) -> VersionRecord:
    """See Catalog.update_version."""
    record = _committed(connection, version_id)
    values: dict[str, Any] = {}
    if change.description is not msgspec.UNSET:
        values["description"] = change.description
    if change.metadata is not msgspec.UNSET:
        values["metadata"] = json.dumps(change.metadata)
    if change.ttl_s is not msgspec.UNSET:
        values["ttl_s"] = change.ttl_s
    if values:
        connection.execute(update(versions).where(versions.c.id == version_id).values(values))
    if change.tags is not msgspec.UNSET:
        set_tags(connection, version_id, change.tags)
    artifact_id = _home(connection, version_id)
    for alias in change.remove_aliases:
        removed = connection.execute(
            delete(aliases).where(
                aliases.c.artifact_id == artifact_id,
                aliases.c.name == alias,
                aliases.c.version_id == version_id,
            )
        )
        if removed.rowcount == 0:
            raise AliasNotFound(f"{record.path}:{alias}", f"{record.version} has no such alias")
    for alias in change.add_aliases:
        move_alias(connection, artifact_id, alias, version_id)
    return linked_version(connection, artifact_id, version_id)


def delete_version(connection: Connection, version_id: str, *, delete_aliases: bool) -> None:
    """See Catalog.delete_version."""
    record = _committed(connection, version_id)
    named = [alias for alias in record.aliases if alias != LATEST]
    if named and not delete_aliases:
        raise Conflict(
            record.path, f"has the alias {named[0]!r}", hint="remove it, or delete aliases too"
        )
    holders = list(
        connection.execute(
            select(links.c.artifact_id).where(links.c.version_id == version_id)
        ).scalars()
    )
    connection.execute(delete(links).where(links.c.version_id == version_id))
    connection.execute(
        update(versions).where(versions.c.id == version_id).values(state=VersionState.DELETED.value)
    )
    for artifact_id in holders:
        _restore_latest(connection, artifact_id)


def delete_artifact(connection: Connection, artifact_id: int) -> None:
    """See Catalog.delete_artifact."""
    own = select(versions.c.id).where(versions.c.artifact_id == artifact_id)
    holders = set(
        connection.execute(select(links.c.artifact_id).where(links.c.version_id.in_(own))).scalars()
    )
    connection.execute(delete(links).where(links.c.version_id.in_(own)))
    connection.execute(delete(links).where(links.c.artifact_id == artifact_id))
    connection.execute(
        update(versions)
        .where(versions.c.artifact_id == artifact_id)
        .values(state=VersionState.DELETED.value)
    )
    connection.execute(
        update(artifacts).where(artifacts.c.id == artifact_id).values(deleted_at_ns=time.time_ns())
    )
    for other in holders - {artifact_id}:
        _restore_latest(connection, other)


def link_version(
    connection: Connection, version_id: str, project: str, portfolio: str, names: Sequence[str]
) -> VersionRecord:
    """See Catalog.link."""
    record = _committed(connection, version_id)
    artifact_id = open_artifact(
        connection, project, portfolio, type_name=record.type, is_portfolio=True
    )
    linked = select(links.c.index).where(
        links.c.artifact_id == artifact_id, links.c.version_id == version_id
    )
    new = connection.execute(linked).first() is None
    if new:
        add_link(connection, artifact_id, version_id)
    for alias in {*names, LATEST} if new else set(names):
        move_alias(connection, artifact_id, alias, version_id)
    return linked_version(connection, artifact_id, version_id)


def _committed(connection: Connection, version_id: str) -> VersionRecord:
    connection.execute(select(versions.c.id).where(versions.c.id == version_id).with_for_update())
    record = find_version_by_id(connection, version_id)
    if record.state is not VersionState.COMMITTED:
        raise VersionNotFound(record.path, f"is {record.state.value}")
    return record


def _home(connection: Connection, version_id: str) -> int:
    query = select(versions.c.artifact_id).where(versions.c.id == version_id)
    return int(connection.execute(query).scalar_one())


def _restore_latest(connection: Connection, artifact_id: int) -> None:
    """Let `latest` fall back to the newest version left, where it was deleted."""
    has_latest = select(aliases.c.version_id).where(
        aliases.c.artifact_id == artifact_id, aliases.c.name == LATEST
    )
    newest = (
        select(links.c.version_id)
        .where(links.c.artifact_id == artifact_id)
        .order_by(links.c.index.desc())
        .limit(1)
    )
    if connection.execute(has_latest).first() is None:
        found = connection.execute(newest).scalar()
        if found is not None:
            move_alias(connection, artifact_id, LATEST, found)


def _no_artifact(project: str, name: str) -> ArtifactNotFound:
    return ArtifactNotFound(
        f"{project}/{name}", "no such artifact", hint="`artfs ls` lists what there is"
    )
