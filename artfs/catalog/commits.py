"""The one transaction of a commit."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from artfs.catalog import inventory
from artfs.catalog.base import BaseGone
from artfs.catalog.blob_port import Confirm
from artfs.catalog.bulk import among
from artfs.catalog.checked import ArtifactKey
from artfs.catalog.engine import now_ns
from artfs.catalog.records import CommitResult, Origin, VersionCommit, VersionRecord
from artfs.catalog.rowchecks import json_text
from artfs.catalog.rows import (
    latest_id,
    linked_version,
    version_by_id,
)
from artfs.catalog.runs import record_output
from artfs.catalog.schema import (
    LATEST,
    commit_keys,
    links,
    versions,
)
from artfs.catalog.searchindex import mark
from artfs.catalog.writes import add_link, lock_artifact, move_aliases, put_tags
from artfs.errors import AliasMoved
from artfs.failpoints import reach
from artfs.model import VersionState

_ID = re.compile(r"[0-9a-f]{32}")
_MAX_KEPT_INDEX = 2**30
"""The highest number that a copy keeps: as many are left for those that come after it."""


def commit(connection: Connection, wanted: VersionCommit, confirm: Confirm | None) -> CommitResult:
    """What Catalog.commit says."""
    if earlier := _committed_with(connection, wanted.commit_key):
        return CommitResult(earlier, created=False)
    key = lock_artifact(
        connection, wanted.project, wanted.name, type_name=wanted.type, is_portfolio=False
    )
    # Again, now that a commit of the same key cannot be under way beside this one.
    if earlier := _committed_with(connection, wanted.commit_key):
        return CommitResult(earlier, created=False)
    latest = latest_id(connection, key.id)
    if wanted.expect_latest is not None and (latest or "") != wanted.expect_latest:
        raise AliasMoved(
            f"{key.path}:{LATEST}",
            "it is not the expected version" if latest else "there is no version left",
            hint="look at the new version and commit again",
        )
    version_id, kept = _at_own_number(connection, key, wanted)
    index = key.next_index if kept is None else kept
    if version_id is None and kept is None:
        version_id = _same_content(connection, key, wanted, latest)
    created = version_id is None
    if version_id is not None:
        _heal(connection, wanted, confirm)
    else:
        version_id = _insert_version(connection, key, wanted, confirm, index=index)
    reach("commit.in-transaction")
    # What is put in among others is not the newest.
    is_newest = created and index >= key.next_index
    names = {LATEST, *wanted.aliases} if is_newest else wanted.aliases
    move_aliases(connection, key.id, names, version_id)
    if wanted.run_id is not None:
        record_output(connection, wanted.run_id, version_id)
    if wanted.commit_key is not None:
        connection.execute(
            insert(commit_keys), {"key": wanted.commit_key, "version_id": version_id}
        )
    record = linked_version(connection, key.id, version_id)
    assert record is not None
    return CommitResult(record, created)


def committed_with(connection: Connection, commit_key: str) -> str | None:
    """What Catalog.committed_with says."""
    query = select(commit_keys.c.version_id).where(commit_keys.c.key == commit_key)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def _committed_with(connection: Connection, commit_key: str | None) -> VersionRecord | None:
    found = None if commit_key is None else committed_with(connection, commit_key)
    return version_by_id(connection, found) if found is not None else None


def _at_own_number(
    connection: Connection, key: ArtifactKey, wanted: VersionCommit
) -> tuple[str | None, int | None]:
    """The version of this content that has the number of the origin; else that, if none had it."""
    origin = wanted.origin
    if origin is None or origin.index is None or origin.index > _MAX_KEPT_INDEX:
        return None, None
    row = connection.execute(
        select(versions.c.id, versions.c.state, versions.c.content_digest).where(
            versions.c.artifact_id == key.id, versions.c.index == origin.index
        )
    ).one_or_none()
    if row is None:
        return None, origin.index
    is_same = (
        row.state == VersionState.COMMITTED.value and row.content_digest == wanted.content_digest
    )
    return (row.id if is_same else None), None


def _same_content(
    connection: Connection, key: ArtifactKey, wanted: VersionCommit, latest: str | None
) -> str | None:
    """The id of a version to use in place of a new one."""
    query = (
        select(links.c.version_id)
        .join(versions, versions.c.id == links.c.version_id)
        .where(
            versions.c.artifact_id == key.id,
            versions.c.content_digest == wanted.content_digest,
            links.c.artifact_id == key.id,
        )
        .order_by(links.c.index.desc())
        .limit(1)
    )
    if not wanted.dedupe_all and wanted.origin is None:
        query = query.where(links.c.version_id == latest)
    return connection.execute(query).scalar_one_or_none()


def _heal(connection: Connection, wanted: VersionCommit, confirm: Confirm | None) -> None:
    """Record what was lost; what else was stored for a version that is not made is an orphan."""
    again = [blob for blob in wanted.blobs if blob.sha256 in wanted.lost]
    if not again:
        return
    packs = {blob.pack for blob in again}
    stored = [pack for pack in wanted.packs if pack.sha256 in packs]
    inventory.store(connection, stored, again)
    inventory.restore(connection, again, wanted.lost)
    if confirm is not None:
        confirm(stored, again)


def _insert_version(
    connection: Connection,
    key: ArtifactKey,
    wanted: VersionCommit,
    confirm: Confirm | None,
    *,
    index: int,
) -> str:
    _require_bases(connection, wanted.base_ids)
    inventory.store(connection, wanted.packs, wanted.blobs)
    inventory.restore(connection, wanted.blobs, wanted.lost)
    inventory.reuse(connection, wanted.reused)
    if confirm is not None:
        confirm(wanted.packs, wanted.blobs)
    version_id = wanted.version_id or _free_id(connection, wanted.origin)
    created_at_ns = now_ns(connection) if wanted.origin is None else wanted.origin.created_at_ns
    connection.execute(
        insert(versions),
        {
            "id": version_id,
            "artifact_id": key.id,
            "index": index,
            "state": VersionState.COMMITTED.value,
            "digest": wanted.digest,
            "content_digest": wanted.content_digest,
            "tree": wanted.tree,
            "size_bytes": wanted.size_bytes,
            "file_count": wanted.file_count,
            "description": wanted.description,
            "metadata": json_text(wanted.metadata),
            "created_at_ns": created_at_ns,
            "ttl_s": wanted.ttl_s,
        },
    )
    add_link(connection, key, version_id, index=index)
    put_tags(connection, version_id, wanted.tags)
    mark(connection, [version_id])
    return version_id


def _free_id(connection: Connection, origin: Origin | None) -> str:
    """The id of the origin, if that is one and no version had it."""
    if origin is not None and _ID.fullmatch(origin.id):
        query = select(versions.c.id).where(versions.c.id == origin.id)
        if connection.execute(query).first() is None:
            return origin.id
    return secrets.token_hex(16)


def _require_bases(connection: Connection, base_ids: Sequence[str]) -> None:
    # Locked, so that whoever deletes a base waits until the new version protects its blobs.
    found = 0
    for some in among(connection, versions.c.id, base_ids):
        committed = connection.execute(
            select(versions.c.id)
            .where(some, versions.c.state == VersionState.COMMITTED.value)
            .with_for_update(read=True)
        )
        found += len(committed.all())
    if found != len(set(base_ids)):
        raise BaseGone
