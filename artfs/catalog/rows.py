"""Queries that read records; each is one statement for however many records."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from artfs.catalog.base import ArtifactRecord, RunRecord, VersionRecord
from artfs.catalog.schema import (
    LATEST,
    aliases,
    artifacts,
    links,
    projects,
    runs,
    tags,
    versions,
)
from artfs.model import Digest, RunState, VersionState

_source = artifacts.alias("source")
_source_project = projects.alias("source_project")

_BATCH = 500


def version_query() -> Select[Any]:
    """Versions as seen through the artifacts and portfolios that hold them."""
    return (
        select(
            versions,
            links.c.artifact_id.label("seen_in"),
            links.c.index.label("seen_index"),
            artifacts.c.name.label("name"),
            projects.c.name.label("project"),
            _source.c.name.label("source_name"),
            _source.c.type.label("type"),
            _source_project.c.name.label("source_project"),
        )
        .join_from(links, versions, links.c.version_id == versions.c.id)
        .join(artifacts, links.c.artifact_id == artifacts.c.id)
        .join(projects, artifacts.c.project_id == projects.c.id)
        .join(_source, versions.c.artifact_id == _source.c.id)
        .join(_source_project, _source.c.project_id == _source_project.c.id)
    )


def unlinked_version_query() -> Select[Any]:
    """Versions in any state, as seen through the artifact that they were made in."""
    return (
        select(
            versions,
            versions.c.artifact_id.label("seen_in"),
            versions.c.index.label("seen_index"),
            _source.c.name.label("name"),
            _source_project.c.name.label("project"),
            _source.c.name.label("source_name"),
            _source.c.type.label("type"),
            _source_project.c.name.label("source_project"),
        )
        .join_from(versions, _source, versions.c.artifact_id == _source.c.id)
        .join(_source_project, _source.c.project_id == _source_project.c.id)
    )


def read_versions(connection: Connection, query: Select[Any]) -> list[VersionRecord]:
    """The records of a version query, in its order."""
    rows = connection.execute(query).all()
    ids = {row.id for row in rows}
    alias_names = _grouped(
        connection,
        select(aliases.c.artifact_id, aliases.c.version_id, aliases.c.name),
        aliases.c.version_id,
        ids,
    )
    tag_names = _grouped(connection, select(tags.c.version_id, tags.c.name), tags.c.version_id, ids)
    return [_version(row, alias_names[row.seen_in, row.id], tag_names[(row.id,)]) for row in rows]


def read_artifacts(connection: Connection, condition: ColumnElement[bool]) -> list[ArtifactRecord]:
    """Artifacts and portfolios, by project and name."""
    counts = (
        select(links.c.artifact_id, func.count().label("version_count"))
        .group_by(links.c.artifact_id)
        .subquery()
    )
    rows = connection.execute(
        select(artifacts, projects.c.name.label("project"), counts.c.version_count)
        .join(projects, artifacts.c.project_id == projects.c.id)
        .outerjoin(counts, counts.c.artifact_id == artifacts.c.id)
        .where(condition, artifacts.c.deleted_at_ns.is_(None))
        .order_by(projects.c.name, artifacts.c.name)
    ).all()
    latest_query = (
        version_query()
        .join(
            aliases,
            (aliases.c.artifact_id == links.c.artifact_id)
            & (aliases.c.version_id == links.c.version_id),
        )
        .add_columns(links.c.artifact_id)
        .where(aliases.c.name == LATEST, condition)
    )
    latest = {
        (record.project, record.name): record for record in read_versions(connection, latest_query)
    }
    return [
        ArtifactRecord(
            row.id,
            row.project,
            row.name,
            row.type,
            row.is_portfolio,
            row.created_at_ns,
            row.version_count or 0,
            latest.get((row.project, row.name)),
        )
        for row in rows
    ]


def read_runs(connection: Connection, *conditions: ColumnElement[bool]) -> list[RunRecord]:
    """Runs, oldest first."""
    rows = connection.execute(
        select(runs, projects.c.name.label("project"))
        .join(projects, runs.c.project_id == projects.c.id)
        .where(*conditions)
        .order_by(runs.c.created_at_ns)
    )
    return [run_record(row) for row in rows]


def run_record(row: Row[Any]) -> RunRecord:
    """The record of one row of runs joined with projects."""
    return RunRecord(
        row.id,
        row.project,
        row.name,
        row.job_type,
        RunState(row.state),
        json.loads(row.config),
        row.created_at_ns,
        row.finished_at_ns,
    )


def _grouped(
    connection: Connection, query: Select[Any], column: ColumnElement[Any], wanted: Iterable[str]
) -> defaultdict[tuple[Any, ...], list[str]]:
    """The last column of `query`, sorted, by its other columns."""
    found: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for batch in batched(sorted(wanted)):
        for *key, value in connection.execute(query.where(column.in_(batch))):
            found[tuple(key)].append(value)
    for values in found.values():
        values.sort()
    return found


def batched(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Slices that fit into one IN list."""
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _version(row: Row[Any], alias_names: list[str], tag_names: list[str]) -> VersionRecord:
    return VersionRecord(
        row.id,
        row.project,
        row.name,
        row.seen_index,
        row.type,
        row.source_project,
        row.source_name,
        row._mapping[versions.c.index],  # noqa: SLF001 - a tuple has a method of this name
        VersionState(row.state),
        row.digest,
        row.posix_digest,
        Digest(row.tree),
        row.size_bytes,
        row.file_count,
        row.description,
        json.loads(row.metadata),
        row.created_at_ns,
        tuple(alias_names),
        tuple(tag_names),
        row.ttl_s,
    )
