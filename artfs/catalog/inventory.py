"""Blobs and packs: where they are, and what gc does to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, exists, func, select, update

from artfs.catalog.base import BlobRecord, PackRecord, StoreTotals
from artfs.catalog.commits import add_blob_rows
from artfs.catalog.rows import batched
from artfs.catalog.schema import artifacts, blobs, links, packs, projects
from artfs.model import Digest


def blob_query() -> Select[Any]:
    """Blobs with the packs that hold them."""
    return select(
        blobs.c.sha256, blobs.c.size_bytes, packs.c.sha256.label("pack"), blobs.c.offset_bytes
    ).outerjoin(packs, blobs.c.pack_id == packs.c.id)


def locate(connection: Connection, wanted: Sequence[Digest]) -> dict[Digest, BlobRecord]:
    """See Catalog.locate."""
    found = {}
    for batch in batched(wanted):
        for row in connection.execute(blob_query().where(blobs.c.sha256.in_(batch))):
            found[Digest(row.sha256)] = blob_record(row)
    return found


def blob_record(row: Any) -> BlobRecord:
    """The record of one row of `blob_query`."""
    pack = None if row.pack is None else Digest(row.pack)
    return BlobRecord(Digest(row.sha256), row.size_bytes, pack, row.offset_bytes)


def totals(connection: Connection) -> StoreTotals:
    """See Catalog.totals."""

    def count(table: Any, *conditions: Any) -> int:
        query = select(func.count()).select_from(table).where(*conditions)
        return int(connection.execute(query).scalar_one())

    def total(column: Any) -> int:
        return int(connection.execute(select(func.coalesce(func.sum(column), 0))).scalar_one())

    live = artifacts.c.deleted_at_ns.is_(None)
    own = artifacts.join(links, links.c.artifact_id == artifacts.c.id)
    return StoreTotals(
        projects=count(projects),
        artifacts=count(artifacts, live),
        versions=count(own, artifacts.c.is_portfolio.is_(False)),
        blobs=count(blobs),
        blob_bytes=total(blobs.c.size_bytes),
        packs=count(packs),
        pack_bytes=total(packs.c.size_bytes),
    )


def check(connection: Connection) -> list[str]:
    """See Catalog.check; PostgreSQL looks after itself."""
    if connection.dialect.name != "sqlite":
        return []
    problems = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(10)")]
    dangling = [
        f"{row[0]} refers to {row[2]} that are not there"
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check")
    ]
    return [problem for problem in problems if problem != "ok"] + sorted(set(dangling))


def condemn(connection: Connection, unreachable: Sequence[Digest], at_ns: int) -> None:
    """See Catalog.condemn."""
    for batch in batched(unreachable):
        connection.execute(
            update(blobs)
            .where(blobs.c.sha256.in_(batch), blobs.c.condemned_at_ns.is_(None))
            .values(condemned_at_ns=at_ns)
        )


def pardon(connection: Connection, reachable: Sequence[Digest]) -> None:
    """See Catalog.pardon."""
    for batch in batched(reachable):
        connection.execute(
            update(blobs)
            .where(blobs.c.sha256.in_(batch), blobs.c.condemned_at_ns.is_not(None))
            .values(condemned_at_ns=None)
        )


def condemned(connection: Connection, before_ns: int) -> list[BlobRecord]:
    """See Catalog.condemned."""
    query = blob_query().where(blobs.c.condemned_at_ns < before_ns)
    return [blob_record(row) for row in connection.execute(query)]


def forget_blobs(connection: Connection, wanted: Sequence[Digest]) -> list[BlobRecord]:
    """See Catalog.forget_blobs."""
    forgotten: list[BlobRecord] = []
    for batch in batched(wanted):
        query = blob_query().where(blobs.c.sha256.in_(batch), blobs.c.condemned_at_ns.is_not(None))
        found = [blob_record(row) for row in connection.execute(query.with_for_update(of=blobs))]
        if found:
            connection.execute(
                delete(blobs).where(blobs.c.sha256.in_([blob.sha256 for blob in found]))
            )
        forgotten.extend(found)
    return forgotten


def move_blobs(connection: Connection, pack: PackRecord, moved: Sequence[BlobRecord]) -> None:
    """See Catalog.move_blobs."""
    add_blob_rows(connection, [pack], [])
    pack_id = connection.execute(
        select(packs.c.id).where(packs.c.sha256 == pack.sha256)
    ).scalar_one()
    for blob in moved:
        connection.execute(
            update(blobs)
            .where(blobs.c.sha256 == blob.sha256)
            .values(pack_id=pack_id, offset_bytes=blob.offset)
        )


def forget_packs(connection: Connection, wanted: Sequence[Digest]) -> list[PackRecord]:
    """See Catalog.forget_packs."""
    forgotten = []
    for batch in batched(wanted):
        empty = packs.c.sha256.in_(batch) & ~exists().where(blobs.c.pack_id == packs.c.id)
        query = select(packs.c.sha256, packs.c.size_bytes).where(empty)
        found = [
            PackRecord(Digest(row.sha256), row.size_bytes) for row in connection.execute(query)
        ]
        connection.execute(delete(packs).where(empty))
        forgotten.extend(found)
    return forgotten
