"""Reading names and versions: rows into records, never a query for each row."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, and_, func, select

from artfs.catalog.bulk import among
from artfs.catalog.records import ArtifactRecord, ProjectRecord, VersionRecord
from artfs.catalog.schema import LATEST, aliases, artifacts, links, projects, tags, versions
from artfs.errors import (
    AliasNotFound,
    ArtifactNotFound,
    NotFound,
    StoreFormatError,
    VersionNotFound,
)
from artfs.model import Digest, VersionState, is_wandb_digest, version_index

_HINTED_ALIASES = 8
_TOO_LARGE = 2**63
_TREE_BYTES = 32

source = artifacts.alias("source")
source_project = projects.alias("source_project")


class ArtifactKey(msgspec.Struct, frozen=True):
    """What most decisions about an artifact need of its row."""

    id: int
    project: str
    name: str
    type: str
    is_portfolio: bool
    next_index: int

    @property
    def path(self) -> str:
        """`project/name`."""
        return f"{self.project}/{self.name}"


# --- projects and artifacts ------------------------------------------------------------------


def list_projects(connection: Connection) -> list[ProjectRecord]:
    """All projects, by name."""
    count = func.count(artifacts.c.id)
    query = (
        select(projects.c.name, projects.c.created_at_ns, count)
        .outerjoin(
            artifacts,
            and_(artifacts.c.project_id == projects.c.id, artifacts.c.deleted_at_ns.is_(None)),
        )
        .group_by(projects.c.id)
    )
    found = [ProjectRecord(*row) for row in connection.execute(query)]
    # Databases sort text by rules of their own; everybody else here sorts by code point.
    return sorted(found, key=lambda project: project.name)


def find_artifact(
    connection: Connection, project: str, name: str, *, lock: bool = False
) -> ArtifactKey | None:
    """The living artifact or portfolio of this name; with `lock`, until the transaction ends."""
    query = (
        select(
            artifacts.c.id,
            projects.c.name,
            artifacts.c.name,
            artifacts.c.type,
            artifacts.c.is_portfolio,
            artifacts.c.next_index,
        )
        .join(projects, projects.c.id == artifacts.c.project_id)
        .where(
            projects.c.name == project,
            artifacts.c.name == name,
            artifacts.c.deleted_at_ns.is_(None),
        )
    )
    if lock:
        query = query.with_for_update(of=artifacts)
    row = connection.execute(query).one_or_none()
    return ArtifactKey(*row) if row else None


def require_artifact(connection: Connection, project: str, name: str) -> ArtifactKey:
    """The living artifact or portfolio of this name. Raises: ArtifactNotFound."""
    found = find_artifact(connection, project, name)
    if found is None:
        raise ArtifactNotFound(f"{project}/{name}", "no such artifact")
    return found


def list_artifacts(
    connection: Connection, *conditions: ColumnElement[bool]
) -> list[ArtifactRecord]:
    """Living artifacts and portfolios that satisfy the conditions, by project and name."""
    found = connection.execute(
        select(
            artifacts.c.id,
            projects.c.name,
            artifacts.c.name,
            artifacts.c.type,
            artifacts.c.is_portfolio,
            artifacts.c.created_at_ns,
        )
        .join(projects, projects.c.id == artifacts.c.project_id)
        .where(artifacts.c.deleted_at_ns.is_(None), *conditions)
    ).all()
    counted = select(links.c.artifact_id, func.count()).group_by(links.c.artifact_id)
    if conditions:
        # Else it is a scan of one index, which nothing else needs.
        counted = (
            counted.join(artifacts, artifacts.c.id == links.c.artifact_id)
            .join(projects, projects.c.id == artifacts.c.project_id)
            .where(*conditions)
        )
    counts: dict[int, int] = dict(connection.execute(counted).all())
    newest = _linked().join(
        aliases,
        and_(
            aliases.c.name == LATEST,
            aliases.c.artifact_id == links.c.artifact_id,
            aliases.c.version_id == links.c.version_id,
        ),
    )
    latest = dict(_with_names(connection, connection.execute(newest.where(*conditions)).all()))
    records = [
        ArtifactRecord(*row, version_count=counts.get(row[0], 0), latest=latest.get(row[0]))
        for row in found
    ]
    return sorted(records, key=lambda artifact: (artifact.project, artifact.name))


# --- versions --------------------------------------------------------------------------------


def _version_columns(
    via: FromClause, via_project: FromClause, index: ColumnElement[int]
) -> tuple[ColumnElement[Any], ...]:
    return (
        via.c.id,
        versions.c.id,
        via_project.c.name,
        via.c.name,
        index,
        source.c.type,
        source_project.c.name,
        source.c.name,
        versions.c.index,
        versions.c.state,
        versions.c.digest,
        versions.c.content_digest,
        versions.c.tree,
        versions.c.size_bytes,
        versions.c.file_count,
        versions.c.description,
        versions.c.metadata,
        versions.c.created_at_ns,
        versions.c.ttl_s,
    )


def _linked() -> Select[Any]:
    """COMMITTED versions as seen through the artifacts and portfolios that they are in."""
    return (
        select(*_version_columns(artifacts, projects, links.c.index))
        .select_from(links)
        .join(artifacts, artifacts.c.id == links.c.artifact_id)
        .join(projects, projects.c.id == artifacts.c.project_id)
        .join(versions, versions.c.id == links.c.version_id)
        .join(source, source.c.id == versions.c.artifact_id)
        .join(source_project, source_project.c.id == source.c.project_id)
    )


def _made() -> Select[Any]:
    """Versions in any state as seen through the artifact that they were made in."""
    return (
        select(*_version_columns(source, source_project, versions.c.index))
        .select_from(versions)
        .join(source, source.c.id == versions.c.artifact_id)
        .join(source_project, source_project.c.id == source.c.project_id)
    )


def _with_names(
    connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]
) -> list[tuple[int, VersionRecord]]:
    """Records of version rows with their aliases and tags, each beside its artifact's id."""
    ids = {row[1] for row in rows}
    alias_names: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    tag_names: defaultdict[str, list[str]] = defaultdict(list)
    for some in among(connection, aliases.c.version_id, ids):
        for artifact_id, version_id, name in connection.execute(
            select(aliases.c.artifact_id, aliases.c.version_id, aliases.c.name).where(some)
        ):
            alias_names[artifact_id, version_id].append(name)
    for some in among(connection, tags.c.version_id, ids):
        for version_id, name in connection.execute(
            select(tags.c.version_id, tags.c.name).where(some)
        ):
            tag_names[version_id].append(name)
    return [
        (
            row[0],
            _version_record(
                row,
                aliases=tuple(sorted(alias_names.get((row[0], row[1]), ()))),
                tags=tuple(sorted(tag_names.get(row[1], ()))),
            ),
        )
        for row in rows
    ]


