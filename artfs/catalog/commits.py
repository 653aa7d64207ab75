"""The one transaction of a commit, and the helpers it shares with other changes."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from artfs.catalog import schema
from artfs.catalog.base import (
    BaseGone,
    BlobRecord,
    BlobsGone,
    CommitOutcome,
    PackRecord,
    VersionCommit,
    VersionRecord,
)
from artfs.catalog.rows import batched, read_versions, unlinked_version_query, version_query
from artfs.catalog.schema import LATEST, aliases, artifacts, blobs, links, packs, versions
from artfs.errors import AliasMoved, VersionExists
from artfs.model import Digest, VersionState


def commit_version(connection: Connection, commit: VersionCommit) -> CommitOutcome:
    """See Catalog.commit; inside a write transaction."""
    done = _committed_before(connection, commit.commit_key)
    if done is not None:
        return CommitOutcome(done, created=False)
    artifact_id = open_artifact(
        connection, commit.project, commit.name, type_name=commit.type, is_portfolio=False
    )
    latest = _latest(connection, artifact_id)
    if commit.expect_latest is not None and commit.expect_latest != (latest.id if latest else ""):
        raise AliasMoved(
            f"{commit.project}/{commit.name}",
            f"latest is now {latest.version if latest else 'nothing'}",
            hint="look at what changed, and commit again",
        )
    same = _same_content(connection, artifact_id, commit, latest)
    if same is None:
        _check_bases(connection, commit.base_ids)
        add_blob_rows(connection, commit.packs, commit.blobs)
        _save_reused(connection, commit.reused)
        version_id = _insert_version(connection, artifact_id, commit)
    else:
        version_id = same
    for alias in {LATEST, *commit.aliases} if same is None else set(commit.aliases):
        move_alias(connection, artifact_id, alias, version_id)
    if commit.run_id is not None:
        record_output(connection, commit.run_id, version_id)
    if commit.commit_key is not None:
        connection.execute(
            insert(schema.commit_keys).values(key=commit.commit_key, version_id=version_id)
        )
    return CommitOutcome(linked_version(connection, artifact_id, version_id), same is None)


def open_artifact(
    connection: Connection, project: str, name: str, *, type_name: str, is_portfolio: bool
) -> int:
    """The id of an artifact or portfolio, made when missing, locked for this transaction.

    Raises: VersionExists where the name is taken by something else.
    """
    project_id = open_project(connection, project)
    condition = (
        (artifacts.c.project_id == project_id)
        & (artifacts.c.name == name)
        & artifacts.c.deleted_at_ns.is_(None)
    )
    query = select(artifacts).where(condition).with_for_update()
    found = connection.execute(query).first()
    if found is None:
        insert_or_ignore(
            connection,
            artifacts,
            [
                {
                    "project_id": project_id,
                    "name": name,
                    "type": type_name,
                    "is_portfolio": is_portfolio,
                    "next_index": 0,
                    "created_at_ns": time.time_ns(),
                }
            ],
        )
        found = connection.execute(query).one()
    if found.is_portfolio != is_portfolio:
        kind = "a portfolio" if found.is_portfolio else "an artifact"
        raise VersionExists(f"{project}/{name}", f"is {kind}", hint="choose another name")
    if not is_portfolio and found.type != type_name:
        raise VersionExists(
            f"{project}/{name}",
            f"has type {found.type!r}, not {type_name!r}",
            hint="choose another name, or its type",
        )
    return int(found.id)


def open_project(connection: Connection, name: str) -> int:
    """The id of a project, made when missing."""
    query = select(schema.projects.c.id).where(schema.projects.c.name == name)
    found = connection.execute(query).scalar()
    if found is None:
        row = {"name": name, "created_at_ns": time.time_ns()}
        insert_or_ignore(connection, schema.projects, [row])
        found = connection.execute(query).scalar_one()
    return int(found)


def add_link(connection: Connection, artifact_id: int, version_id: str) -> int:
    """Give a version the next number in an artifact or portfolio, and return the number."""
    index = connection.execute(
        update(artifacts)
        .where(artifacts.c.id == artifact_id)
        .values(next_index=artifacts.c.next_index + 1)
        .returning(artifacts.c.next_index - 1)
    ).scalar_one()
    connection.execute(
        insert(links).values(artifact_id=artifact_id, index=index, version_id=version_id)
    )
    return int(index)


def move_alias(connection: Connection, artifact_id: int, alias: str, version_id: str) -> None:
    """Point an alias to a version, whichever had it before."""
    connection.execute(
        delete(aliases).where(aliases.c.artifact_id == artifact_id, aliases.c.name == alias)
    )
    connection.execute(
        insert(aliases).values(artifact_id=artifact_id, name=alias, version_id=version_id)
    )


def record_output(connection: Connection, run_id: str, version_id: str) -> None:
    """Record a version as made by a run; twice is once."""
    row = {"run_id": run_id, "version_id": version_id, "first_logged_at_ns": time.time_ns()}
    insert_or_ignore(connection, schema.run_outputs, [row])


def linked_version(connection: Connection, artifact_id: int, version_id: str) -> VersionRecord:
    """A version as seen through an artifact or portfolio that holds it."""
    query = version_query().where(
        links.c.artifact_id == artifact_id, links.c.version_id == version_id
    )
    return read_versions(connection, query)[0]


def add_blob_rows(
    connection: Connection, new_packs: Sequence[PackRecord], new_blobs: Sequence[BlobRecord]
) -> None:
    """Record stored packs and blobs. A blob that is known stays where it is, and is wanted."""
    pack_rows = [{"sha256": pack.sha256, "size_bytes": pack.size_bytes} for pack in new_packs]
    insert_or_ignore(connection, packs, pack_rows)
    pack_ids = _pack_ids(connection, [blob.pack for blob in new_blobs if blob.pack is not None])
    rows = [
        {
            "sha256": blob.sha256,
            "size_bytes": blob.size_bytes,
            "pack_id": None if blob.pack is None else pack_ids[blob.pack],
            "offset_bytes": blob.offset,
        }
        for blob in new_blobs
    ]
    if rows:
        # One that gc is about to remove gets the place that was just written.
        statement = _upsert(connection, blobs)
        excluded = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[blobs.c.sha256],
                set_={
                    "pack_id": excluded.pack_id,
                    "offset_bytes": excluded.offset_bytes,
                    "condemned_at_ns": None,
                    "doomed": False,
                },
                where=blobs.c.condemned_at_ns.is_not(None),
            ),
            rows,
        )
    if pack_ids:
        connection.execute(
            update(packs)
            .where(packs.c.id.in_(pack_ids.values()))
            .values(condemned_at_ns=None, doomed=False)
        )


def _pack_ids(connection: Connection, wanted: Sequence[Digest]) -> dict[Digest, int]:
    found: dict[Digest, int] = {}
    for batch in batched(sorted(set(wanted))):
        query = select(packs.c.sha256, packs.c.id).where(packs.c.sha256.in_(batch))
        found.update((Digest(row.sha256), row.id) for row in connection.execute(query))
    return found


def _committed_before(connection: Connection, key: str | None) -> VersionRecord | None:
    if key is None:
        return None
    query = select(schema.commit_keys.c.version_id).where(schema.commit_keys.c.key == key)
    version_id = connection.execute(query).scalar()
    if version_id is None:
        return None
    found = read_versions(connection, unlinked_version_query().where(versions.c.id == version_id))
    return found[0]


def _latest(connection: Connection, artifact_id: int) -> VersionRecord | None:
    query = (
        version_query()
        .join(
            aliases,
            (aliases.c.artifact_id == links.c.artifact_id)
            & (aliases.c.version_id == links.c.version_id),
        )
        .where(links.c.artifact_id == artifact_id, aliases.c.name == LATEST)
    )
    found = read_versions(connection, query)
    return found[0] if found else None


def _same_content(
    connection: Connection, artifact_id: int, commit: VersionCommit, latest: VersionRecord | None
) -> str | None:
    """The version that has the commit's content already."""
    wanted = (commit.digest, commit.posix_digest)
    if latest is not None and (latest.digest, latest.posix_digest) == wanted:
        return latest.id
    if not commit.dedupe_all:
        return None
    query = (
        select(versions.c.id)
        .join(links, links.c.version_id == versions.c.id)
        .where(
            links.c.artifact_id == artifact_id,
            versions.c.digest == commit.digest,
            versions.c.posix_digest == commit.posix_digest,
        )
        .order_by(links.c.index.desc())
        .limit(1)
    )
    return connection.execute(query).scalar()


