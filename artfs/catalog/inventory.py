"""Where blobs are, for commits and readers, each call in a caller's transaction.

Rows are written in the order of their digests: two writers that store the same blobs meet at the
first one and never wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    false,
    null,
    select,
    update,
)
from sqlalchemy.dialects import sqlite

from artfs.catalog.blob_port import BlobsGone
from artfs.catalog.bulk import among, put_columns, upsert_for
from artfs.catalog.checked import blob_record
from artfs.catalog.leases import next_number
from artfs.catalog.records import BlobRecord, PackRecord, Reserved
from artfs.catalog.schema import blobs, packs
from artfs.model import ByteRange, Digest


def blob_query() -> Select[Any]:
    """The columns of a BlobRecord, before the row's id of its pack."""
    return select(
        blobs.c.sha256, blobs.c.size_bytes, packs.c.sha256, blobs.c.offset_bytes, blobs.c.pack_id
    ).outerjoin(packs, packs.c.id == blobs.c.pack_id)


def locate(connection: Connection, wanted: Sequence[Digest]) -> dict[Digest, BlobRecord]:
    """What Catalog.locate says."""
    found: dict[Digest, BlobRecord] = {}
    for some in among(connection, blobs.c.sha256, wanted):
        for row in connection.execute(blob_query().where(some)):
            record = blob_record(row)
            found[record.sha256] = record
    return found


def reserve(
    connection: Connection, wanted: Sequence[Digest], packs_wanted: Sequence[Digest]
) -> Reserved | None:
    """What Catalog.reserve says, where nothing has to be changed for it; else None."""
    found: dict[Digest, BlobRecord] = {}
    doomed: list[Digest] = []
    condition = blob_query().add_columns(blobs.c.condemned_at_ns, blobs.c.doomed)
    for some in among(connection, blobs.c.sha256, wanted):
        for row in connection.execute(condition.where(some)):
            if row[6]:
                doomed.append(Digest(bytes(row[0])))
            elif row[5] is not None:
                return None
            else:
                record = blob_record(row)
                found[record.sha256] = record
    for some in among(connection, packs.c.sha256, packs_wanted):
        for sha256, is_lost in connection.execute(
            select(packs.c.sha256, packs.c.doomed).where(some)
        ):
            if not is_lost:
                return None
            doomed.append(Digest(bytes(sha256)))
    return Reserved(found, tuple(doomed))


def reserve_condemned(
    connection: Connection, wanted: Sequence[Digest], packs_wanted: Sequence[Digest]
) -> Reserved:
    """What Catalog.reserve says."""
    if packs_wanted:
        number = next_number(connection)
        for some in among(connection, packs.c.sha256, packs_wanted):
            connection.execute(
                update(packs).where(some, packs.c.doomed == false()).values(condemned_in=number)
            )
    pardon(connection, wanted)
    doomed: list[Digest] = []
    for table, digests in ((blobs, wanted), (packs, packs_wanted)):
        for some in among(connection, table.c.sha256, digests):
            lost = connection.scalars(select(table.c.sha256).where(some, table.c.doomed))
            doomed += [Digest(bytes(sha256)) for sha256 in lost]
    found = locate(connection, wanted)
    for digest in doomed:
        found.pop(digest, None)
    return Reserved(found, tuple(doomed))


def pack_contents(connection: Connection, pack: Digest, span: ByteRange) -> list[BlobRecord]:
    """What Catalog.pack_contents says."""
    of_pack = select(packs.c.id).where(packs.c.sha256 == pack).scalar_subquery()
    rows = connection.execute(
        select(blobs.c.sha256, blobs.c.size_bytes, blobs.c.offset_bytes)
        .where(
            blobs.c.pack_id == of_pack,
            blobs.c.offset_bytes >= span.start,
            blobs.c.offset_bytes < span.stop,
        )
        .order_by(blobs.c.offset_bytes)
    )
    return [blob_record((row[0], row[1], pack, row[2])) for row in rows]