def _version_record(
    row: Row[*tuple[Any, ...]], *, aliases: tuple[str, ...], tags: tuple[str, ...]
) -> VersionRecord:
    """A version as its row says. Raises: StoreFormatError for what no version can be."""
    path = f"{row[2]}/{row[3]}:v{row[4]}"
    try:
        record = VersionRecord(
            id=row[1],
            project=row[2],
            name=row[3],
            index=row[4],
            type=row[5],
            source_project=row[6],
            source_name=row[7],
            source_index=row[8],
            state=VersionState(row[9]),
            digest=row[10],
            content_digest=row[11],
            tree=Digest(bytes(row[12])),
            size_bytes=row[13],
            file_count=row[14],
            description=row[15],
            metadata=json.loads(row[16]),
            created_at_ns=row[17],
            ttl_s=row[18],
            aliases=aliases,
            tags=tags,
        )
        numbers = (record.index, record.size_bytes, record.file_count, record.created_at_ns)
        in_range = all(0 <= number < _TOO_LARGE for number in numbers)
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, f"{type(error).__name__}: {str(error)[:80]}") from error
    if not in_range:
        raise _damaged(path, "a number is out of range")
    if len(record.tree) != _TREE_BYTES or not isinstance(record.metadata, dict):
        raise _damaged(path, "its tree or metadata are none")
    return record


