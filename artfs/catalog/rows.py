"""Reading names and versions: rows into records, never a query for each row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, and_, func, select

from artfs.catalog.blob_port import OnDamage
from artfs.catalog.bulk import among
from artfs.catalog.checked import (
    ArtifactKey,
    artifact_key,
    artifact_record,
    number,
    project_record,
    version_record,
)
from artfs.catalog.dangling import (
    MAX_INDEX,
    is_living,
    lost_name_of,
    tell_lost_names,
    tell_lost_projects,
)
from artfs.catalog.records import ArtifactRecord, ProjectRecord, VersionRecord
from artfs.catalog.rowchecks import sound
from artfs.catalog.schema import LATEST, aliases, artifacts, links, projects, tags, versions
from artfs.errors import AliasNotFound, ArtifactNotFound, NotFound, VersionNotFound
from artfs.model import is_wandb_digest, version_index

_HINTED_ALIASES = 8

source = artifacts.alias("source")
source_project = projects.alias("source_project")


# --- projects and artifacts ------------------------------------------------------------------


def list_projects(connection: Connection, on_damage: OnDamage | None = None) -> list[ProjectRecord]:
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
    found = list(sound(connection.execute(query).all(), project_record, on_damage))
    tell_lost_projects(connection, on_damage)
    # Databases sort text by rules of their own; everybody else here sorts by code point.
    return sorted(found, key=lambda project: project.name)


def made_at_ns(connection: Connection, project: str, name: str) -> tuple[int, int]:
    """What Catalog.made_at_ns says."""
    query = (
        select(projects.c.created_at_ns, artifacts.c.created_at_ns)
        .join_from(artifacts, projects, projects.c.id == artifacts.c.project_id)
        .where(
            projects.c.name == project,
            artifacts.c.name == name,
            artifacts.c.deleted_at_ns.is_(None),
        )
    )
    found = connection.execute(query).first()
    if found is None:
        raise ArtifactNotFound(f"{project}/{name}", "no such artifact")
    return number(found[0], "time of a project"), number(found[1], "time of an artifact")


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
    return artifact_key(row) if row else None


def require_artifact(connection: Connection, project: str, name: str) -> ArtifactKey:
    """The living artifact or portfolio of this name. Raises: ArtifactNotFound."""
    found = find_artifact(connection, project, name)
    if found is None:
        raise ArtifactNotFound(f"{project}/{name}", "no such artifact")
    return found


def list_artifacts(
    connection: Connection,
    *conditions: ColumnElement[bool],
    type_name: str | None = None,
    on_damage: OnDamage | None = None,
    finds_lost: bool = True,
) -> list[ArtifactRecord]:
    """Living artifacts and portfolios that satisfy the conditions, by project and name.

    Of those whose type cannot be read it is told too where only one type is wanted.
    """
    found = connection.execute(
        select(
            artifacts.c.id,
            projects.c.name,
            artifacts.c.name,
            artifacts.c.type,
            artifacts.c.is_portfolio,
            artifacts.c.created_at_ns,
            artifacts.c.description,
            artifacts.c.tags,
        )
        .join(projects, projects.c.id == artifacts.c.project_id)
        .where(artifacts.c.deleted_at_ns.is_(None), *conditions)
    ).all()
    if type_name is not None:
        conditions = (*conditions, artifacts.c.type == type_name)
    counted = select(links.c.artifact_id, func.count()).group_by(links.c.artifact_id)
    if conditions:
        # By ids: a look at each version's artifact would cost more than to count them.
        ids = (
            select(artifacts.c.id)
            .join(projects, projects.c.id == artifacts.c.project_id)
            .where(*conditions)
        )
        counted = counted.where(links.c.artifact_id.in_(ids))
    counts: dict[int, int] = dict(connection.execute(counted).all())
    newest = _linked(newest=True).where(*conditions)
    latest = dict(_with_names(connection, connection.execute(newest).all(), on_damage))
    if finds_lost:
        tell_lost_names(connection, *conditions, on_damage=on_damage)

    def record(row: Row[*tuple[Any, ...]]) -> ArtifactRecord:
        return artifact_record(row, version_count=counts.get(row[0], 0), latest=latest.get(row[0]))

    wanted = [each for each in sound(found, record, on_damage) if type_name in {None, each.type}]
    return sorted(wanted, key=lambda artifact: (artifact.project, artifact.name))


# --- versions --------------------------------------------------------------------------------


def _version_columns(
    via: FromClause, via_project: FromClause, *, key: ColumnElement[str], index: ColumnElement[int]
) -> tuple[ColumnElement[Any], ...]:
    return (
        via.c.id,
        key,
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


def _linked(*, newest: bool = False) -> Select[Any]:
    """COMMITTED versions as seen through the artifacts and portfolios that they are in.

    `newest` leaves those that are called `latest`. A link that leads nowhere is a row as well:
    what is damaged is to be noticed, not to be passed over.
    """
    columns = _version_columns(artifacts, projects, key=links.c.version_id, index=links.c.index)
    query = (
        select(*columns)
        .select_from(links)
        .join(artifacts, artifacts.c.id == links.c.artifact_id)
        .join(projects, projects.c.id == artifacts.c.project_id)
    )
    if newest:
        query = query.join(
            aliases,
            and_(
                aliases.c.name == LATEST,
                aliases.c.artifact_id == links.c.artifact_id,
                aliases.c.version_id == links.c.version_id,
            ),
        )
    return (
        query.outerjoin(versions, versions.c.id == links.c.version_id)
        .outerjoin(source, source.c.id == versions.c.artifact_id)
        .outerjoin(source_project, source_project.c.id == source.c.project_id)
    )


def _made() -> Select[Any]:
    """Versions in any state as seen through the artifact that they were made in."""
    columns = _version_columns(source, source_project, key=versions.c.id, index=versions.c.index)
    return (
        select(*columns)
        .select_from(versions)
        .outerjoin(source, source.c.id == versions.c.artifact_id)
        .outerjoin(source_project, source_project.c.id == source.c.project_id)
    )


def _with_names(
    connection: Connection,
    rows: Sequence[Row[*tuple[Any, ...]]],
    on_damage: OnDamage | None = None,
) -> list[tuple[int, VersionRecord]]:
    """Records of version rows with their aliases and tags, each beside its artifact's id."""
    ids = {row[1] for row in rows if isinstance(row[1], str) and row[1].isascii()}
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

    def record(row: Row[*tuple[Any, ...]]) -> tuple[int, VersionRecord]:
        named = alias_names.get((row[0], row[1]), ())
        return row[0], version_record(row, aliases=named, tags=tag_names.get(row[1], ()))

    return list(sound(rows, record, on_damage))