def _check_bases(connection: Connection, base_ids: Sequence[str]) -> None:
    for version_id in base_ids:
        query = (
            select(versions.c.state).where(versions.c.id == version_id).with_for_update(read=True)
        )
        if connection.execute(query).scalar() != VersionState.COMMITTED:
            raise BaseGone(version_id)


def _save_reused(connection: Connection, reused: Sequence[Digest]) -> None:
    missing: list[Digest] = []
    for batch in batched(reused):
        query = (
            select(blobs.c.sha256, blobs.c.condemned_at_ns)
            .where(blobs.c.sha256.in_(batch), blobs.c.doomed.is_(False))
            .with_for_update()
        )
        found = connection.execute(query).all()
        missing.extend(set(batch) - {Digest(row.sha256) for row in found})
        condemned = [row.sha256 for row in found if row.condemned_at_ns is not None]
        if condemned:
            connection.execute(
                update(blobs).where(blobs.c.sha256.in_(condemned)).values(condemned_at_ns=None)
            )
    if missing:
        raise BlobsGone(missing)


def _insert_version(connection: Connection, artifact_id: int, commit: VersionCommit) -> str:
    version_id = secrets.token_hex(16)
    index = connection.execute(
        select(artifacts.c.next_index).where(artifacts.c.id == artifact_id)
    ).scalar_one()
    connection.execute(
        insert(versions).values(
            id=version_id,
            artifact_id=artifact_id,
            index=index,
            state=VersionState.COMMITTED.value,
            digest=commit.digest,
            posix_digest=commit.posix_digest,
            tree=commit.tree,
            size_bytes=commit.size_bytes,
            file_count=commit.file_count,
            description=commit.description,
            metadata=json.dumps(commit.metadata),
            created_at_ns=time.time_ns(),
            ttl_s=commit.ttl_s,
        )
    )
    add_link(connection, artifact_id, version_id)
    set_tags(connection, version_id, commit.tags)
    return version_id


def set_tags(connection: Connection, version_id: str, names: Sequence[str]) -> None:
    """Replace a version's tags."""
    connection.execute(delete(schema.tags).where(schema.tags.c.version_id == version_id))
    rows = [{"version_id": version_id, "name": name} for name in sorted(set(names))]
    if rows:
        connection.execute(insert(schema.tags), rows)


def _upsert(connection: Connection, table: Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def insert_or_ignore(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows; those whose key exists are left out."""
    if rows:
        connection.execute(_upsert(connection, table).on_conflict_do_nothing(), rows)
