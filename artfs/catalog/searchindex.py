"""The index that searches are narrowed by: ordinary tables, the same in SQLite and PostgreSQL.

Whoever changes what can be searched of a version marks it as pending, in the same transaction.
When enough are pending they become a segment, which never changes: for each kind of grams a row of
bits, for each key of metadata its numbers in order. What a search looks at is what the segments
name, and all that is pending; it is never less than what is meant.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, literal, select

from artfs.catalog.bulk import among, upsert
from artfs.catalog.queries import Term
from artfs.catalog.records import VersionRecord
from artfs.catalog.rows import list_linked
from artfs.catalog.schema import (
    links,
    search_numbers,
    search_pending,
    search_segments,
    search_slices,
    versions,
)
from artfs.catalog.texts import ALL_PATHS, UNKNOWN, Wanted, between, kept, pack_numbers, wanted

SEGMENT = 512
"""Versions in a segment, at most."""

_MANY_PENDING = 8 * SEGMENT
"""So many are not looked at one by one: the index is being made."""

_LOADED = 16
"""Segments that are read at once."""

_POSITION = struct.Struct(">q16s")
_NOT_SMALLER = 4096

Key = tuple[int, str]
"""Nanoseconds before 1970, and an id: in this order versions are found."""


def mark(connection: Connection, version_ids: Iterable[str]) -> None:
    """Let versions be pending: something that can be searched has changed."""
    for some in among(connection, versions.c.id, version_ids):
        _mark(connection, some)


def mark_artifact(connection: Connection, artifact_id: int) -> None:
    """Let all versions of an artifact be pending."""
    _mark(connection, and_(versions.c.artifact_id == artifact_id, _is_linked()))


def mark_all(connection: Connection) -> None:
    """Let all versions be pending."""
    _mark(connection, _is_linked())


def _is_linked() -> ColumnElement[bool]:
    return versions.c.id.in_(select(links.c.version_id))


def _mark(connection: Connection, condition: ColumnElement[bool]) -> None:
    # In one order, so that two writers do not wait for each other. A row that is there is written
    # as well: who makes a segment of it now, or waits here, has seen the change.
    meant = (
        select(versions.c.id, versions.c.created_at_ns, literal(0))
        .where(condition)
        .order_by(versions.c.id)
    )
    statement = upsert(connection, search_pending).from_select(
        ["version_id", "created_at_ns", "changes"], meant
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[search_pending.c.version_id],
            set_={"changes": search_pending.c.changes + 1},
        )
    )


def is_due(connection: Connection) -> bool:
    """Whether there is a segment to be made."""
    return _pending(connection, SEGMENT) >= SEGMENT


def _pending(connection: Connection, most: int) -> int:
    some = select(search_pending.c.version_id).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def make_segment(connection: Connection) -> bool:
    """Make a segment of what is pending, the oldest first; whether there is another to be made."""
    ids = connection.scalars(
        select(search_pending.c.version_id)
        .order_by(search_pending.c.created_at_ns)
        .limit(SEGMENT)
        # What another transaction is changing, or making a segment of, is left to later ones.
        .with_for_update(skip_locked=True)
    ).all()
    found = list_linked(
        connection, ids, [links.c.artifact_id == versions.c.artifact_id], _leave_damaged
    )
    _put_segment(connection, _living(connection, ids), found)
    for some in among(connection, search_pending.c.version_id, ids):
        connection.execute(delete(search_pending).where(some))
    _drop_waste(connection)
    return bool(ids) and is_due(connection)


def _leave_damaged(_error: Exception) -> None:
    """Do nothing: a search that comes to it tells."""


def _living(connection: Connection, ids: Sequence[str]) -> list[Key]:
    keys: list[Key] = []
    for some in among(connection, versions.c.id, ids):
        query = select(versions.c.created_at_ns, versions.c.id).where(some, _is_linked())
        keys += [(-at, version_id) for at, version_id in connection.execute(query)]
    return keys


def _put_segment(
    connection: Connection, keys: Sequence[Key], found: dict[str, VersionRecord]
) -> None:
    if not keys:
        return
    bits: dict[int, int] = {}
    numbers: dict[str, list[tuple[float, int]]] = {}
    for position, (_, version_id) in enumerate(keys):
        version = found.get(version_id)
        each = UNKNOWN if version is None else kept(version)
        for number in each.slices:
            bits[number] = bits.get(number, 0) | 1 << position
        for path, values in each.numbers.items():
            numbers.setdefault(path, []).extend((value, position) for value in values)
    row = {
        "count": len(keys),
        "newest_ns": max(-key[0] for key in keys),
        "versions": b"".join(_POSITION.pack(-at, bytes.fromhex(each)) for at, each in keys),
    }
    key = connection.execute(insert(search_segments).values(row)).inserted_primary_key
    assert key is not None
    segment = key[0]
    connection.execute(
        insert(search_slices),
        [
            {"slice": each, "segment": segment, "bits": value.to_bytes(SEGMENT // 8, "little")}
            for each, value in sorted(bits.items())
        ],
    )
    if numbers:
        connection.execute(
            insert(search_numbers),
            [
                {"path": path, "segment": segment, "numbers": pack_numbers(values)}
                for path, values in sorted(numbers.items())
            ],
        )


def _drop_waste(connection: Connection) -> None:
    """Begin anew where most of the index is of what was changed or deleted since."""
    positions = connection.execute(select(func.sum(search_segments.c.count))).scalar_one() or 0
    if positions < _NOT_SMALLER:
        return
    living = connection.execute(select(func.count()).select_from(links)).scalar_one()
    if positions > 2 * living + _NOT_SMALLER:
        start_over(connection)


def start_over(connection: Connection) -> None:
    """Drop all segments: every version is pending."""
    for table in (search_slices, search_numbers, search_segments):
        connection.execute(delete(table))
    mark_all(connection)


def candidates(connection: Connection, terms: Iterable[Term]) -> Iterator[Key] | None:
    """Versions that may be meant, newest first; None where the index leaves out nothing.

    What is deleted may be among them. Raises: ValueError for rows that no artfs wrote.
    """
    asked = [each for term in terms if (each := wanted(term)) is not None]
    if not asked or _pending(connection, _MANY_PENDING) >= _MANY_PENDING:
        return None
    narrowed = _narrowed(connection, asked)
    pending = connection.execute(
        select(versions.c.created_at_ns, versions.c.id)
        .join(search_pending, search_pending.c.version_id == versions.c.id)
        .order_by(versions.c.created_at_ns.desc(), versions.c.id)
    )
    newest = [(-at, each) for at, each in pending]
    return _once(heapq.merge(newest, _positions(connection, narrowed)))


def _once(keys: Iterable[Key]) -> Iterator[Key]:
    last: Key | None = None
    for key in keys:
        if key != last:
            yield key
        last = key


def _narrowed(connection: Connection, asked: Iterable[Wanted]) -> dict[int, int]:
    """Bits of the positions that are left, of each segment."""
    found: dict[int, int] | None = None
    for each in asked:
        if each.path is not None:
            found = _both(found, _numbered(connection, each.path, each.least, each.most))
        for number in each.slices:
            if found is not None and sum(map(int.bit_count, found.values())) <= _LOADED:
                break
            query = select(search_slices.c.segment, search_slices.c.bits).where(
                search_slices.c.slice == number
            )
            rows = connection.execute(query)
            found = _both(found, {row[0]: int.from_bytes(row[1], "little") for row in rows})
    return found or {}


def _both(left: dict[int, int] | None, right: dict[int, int]) -> dict[int, int]:
    if left is None:
        return right
    both = ((segment, bits & right.get(segment, 0)) for segment, bits in left.items())
    return {segment: bits for segment, bits in both if bits}


def _numbered(connection: Connection, path: str, least: float, most: float) -> dict[int, int]:
    found: dict[int, int] = {}
    query = select(search_numbers.c.path, search_numbers.c.segment, search_numbers.c.numbers).where(
        search_numbers.c.path.in_([path, ALL_PATHS])
    )
    for of, segment, packed in connection.execute(query):
        limits = (least, most) if of == path else (0.0, 0.0)
        if bits := between(packed, *limits):
            found[segment] = found.get(segment, 0) | bits
    return found


def _positions(connection: Connection, narrowed: dict[int, int]) -> Iterator[Key]:
    """The versions of positions, newest first."""
    everything = select(search_segments.c.newest_ns, search_segments.c.id)
    segments = [(row[0], row[1]) for row in connection.execute(everything) if narrowed.get(row[1])]
    segments.sort(reverse=True)
    held: list[Key] = []
    for start in range(0, len(segments), _LOADED):
        some = [segment for _, segment in segments[start : start + _LOADED]]
        query = select(search_segments.c.id, search_segments.c.versions)
        for segment, packed in connection.execute(query.where(search_segments.c.id.in_(some))):
            held += _unpacked(packed, narrowed[segment])
        held.sort()
        following = segments[start + _LOADED : start + _LOADED + 1]
        # The next segment may have what is as new as its newest.
        ready = sum(-at > following[0][0] for at, _ in held) if following else len(held)
        yield from held[:ready]
        del held[:ready]


def _unpacked(packed: bytes, bits: int) -> Iterator[Key]:
    while bits:
        position = (bits & -bits).bit_length() - 1
        bits &= bits - 1
        try:
            at, version_id = _POSITION.unpack_from(packed, position * _POSITION.size)
        except struct.error as error:
            raise ValueError("not packed versions") from error
        yield -at, version_id.hex()