# --- commits ---------------------------------------------------------------------------------


def _put_packs(
    connection: Connection, stored: Sequence[PackRecord], condemned_at_ns: int | None
) -> None:
    if not stored:
        return
    condemned_in = None if condemned_at_ns is None else next_number(connection)
    rows = [
        {
            "sha256": pack.sha256,
            "size_bytes": pack.size_bytes,
            "condemned_at_ns": condemned_at_ns,
            "condemned_in": condemned_in,
        }
        for pack in sorted(stored, key=lambda pack: pack.sha256)
    ]
    put = _put_statement(connection.dialect.name, packs, condemned_at_ns is not None)
    connection.execute(put, rows)


def hold_packs(connection: Connection, wanted: Collection[Digest]) -> dict[Digest, int]:
    """The row ids of packs, none of which gc can doom before the transaction ends.

    Raises: BlobsGone, naming those that are being deleted, or unknown.
    """
    ids: dict[Digest, int] = {}
    for some in among(connection, packs.c.sha256, wanted):
        for sha256, row_id in connection.execute(
            select(packs.c.sha256, packs.c.id)
            .where(some, packs.c.doomed == false())
            .with_for_update(read=True)
        ):
            ids[Digest(bytes(sha256))] = row_id
    if gone := set(wanted) - ids.keys():
        raise BlobsGone(packs=sorted(gone))
    return ids


def store(
    connection: Connection,
    stored_packs: Sequence[PackRecord],
    stored: Sequence[BlobRecord],
    *,
    condemned_at_ns: int | None = None,
) -> None:
    """Insert packs and blobs that are new. A known one keeps its place and is wanted again.

    With `condemned_at_ns` new ones are condemned, and known ones stay what they are.
    Raises: BlobsGone, naming those that are being deleted.
    """
    _put_packs(connection, stored_packs, condemned_at_ns)
    named = {pack.sha256 for pack in stored_packs}
    pack_ids = hold_packs(connection, named | {blob.pack for blob in stored if blob.pack})
    _put_blobs(connection, stored, pack_ids, condemned_at_ns)
    if stored and condemned_at_ns is None:
        # There are none, nearly always: cheaper to ask for all of them than for those stored.
        doomed = connection.scalars(select(blobs.c.sha256).where(is_doomed()))
        gone = {Digest(bytes(sha256)) for sha256 in doomed} & {blob.sha256 for blob in stored}
        if gone:
            raise BlobsGone(sorted(gone))


def restore(
    connection: Connection, stored: Sequence[BlobRecord], lost: Mapping[Digest, Digest | None]
) -> None:
    """Give blobs that were lost their new places, unless they have been moved meanwhile.

    `stored` was recorded in this transaction, which did not change the places of known blobs.
    """
    if not lost:
        return
    again = [blob for blob in stored if blob.sha256 in lost]
    ids: dict[Digest, int] = {}
    named = {pack for blob in again for pack in (blob.pack, lost[blob.sha256]) if pack}
    for some in among(connection, packs.c.sha256, named):
        for sha256, row_id in connection.execute(select(packs.c.sha256, packs.c.id).where(some)):
            ids[Digest(bytes(sha256))] = row_id
    places = [
        {
            "lost_sha256": blob.sha256,
            "lost_pack": (pack := lost[blob.sha256]) and ids.get(pack, -1),
            "new_pack": blob.pack and ids[blob.pack],
            "new_offset": blob.offset,
        }
        for blob in sorted(again, key=lambda blob: blob.sha256)
    ]
    if places:
        connection.execute(
            update(blobs)
            .where(
                blobs.c.sha256 == bindparam("lost_sha256"),
                blobs.c.pack_id.is_not_distinct_from(bindparam("lost_pack", type_=Integer)),
                blobs.c.doomed == false(),
            )
            .values(pack_id=bindparam("new_pack"), offset_bytes=bindparam("new_offset")),
            places,
        )


