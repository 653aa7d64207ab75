"""Versions that clients of a server are about to log, each call in a caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Select, Table, delete, func, select, update
from sqlalchemy.dialects import sqlite

from artfs.catalog import inventory
from artfs.catalog.blob_port import BlobsGone, Confirm, OnDamage
from artfs.catalog.bulk import among, put_columns, upsert_for
from artfs.catalog.checked import (
    content_record,
    draft_manifest_record,
    draft_record,
    key_record,
)
from artfs.catalog.engine import now_ns
from artfs.catalog.records import BlobRecord, PackRecord
from artfs.catalog.rowchecks import json_text, sound
from artfs.catalog.schema import (
    api_keys,
    artifacts,
    client_ids,
    contents,
    draft_manifests,
    drafts,
    projects,
    uploads,
    versions,
)
from artfs.catalog.serving_records import (
    ContentRecord,
    Draft,
    DraftGone,
    DraftManifest,
    Received,
)
from artfs.model import Digest, VersionState

_PAGE = 10_000
_CLIENT_IDS_KEPT_NS = 30 * 86_400 * 10**9


def put_draft(connection: Connection, draft: Draft) -> Draft:
    """What ServingState.put_draft says."""
    if draft.distributed_id is not None:
        query = select(drafts).where(
            drafts.c.distributed_id == draft.distributed_id,
            drafts.c.project == draft.project,
            drafts.c.name == draft.name,
        )
        found = connection.execute(query.order_by(drafts.c.touched_at_ns).limit(1)).one_or_none()
        if found is not None:
            return draft_record(found)
    row = {
        "id": draft.id,
        "project": draft.project,
        "name": draft.name,
        "distributed_id": draft.distributed_id,
        "request": json_text(msgspec.to_builtins(draft.request)),
        "touched_at_ns": now_ns(connection),
    }
    connection.execute(drafts.insert(), row)
    return draft


def find_draft(connection: Connection, draft_id: str) -> Draft | None:
    """What ServingState.draft says."""
    row = connection.execute(select(drafts).where(drafts.c.id == draft_id)).one_or_none()
    return None if row is None else draft_record(row)


def drop_drafts(connection: Connection, draft_ids: Iterable[str]) -> None:
    """Forget drafts, their manifests and uploads."""
    ids = list(draft_ids)
    for table in (uploads, draft_manifests):
        for some in among(connection, table.c.draft_id, ids):
            connection.execute(delete(table).where(some))
    for some in among(connection, drafts.c.id, ids):
        connection.execute(delete(drafts).where(some))


def _touch(connection: Connection, draft_ids: Iterable[str]) -> set[str]:
    """Say that somebody goes on with drafts, which then stay; the ids of those there are."""
    found: set[str] = set()
    at_ns = now_ns(connection)
    for some in among(connection, drafts.c.id, draft_ids):
        # Locked, in one order: whoever drops one of them waits, or was first.
        locked = select(drafts.c.id).where(some).order_by(drafts.c.id).with_for_update()
        found.update(connection.scalars(locked))
        connection.execute(update(drafts).where(some).values(touched_at_ns=at_ns))
    return found


# --- manifests -------------------------------------------------------------------------------


def put_manifest(connection: Connection, manifest: DraftManifest) -> None:
    """What ServingState.put_manifest says."""
    if not _touch(connection, [manifest.draft_id]):
        raise DraftGone
    of_draft = draft_manifests.c.draft_id == manifest.draft_id
    same = (
        of_draft
        & (draft_manifests.c.writer == manifest.writer)
        & (draft_manifests.c.kind == manifest.kind.value)
    )
    connection.execute(delete(draft_manifests).where(same))
    last = connection.execute(
        select(func.max(draft_manifests.c.number)).where(of_draft)
    ).scalar_one()
    row = {
        "id": manifest.id,
        "draft_id": manifest.draft_id,
        "number": 0 if last is None else last + 1,
        "kind": manifest.kind.value,
        "writer": manifest.writer,
        "base_id": manifest.base_id,
    }
    connection.execute(draft_manifests.insert(), row)


def set_manifest_base(
    connection: Connection, manifest_id: str, base_id: str | None
) -> DraftManifest | None:
    """What ServingState.set_manifest_base says."""
    if base_id is not None:
        connection.execute(
            update(draft_manifests)
            .where(draft_manifests.c.id == manifest_id)
            .values(base_id=base_id)
        )
    query = _manifests().where(draft_manifests.c.id == manifest_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else draft_manifest_record(row)


def list_manifests(connection: Connection, draft_id: str) -> list[DraftManifest]:
    """What ServingState.manifests says."""
    query = (
        _manifests()
        .where(draft_manifests.c.draft_id == draft_id)
        .order_by(draft_manifests.c.number)
    )
    return [draft_manifest_record(row) for row in connection.execute(query)]


def _manifests() -> Select[Any]:
    return select(
        draft_manifests.c.id,
        draft_manifests.c.draft_id,
        draft_manifests.c.kind,
        draft_manifests.c.writer,
        draft_manifests.c.base_id,
        draft_manifests.c.sha256,
        draft_manifests.c.size_bytes,
        draft_manifests.c.blocks,
    )


# --- content ---------------------------------------------------------------------------------


def record_uploads(
    connection: Connection,
    packs: Sequence[PackRecord],
    blobs: Sequence[BlobRecord],
    lost: Mapping[Digest, Digest | None],
    received: Sequence[Received],
    confirm: Confirm,
) -> set[str]:
    """What ServingState.record_uploads says."""
    wanted = {each.draft_id for each in received}
    there = _touch(connection, wanted)
    inventory.store(connection, packs, blobs)
    inventory.restore(connection, blobs, lost)
    stored = {blob.sha256 for blob in blobs}
    needed = {digest for each in received for digest in each.content.blobs}
    inventory.reuse(connection, sorted(needed - stored))
    confirm(packs, blobs)
    kept = [each for each in received if each.draft_id in there]
    _put_contents(
        connection,
        uploads,
        "draft_id",
        [(each.draft_id, each.content) for each in kept if each.manifest_id is None],
    )
    for each in kept:
        if each.manifest_id is not None:
            connection.execute(
                update(draft_manifests)
                .where(draft_manifests.c.id == each.manifest_id)
                .values(
                    sha256=each.content.sha256,
                    size_bytes=each.content.size_bytes,
                    blocks=each.content.blocks,
                )
            )
    return wanted - there


def claim(connection: Connection, draft_id: str, known: Sequence[ContentRecord]) -> set[bytes]:
    """What ServingState.claim says."""
    if not _touch(connection, [draft_id]):
        raise DraftGone
    digests = sorted({digest for each in known for digest in each.blobs})
    try:
        inventory.reuse(connection, digests)
    except BlobsGone:
        found = inventory.locate(connection, digests)
        known = [each for each in known if all(digest in found for digest in each.blobs)]
        if not known:
            return set()
        digests = sorted({digest for each in known for digest in each.blobs})
        try:
            inventory.reuse(connection, digests)
        except BlobsGone:
            # Some are being deleted at this moment: they are sent again.
            return set()
    _put_contents(connection, uploads, "draft_id", [(draft_id, each) for each in known])
    return {each.md5 for each in known}


def list_uploads(connection: Connection, draft_id: str) -> dict[bytes, ContentRecord]:
    """What ServingState.uploads says."""
    query = select(*_content_columns(uploads)).where(uploads.c.draft_id == draft_id)
    found = map(content_record, connection.execute(query))
    return {each.md5: each for each in found}


def known(
    connection: Connection, project: str, md5s: Sequence[bytes]
) -> dict[bytes, tuple[ContentRecord, str]]:
    """What ServingState.known says."""
    query = (
        select(*_content_columns(contents), contents.c.version_id)
        .join(projects, projects.c.id == contents.c.project_id)
        .join(versions, versions.c.id == contents.c.version_id)
        .where(projects.c.name == project, versions.c.state == VersionState.COMMITTED.value)
    )
    found: dict[bytes, tuple[ContentRecord, str]] = {}
    for some in among(connection, contents.c.md5, md5s):
        for row in connection.execute(query.where(some)):
            content = content_record(row[:4])
            found[content.md5] = (content, row.version_id)
    return found


def remember(connection: Connection, version_id: str, held: Sequence[ContentRecord]) -> None:
    """What ServingState.remember says."""
    project_id = connection.execute(
        select(artifacts.c.project_id)
        .join(versions, versions.c.artifact_id == artifacts.c.id)
        .where(versions.c.id == version_id)
    ).scalar_one_or_none()
    if project_id is not None:
        rows = {each.md5: (project_id, each) for each in held}
        _put_contents(
            connection, contents, "project_id", list(rows.values()), version_id=version_id
        )


def _content_columns(table: Table) -> tuple[Column[Any], ...]:
    return table.c.md5, table.c.sha256, table.c.size_bytes, table.c.blocks


def _put_contents(
    connection: Connection,
    table: Table,
    owner: str,
    rows: Sequence[tuple[Any, ContentRecord]],
    *,
    version_id: str | None = None,
) -> None:
    """Write rows of an owner and what it holds; those that are there are written over."""
    # In one order, so that two writers cannot wait for each other; each row once.
    unique = {(key, each.md5): each for key, each in rows}
    ordered = sorted(unique)
    if not ordered:
        return
    columns: dict[str, list[Any]] = {
        owner: [key for key, _ in ordered],
        "md5": [md5 for _, md5 in ordered],
        "sha256": [unique[key].sha256 for key in ordered],
        "size_bytes": [unique[key].size_bytes for key in ordered],
        "blocks": [unique[key].blocks for key in ordered],
    }
    changed: tuple[str, ...] = ("sha256", "size_bytes", "blocks")
    if version_id is not None:
        columns["version_id"] = [version_id] * len(ordered)
        changed = (*changed, "version_id")
    put_columns(connection, _contents_put(connection.dialect.name, table, owner, changed), columns)


@lru_cache(8)
def _contents_put(
    dialect: str, table: Table, owner: str, changed: tuple[str, ...]
) -> sqlite.Insert:
    statement = upsert_for(dialect, table)
    return statement.on_conflict_do_update(
        index_elements=[table.c[owner], table.c.md5],
        set_={name: statement.excluded[name] for name in changed},
    )


# --- upkeep ----------------------------------------------------------------------------------


def drafted(connection: Connection) -> set[Digest]:
    """What ServingState.drafted says."""
    received = map(content_record, connection.execute(select(*_content_columns(uploads))))
    sent = (each.content for each in map(draft_manifest_record, connection.execute(_manifests())))
    contents_of = (*received, *(each for each in sent if each is not None))
    return {digest for each in contents_of for digest in each.blobs}


def check_rows(connection: Connection, tell: OnDamage) -> None:
    """Tell of all rows that are damaged."""
    rows: tuple[tuple[Select[Any], Callable[[Any], object]], ...] = (
        (select(api_keys), key_record),
        (select(drafts), draft_record),
        (_manifests(), draft_manifest_record),
        (select(*_content_columns(uploads)), content_record),
        (select(*_content_columns(contents)), content_record),
    )
    for query, record in rows:
        some = connection.execution_options(yield_per=_PAGE).execute(query)
        for _ in sound(some, record, tell):
            pass


def expire_drafts(connection: Connection, untouched_since_ns: int) -> int:
    """What ServingState.expire_drafts says."""
    late = select(drafts.c.id).where(drafts.c.touched_at_ns < untouched_since_ns)
    old = list(connection.scalars(late.with_for_update()))
    drop_drafts(connection, old)
    live = select(versions.c.id).where(versions.c.state == VersionState.COMMITTED.value)
    connection.execute(delete(contents).where(contents.c.version_id.not_in(live)))
    cutoff_ns = now_ns(connection) - _CLIENT_IDS_KEPT_NS
    connection.execute(delete(client_ids).where(client_ids.c.made_at_ns < cutoff_ns))
    return len(old)