def _damaged(path: str, what: str) -> StoreFormatError:
    return StoreFormatError(
        path, f"its row in the catalog is damaged ({what})", hint="`artfs doctor` looks for more"
    )


def list_versions(
    connection: Connection, artifact_id: int, *, before_index: int | None, limit: int | None
) -> list[VersionRecord]:
    """COMMITTED versions of an artifact or portfolio, newest first."""
    query = _linked().where(links.c.artifact_id == artifact_id).order_by(links.c.index.desc())
    if before_index is not None:
        query = query.where(links.c.index < before_index)
    if limit is not None:
        query = query.limit(limit)
    return [record for _, record in _with_names(connection, connection.execute(query).all())]


def all_versions(connection: Connection) -> list[VersionRecord]:
    """Every COMMITTED version, as seen through the artifact that it was made in."""
    return made_versions(connection, versions.c.state == VersionState.COMMITTED.value)


def linked_version(
    connection: Connection, artifact_id: int, version_id: str
) -> VersionRecord | None:
    """A version as seen through an artifact or portfolio that holds it."""
    query = _linked().where(links.c.artifact_id == artifact_id, links.c.version_id == version_id)
    found = _with_names(connection, connection.execute(query).all())
    return found[0][1] if found else None


def latest_id(connection: Connection, artifact_id: int) -> str | None:
    """The id of the version called `latest`."""
    return connection.execute(
        select(aliases.c.version_id).where(
            aliases.c.artifact_id == artifact_id, aliases.c.name == LATEST
        )
    ).scalar_one_or_none()


def made_versions(connection: Connection, *conditions: ColumnElement[bool]) -> list[VersionRecord]:
    """Versions in any state as seen through the artifact that they were made in."""
    rows = connection.execute(_made().where(*conditions)).all()
    return [record for _, record in _with_names(connection, rows)]


def version_by_id(connection: Connection, version_id: str) -> VersionRecord:
    """A version in any state. Raises: VersionNotFound."""
    found = made_versions(connection, versions.c.id == version_id)
    if not found:
        raise VersionNotFound(repr(version_id)[:60], "the store has no version of this id")
    return found[0]


# --- selectors -------------------------------------------------------------------------------


def select_version(connection: Connection, key: ArtifactKey, selector: str) -> VersionRecord:
    """The version that an alias, `vN` or W&B digest selects.

    Raises: VersionNotFound, AliasNotFound.
    """
    index = version_index(selector)
    if index is not None and index >= key.next_index:
        raise _nothing_selected(connection, key, selector, index)
    query = _linked().where(links.c.artifact_id == key.id)
    if index is not None:
        condition = links.c.index == index
    else:
        alias = select(aliases.c.version_id).where(
            aliases.c.artifact_id == key.id, aliases.c.name == selector
        )
        condition = links.c.version_id == alias.scalar_subquery()
    rows = connection.execute(query.where(condition)).all()
    if not rows and is_wandb_digest(selector):
        same = query.where(versions.c.digest == selector).order_by(links.c.index.desc()).limit(1)
        rows = connection.execute(same).all()
    if not rows:
        raise _nothing_selected(connection, key, selector, index)
    return _with_names(connection, rows)[0][1]


def _nothing_selected(
    connection: Connection, key: ArtifactKey, selector: str, index: int | None
) -> NotFound:
    subject = f"{key.path}:{selector}"
    newest = connection.execute(
        select(func.max(links.c.index)).where(links.c.artifact_id == key.id)
    ).scalar_one()
    if newest is None:
        return VersionNotFound(subject, "the artifact has no version left")
    if index is not None:
        reason = "the version was deleted" if index < key.next_index else "no such version"
        return VersionNotFound(subject, reason, hint=f"the newest is v{newest}")
    if is_wandb_digest(selector):
        return VersionNotFound(subject, "no version has this digest")
    names = connection.scalars(
        select(aliases.c.name)
        .where(aliases.c.artifact_id == key.id)
        .order_by(aliases.c.name)
        .limit(_HINTED_ALIASES)
    ).all()
    return AliasNotFound(subject, "no such alias", hint=f"there is {', '.join(names)}")