def forget(connection: Connection, damaged: Sequence[BlobRecord]) -> int:
    """What Catalog.forget says."""
    count = 0
    for blob in damaged:
        of_pack = select(packs.c.id).where(packs.c.sha256 == blob.pack).scalar_subquery()
        count += connection.execute(
            delete(blobs).where(
                blobs.c.sha256 == blob.sha256,
                blobs.c.pack_id == of_pack,
                blobs.c.offset_bytes == blob.offset,
                blobs.c.doomed == false(),
            )
        ).rowcount
    return count


def is_doomed() -> ColumnElement[bool]:
    """The condition that finds doomed blobs by the index on what is condemned."""
    return and_(blobs.c.condemned_at_ns.is_not(None), blobs.c.doomed)


def _put_blobs(
    connection: Connection,
    stored: Sequence[BlobRecord],
    pack_ids: dict[Digest, int],
    condemned_at_ns: int | None,
) -> None:
    if not stored:
        return
    ordered = sorted(stored, key=lambda blob: blob.sha256)
    columns: dict[str, list[Any]] = {
        "sha256": [blob.sha256 for blob in ordered],
        "size_bytes": [blob.size_bytes for blob in ordered],
        "pack_id": [blob.pack and pack_ids[blob.pack] for blob in ordered],
        "offset_bytes": [blob.offset for blob in ordered],
        "condemned_at_ns": [condemned_at_ns] * len(ordered),
    }
    if condemned_at_ns is not None:
        columns["condemned_in"] = [next_number(connection)] * len(ordered)
    put = _put_statement(connection.dialect.name, blobs, condemned_at_ns is not None)
    put_columns(connection, put, columns)


@lru_cache(8)
def _put_statement(dialect: str, table: Table, is_condemned: bool) -> sqlite.Insert:
    """A row that is there already keeps its place; what was stored for use is wanted again."""
    statement = upsert_for(dialect, table)
    if is_condemned:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(
        index_elements=[table.c.sha256],
        set_={"condemned_at_ns": null()},
        where=and_(table.c.condemned_at_ns.is_not(None), table.c.doomed == false()),
    )


def reuse(connection: Connection, wanted: Sequence[Digest]) -> None:
    """Make sure that blobs are there and stay. Raises: BlobsGone."""
    kept, condemned = _spared(connection, wanted)
    # What gc dooms between the two statements is not saved, and so it is missing.
    kept |= pardon(connection, condemned)
    if unsaved := condemned - kept:
        # Or another commit has pardoned it meanwhile.
        kept |= _spared(connection, unsaved)[0]
    if missing := set(wanted) - kept:
        raise BlobsGone(sorted(missing))


def _spared(connection: Connection, wanted: Collection[Digest]) -> tuple[set[Digest], set[Digest]]:
    """Blobs that nobody has condemned, and those that are condemned and not doomed."""
    kept: set[Digest] = set()
    condemned: set[Digest] = set()
    for some in among(connection, blobs.c.sha256, wanted):
        for sha256, condemned_at_ns, doomed in connection.execute(
            select(blobs.c.sha256, blobs.c.condemned_at_ns, blobs.c.doomed).where(some)
        ):
            if not doomed:
                (kept if condemned_at_ns is None else condemned).add(Digest(bytes(sha256)))
    return kept, condemned


def pardon(connection: Connection, wanted: Collection[Digest]) -> set[Digest]:
    """Condemn no longer; returns those that were condemned and can be saved."""
    saved: set[Digest] = set()
    for some in among(connection, blobs.c.sha256, wanted):
        rows = connection.execute(
            update(blobs)
            .where(some, blobs.c.condemned_at_ns.is_not(None), blobs.c.doomed == false())
            .values(condemned_at_ns=None)
            .returning(blobs.c.sha256)
        )
        saved.update(Digest(bytes(row[0])) for row in rows)
    return saved
