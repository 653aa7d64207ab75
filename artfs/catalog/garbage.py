"""What gc needs of the catalog: listings, condemning, and the point of no return.

A blob or pack that is condemned is still there, and any commit may save it. One that is doomed
is lost: its row stays only until its object is deleted, so that no commit takes an object for
stored that is about to go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import chain

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
    update,
)

from artfs.catalog import inventory
from artfs.catalog.blob_port import Confirm
from artfs.catalog.bulk import among, chunks
from artfs.catalog.checked import blob_record, pack_record
from artfs.catalog.inventory import blob_query, is_doomed
from artfs.catalog.leases import next_number
from artfs.catalog.records import BlobRecord, PackRecord, StoreTotals
from artfs.catalog.schema import artifacts, blobs, packs, projects, versions
from artfs.errors import DamagedRecord
from artfs.failpoints import reach
from artfs.model import Digest, VersionState

PAGE = 10_000
"""Rows that one transaction of a long listing reads."""
_PACKS_AT_ONCE = 500


class Doomed(msgspec.Struct, frozen=True):
    """What remains to be deleted: row ids of packs, digests of blobs that are objects."""

    pack_ids: tuple[int, ...]
    blobs: tuple[Digest, ...]


# --- listings --------------------------------------------------------------------------------


def own_blobs_page(connection: Connection, after: bytes) -> list[BlobRecord]:
    """Blobs that are objects of their own, by digest, behind `after`."""
    query = blob_query().where(blobs.c.pack_id.is_(None), blobs.c.sha256 > after)
    rows = connection.execute(query.order_by(blobs.c.sha256).limit(PAGE))
    return [blob_record(row) for row in rows]


def packed_blobs_page(
    connection: Connection, after: tuple[int, int, bytes]
) -> tuple[list[BlobRecord], tuple[int, int, bytes]]:
    """Blobs in packs behind a place (pack's row id, offset, digest), and the next such place."""
    place = tuple_(blobs.c.pack_id, blobs.c.offset_bytes, blobs.c.sha256)
    rows = connection.execute(
        blob_query()
        .where(place > after)
        .order_by(blobs.c.pack_id, blobs.c.offset_bytes, blobs.c.sha256)
        .limit(PAGE)
    ).all()
    if not rows:
        return [], after
    return [blob_record(row) for row in rows], (rows[-1][4], rows[-1][3], bytes(rows[-1][0]))


def condemned_page(
    connection: Connection, before_ns: int, after: tuple[int, bytes], up_to: int | None
) -> tuple[list[BlobRecord], tuple[int, bytes]]:
    """Blobs condemned before a time, behind a place (time, digest), and the next such place.

    `up_to` leaves out those of later condemnations.
    """
    rows = connection.execute(
        blob_query()
        .add_columns(blobs.c.condemned_at_ns)
        .where(
            blobs.c.condemned_at_ns.is_not(None),
            blobs.c.condemned_at_ns < before_ns,
            true() if up_to is None else blobs.c.condemned_in <= up_to,
            tuple_(blobs.c.condemned_at_ns, blobs.c.sha256) > after,
            blobs.c.doomed == false(),
        )
        .order_by(blobs.c.condemned_at_ns, blobs.c.sha256)
        .limit(PAGE)
    ).all()
    if not rows:
        return [], after
    return [blob_record(row) for row in rows], (rows[-1][5], bytes(rows[-1][0]))


def list_packs(connection: Connection, only: Sequence[Digest] | None) -> list[PackRecord]:
    """What Catalog.packs says."""
    query = select(packs.c.sha256, packs.c.size_bytes).order_by(packs.c.id)
    conditions = [true()] if only is None else among(connection, packs.c.sha256, only)
    return [
        pack_record(row)
        for condition in conditions
        for row in connection.execute(query.where(condition))
    ]


def totals(connection: Connection) -> StoreTotals:
    """Counts over the whole store."""

    def count(query: ColumnElement[int]) -> int:
        return int(connection.execute(select(query)).scalar_one() or 0)

    living = artifacts.c.deleted_at_ns.is_(None)
    committed = versions.c.state == VersionState.COMMITTED.value
    return StoreTotals(
        projects=count(func.count(projects.c.id)),
        artifacts=count(func.count(artifacts.c.id).filter(living)),
        versions=count(func.count(versions.c.id).filter(committed)),
        blobs=count(func.count(blobs.c.sha256)),
        blob_bytes=count(func.sum(blobs.c.size_bytes)),
        packs=count(func.count(packs.c.id)),
        pack_bytes=count(func.sum(packs.c.size_bytes)),
    )


# --- condemning ------------------------------------------------------------------------------


def condemn(connection: Connection, digests: Sequence[Digest], at_ns: int) -> list[Digest]:
    """What Catalog.condemn says; returns none."""
    number = next_number(connection)
    for table in (blobs, packs):
        connection.execute(
            update(table).where(table.c.condemned_at_ns > at_ns).values(condemned_at_ns=at_ns)
        )
    for some in among(connection, blobs.c.sha256, digests):
        connection.execute(
            update(blobs)
            .where(some, blobs.c.condemned_at_ns.is_(None))
            .values(condemned_at_ns=at_ns, condemned_in=number)
        )
    return []


def move_blobs(
    connection: Connection,
    source: Digest,
    target: PackRecord,
    moved: Sequence[BlobRecord],
    confirm: Confirm | None,
) -> int:
    """What Catalog.move_blobs says."""
    inventory.store(connection, [target], [])
    ids = inventory.hold_packs(connection, {source, target.sha256})
    if confirm is not None:
        confirm([target], [])
    if not moved:
        return 0
    done = connection.execute(
        update(blobs)
        .where(
            blobs.c.sha256 == bindparam("moved_sha256"),
            blobs.c.pack_id == ids[source],
            blobs.c.doomed == false(),
        )
        .values(pack_id=ids[target.sha256], offset_bytes=bindparam("moved_offset")),
        [
            {"moved_sha256": blob.sha256, "moved_offset": blob.offset}
            for blob in sorted(moved, key=lambda blob: blob.sha256)
        ],
    )
    return done.rowcount


def doom_blobs(
    connection: Connection, digests: Sequence[Digest], condemned_before_ns: int, up_to: int
) -> list[BlobRecord]:
    """What Catalog.doom_blobs says; nothing of condemnations after `up_to`."""
    doomed: list[BlobRecord] = []
    for some in among(connection, blobs.c.sha256, digests):
        rows = connection.execute(
            update(blobs)
            .where(
                some,
                blobs.c.pack_id.is_(None),
                blobs.c.condemned_at_ns < condemned_before_ns,
                blobs.c.condemned_in <= up_to,
                blobs.c.doomed == false(),
            )
            .values(doomed=True)
            .returning(blobs.c.sha256, blobs.c.size_bytes)
        )
        doomed += [blob_record((row[0], row[1], None, 0)) for row in rows]
    return doomed


def doom_packs(
    connection: Connection, digests: Sequence[Digest], condemned_before_ns: int, up_to: int
) -> list[PackRecord]:
    """What Catalog.doom_packs says; nothing of condemnations after `up_to`."""
    candidates = [
        row
        for some in among(connection, packs.c.sha256, digests)
        for row in connection.execute(
            select(packs.c.id, packs.c.sha256, packs.c.size_bytes)
            .where(
                some,
                packs.c.doomed == false(),
                or_(
                    packs.c.condemned_at_ns.is_(None),
                    packs.c.condemned_at_ns < condemned_before_ns,
                ),
                or_(packs.c.condemned_in.is_(None), packs.c.condemned_in <= up_to),
            )
            .order_by(packs.c.sha256)
            .with_for_update()
        )
    ]
    doomed: list[PackRecord] = []
    for row_id, sha256, size_bytes in candidates:
        held = connection.execute(
            select(blobs.c.condemned_at_ns, blobs.c.condemned_in)
            .where(blobs.c.pack_id == row_id)
            .order_by(blobs.c.sha256)
            .with_for_update()
        ).all()
        if all(
            at_ns is not None and at_ns < condemned_before_ns and number <= up_to
            for at_ns, number in held
        ):
            connection.execute(update(blobs).where(blobs.c.pack_id == row_id).values(doomed=True))
            connection.execute(update(packs).where(packs.c.id == row_id).values(doomed=True))
            doomed.append(pack_record((sha256, size_bytes)))
    return doomed


# --- sweeping --------------------------------------------------------------------------------


def find_doomed(connection: Connection, only: Sequence[Digest] | None) -> Doomed:
    """Objects whose deletion was decided: all, or those that hold what `only` names."""
    of_blobs: list[ColumnElement[bool]] = [true()]
    of_packs: list[ColumnElement[bool]] = [true()]
    if only is not None:
        of_blobs = list(among(connection, blobs.c.sha256, only))
        of_packs = list(among(connection, packs.c.sha256, only))
    own: set[Digest] = set()
    pack_ids: set[int] = set()
    for condition in of_blobs:
        for sha256, pack_id in connection.execute(
            select(blobs.c.sha256, blobs.c.pack_id).where(is_doomed(), condition)
        ):
            if pack_id is None:
                own.add(Digest(bytes(sha256)))
            else:
                pack_ids.add(pack_id)
    for condition in of_packs:
        found = select(packs.c.id).where(packs.c.doomed == true(), condition)
        pack_ids.update(connection.scalars(found))
    return Doomed(tuple(sorted(pack_ids)), tuple(sorted(own)))


def check_unneeded(connection: Connection, doomed: Doomed, needed: Collection[Digest]) -> None:
    """Raises: DamagedRecord where what is doomed holds a blob that is needed."""
    if not needed:
        return
    own = (blob for blob in doomed.blobs if blob in needed)
    packed = (
        Digest(bytes(sha256))
        for some in chunks(doomed.pack_ids, _PACKS_AT_ONCE)
        for sha256 in connection.scalars(select(blobs.c.sha256).where(blobs.c.pack_id.in_(some)))
        if sha256 in needed
    )
    wrong = next(chain(own, packed), None)
    if wrong is not None:
        raise DamagedRecord(
            f"blob {wrong.hex()}",
            "is marked for removal, though a version needs it",
            hint="`artfs doctor --rebuild-catalog` makes the catalog again",
        )


def sweep_blobs(
    connection: Connection,
    digests: Sequence[Digest],
    delete_object: Callable[[BlobRecord | PackRecord], None],
) -> int:
    """Delete and forget blobs that are objects and are doomed still; returns how many."""
    found = connection.execute(
        select(blobs.c.sha256, blobs.c.size_bytes)
        .where(blobs.c.sha256.in_(digests), is_doomed(), blobs.c.pack_id.is_(None))
        .order_by(blobs.c.sha256)
        .with_for_update()
    ).all()
    locked = [blob_record((row[0], row[1], None, 0)) for row in found]
    for blob in locked:
        _require_locks(connection)
        delete_object(blob)
        reach("gc.object-deleted")
    connection.execute(delete(blobs).where(blobs.c.sha256.in_([blob.sha256 for blob in locked])))
    return len(locked)


def sweep_pack(
    connection: Connection,
    row_id: int,
    delete_object: Callable[[BlobRecord | PackRecord], None],
) -> int:
    """Delete and forget a pack that is doomed still, with its blobs; returns 1, or 0."""
    row = connection.execute(
        select(packs.c.sha256, packs.c.size_bytes)
        .where(packs.c.id == row_id, packs.c.doomed == true())
        .with_for_update()
    ).one_or_none()
    if row is None:
        return 0
    _require_locks(connection)
    delete_object(pack_record(row))
    reach("gc.pack-deleted")
    connection.execute(delete(blobs).where(blobs.c.pack_id == row_id))
    connection.execute(delete(packs).where(packs.c.id == row_id))
    return 1


def _require_locks(connection: Connection) -> None:
    """Make sure that the transaction is still open: a host that slept may have lost it, its locks
    with it, and what was doomed may be stored again by now. Fails as any statement does then.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(select(1))
