"""What can be wrong inside a catalog, for `artfs doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Integer, LargeBinary, Select, func, select

from artfs.catalog import checked, drafts, rowchecks, rows, runs
from artfs.catalog.inventory import blob_query
from artfs.catalog.leases import last_number
from artfs.catalog.schema import (
    artifacts,
    blobs,
    links,
    metadata,
    packs,
    projects,
    settings,
    versions,
)
from artfs.errors import DamagedRecord
from artfs.model import VersionState

_MAX_NAMED = 100
_PAGE = 10_000


def find_damage(connection: Connection) -> list[str]:
    """What Catalog.check says."""
    found = list(_sqlite_damage(connection)) if connection.dialect.name == "sqlite" else []
    found += dict.fromkeys(_damaged_rows(connection))
    path = projects.c.name + "/" + artifacts.c.name
    for query, text in _inconsistencies(path):
        found += [
            f"{name} {text}"
            for name in connection.scalars(query.order_by("what").limit(_MAX_NAMED))
        ]
    return found


def _damaged_rows(connection: Connection) -> list[str]:
    """What no artfs wrote, each row that somebody would read."""
    told: list[str] = []

    def tell(error: DamagedRecord) -> None:
        if len(told) < _MAX_NAMED:
            told.append(f"{error.subject}: {error.reason}")

    rows.list_projects(connection, tell)
    rows.list_artifacts(connection, on_damage=tell)
    rows.all_versions(connection, tell)
    rows.all_links(connection, tell)
    runs.list_runs(connection, None, on_damage=tell)
    runs.check_details(connection, tell)
    drafts.check_rows(connection, tell)
    for query, record in (
        (blob_query(), checked.blob_record),
        (select(packs.c.sha256, packs.c.size_bytes), checked.pack_record),
        (select(settings), checked.setting),
    ):
        some = connection.execution_options(yield_per=_PAGE).execute(query)
        for _ in rowchecks.sound(some, record, tell):
            pass
    try:
        last_number(connection)
    except DamagedRecord as error:
        tell(error)
    return told


def _sqlite_damage(connection: Connection) -> Iterator[str]:
    for (line,) in connection.exec_driver_sql(f"PRAGMA integrity_check({_MAX_NAMED})"):
        if line != "ok":
            yield str(line)
    for table, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"a row of {table} refers to one of {parent} that is not there"
    for table in metadata.tables.values():
        # What no record is made of is asked here: SQLite keeps anything in any column.
        counts = [
            func.count().filter(func.typeof(column).not_in(_kinds_of(column)))
            for column in table.columns
        ]
        row = connection.execute(select(*counts).select_from(table)).one()
        for column, count in zip(table.columns, row, strict=True):
            if count:
                yield f"{table.name}.{column.name}: {count} rows are of another type"


def _kinds_of(column: Column[Any]) -> tuple[str, ...]:
    if isinstance(column.type, (Integer, Boolean)):
        kind = "integer"
    else:
        kind = "blob" if isinstance(column.type, LargeBinary) else "text"
    return (kind, "null") if column.nullable else (kind,)


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
        .where(
            # Of an artifact that was not deleted, this is told as a name that it has lost.
            artifacts.c.deleted_at_ns.is_not(None),
            versions.c.state == VersionState.COMMITTED.value,
            links.c.version_id.is_(None),
        ),
        "is committed, but its artifact was deleted",
    )
    yield (
        select(func.count().label("what"))
        .select_from(blobs)
        .join(packs, packs.c.id == blobs.c.pack_id)
        .where(blobs.c.offset_bytes + blobs.c.size_bytes > packs.c.size_bytes)
        .having(func.count() > 0),
        "blobs reach beyond the end of their pack",
    )