def list_versions(
    connection: Connection,
    artifact_id: int,
    *,
    before_index: int | None,
    limit: int | None,
    on_damage: OnDamage | None = None,
) -> list[VersionRecord]:
    """COMMITTED versions of an artifact or portfolio, newest first."""
    query = _linked().where(links.c.artifact_id == artifact_id).order_by(links.c.index.desc())
    if before_index is not None:
        query = query.where(links.c.index < before_index)
    if limit is not None:
        query = query.limit(limit)
    rows = connection.execute(query).all()
    found = [record for _, record in _with_names(connection, rows, on_damage)]
    if before_index is None:
        # Once, however many pages there are.
        tell_lost_names(connection, artifacts.c.id == artifact_id, on_damage=on_damage)
    return found


def list_linked(
    connection: Connection,
    version_ids: Sequence[str],
    conditions: Sequence[ColumnElement[bool]],
    on_damage: OnDamage | None = None,
) -> dict[str, VersionRecord]:
    """COMMITTED versions of these ids by id, as seen through what the conditions allow."""
    found: dict[str, VersionRecord] = {}
    for some in among(connection, links.c.version_id, version_ids):
        rows = connection.execute(_linked().where(some, *conditions)).all()
        found |= {record.id: record for _, record in _with_names(connection, rows, on_damage)}
    return found


def all_versions(connection: Connection, on_damage: OnDamage | None = None) -> list[VersionRecord]:
    """Every COMMITTED version, as seen through the artifact that it was made in."""
    return made_versions(connection, is_living(), on_damage=on_damage)


def all_links(connection: Connection, on_damage: OnDamage) -> None:
    """Tell of every link to a version that is damaged, or is wrongly named."""
    _with_names(connection, connection.execute(_linked()).all(), on_damage)


def linked_version(
    connection: Connection, artifact_id: int, version_id: str
) -> VersionRecord | None:
    """A version as seen through an artifact or portfolio that holds it."""
    query = _linked().where(links.c.artifact_id == artifact_id, links.c.version_id == version_id)
    found = _with_names(connection, connection.execute(query).all())
    return found[0][1] if found else None


def memberships(connection: Connection, version_id: str) -> list[VersionRecord]:
    """A version as seen through each artifact and portfolio that holds it, its own first."""
    query = _linked().where(links.c.version_id == version_id)
    found = [record for _, record in _with_names(connection, connection.execute(query).all())]
    own = [record for record in found if not record.is_linked]
    return [*own, *sorted((record for record in found if record.is_linked), key=lambda r: r.path)]


def latest_id(connection: Connection, artifact_id: int) -> str | None:
    """The id of the version called `latest`."""
    return connection.execute(
        select(aliases.c.version_id).where(
            aliases.c.artifact_id == artifact_id, aliases.c.name == LATEST
        )
    ).scalar_one_or_none()


def made_versions(
    connection: Connection, *conditions: ColumnElement[bool], on_damage: OnDamage | None = None
) -> list[VersionRecord]:
    """Versions in any state as seen through the artifact that they were made in."""
    rows = connection.execute(_made().where(*conditions)).all()
    return [record for _, record in _with_names(connection, rows, on_damage)]


def version_by_id(connection: Connection, version_id: str) -> VersionRecord:
    """A version in any state. Raises: VersionNotFound."""
    found = made_versions(connection, versions.c.id == version_id)
    if not found:
        raise VersionNotFound(repr(version_id)[:60], "the store has no version of this id")
    return found[0]


# --- selectors -------------------------------------------------------------------------------


def select_version(connection: Connection, key: ArtifactKey, selector: str) -> VersionRecord:
    """The version that an alias, `vN` or W&B digest selects.

    Raises: VersionNotFound, AliasNotFound, DamagedRecord.
    """
    index = version_index(selector)
    if index is not None and index > MAX_INDEX:
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
    """Why there is none. Raises: DamagedRecord where there should be one."""
    subject = f"{key.path}:{selector}"
    lost = lost_name_of(connection, key.id, selector)
    if lost is not None:
        raise lost
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
