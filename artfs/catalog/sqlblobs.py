"""The part of a catalog in an SQL database that is about blobs: see blob_port.py.

What a method does stands in `inventory` and `garbage`; here each becomes one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from artfs.catalog import garbage, inventory, rows
from artfs.catalog.blob_port import Confirm, Lease, OnDamage
from artfs.catalog.bulk import chunks
from artfs.catalog.engine import Database, now_ns
from artfs.catalog.leases import Leases, free_number
from artfs.catalog.records import (
    BlobRecord,
    LeaseKind,
    LeaseRecord,
    PackRecord,
    Reserved,
    StoreTotals,
    VersionRecord,
)
from artfs.errors import OutOfSpace
from artfs.model import ByteRange, Digest

T = TypeVar("T")

_FEW_ROWS = 64
"""So few have room in the reserve of a full disk."""

_OBJECTS_IN_ONE_SWEEP = 64
"""Objects that are deleted in one transaction, while writers of a SQLite catalog wait."""


class SqlBlobs:
    """`BlobCatalog` in an SQL database; safe for threads, processes and after a fork."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self._leases = leases

    def _free(self, work: Callable[[Connection], T]) -> T:
        """Do in one transaction what gives space back, or leads to that."""
        return self._database.write(work, frees_space=True)

    def _free_rows(
        self,
        digests: Sequence[Digest],
        work: Callable[[Connection, Sequence[Digest]], list[T]],
    ) -> list[T]:
        """The same for many rows, in transactions that a full disk has room for."""
        done: list[T] = []
        waiting = [digests]
        while waiting:
            some = waiting.pop()
            try:
                done += self._free(lambda connection, some=some: work(connection, some))  # type: ignore[misc]
            except OutOfSpace:
                if len(some) <= _FEW_ROWS:
                    raise
                middle = len(some) // 2
                waiting += [some[middle:], some[:middle]]
        return done

    # --- blobs -----------------------------------------------------------------------------

    def locate(self, wanted: Sequence[Digest]) -> dict[Digest, BlobRecord]:
        with self._database.reading() as connection:
            return inventory.locate(connection, wanted)

    def pack_contents(self, pack: Digest, span: ByteRange) -> list[BlobRecord]:
        with self._database.reading() as connection:
            return inventory.pack_contents(connection, pack, span)

    def blobs(self) -> Iterator[BlobRecord]:
        after = b""
        while True:
            with self._database.reading() as connection:
                page = garbage.own_blobs_page(connection, after)
            if not page:
                break
            yield from page
            after = page[-1].sha256
        place = (0, 0, b"")
        while True:
            with self._database.reading() as connection:
                page, place = garbage.packed_blobs_page(connection, place)
            if not page:
                break
            yield from page

    def packs(self, *, only: Sequence[Digest] | None = None) -> Iterator[PackRecord]:
        with self._database.reading() as connection:
            found = garbage.list_packs(connection, only)
        return iter(found)

    def live_trees(
        self, *, on_damage: OnDamage | None = None
    ) -> Iterator[tuple[VersionRecord, Digest]]:
        with self._database.reading() as connection:
            found = rows.all_versions(connection, on_damage)
        return ((version, version.tree) for version in found)

    def totals(self) -> StoreTotals:
        with self._database.reading() as connection:
            return garbage.totals(connection)

    def add_blobs(
        self,
        packs: Sequence[PackRecord],
        blobs: Sequence[BlobRecord],
        *,
        condemned_at_ns: int | None = None,
        confirm: Confirm | None = None,
    ) -> None:
        # What nobody wants is taken in so that it can be removed.
        def work(connection: Connection) -> None:
            inventory.store(connection, packs, blobs, condemned_at_ns=condemned_at_ns)
            if confirm is not None:
                confirm(packs, blobs)

        self._database.write(work, frees_space=condemned_at_ns is not None)

    def forget(self, damaged: Sequence[BlobRecord]) -> int:
        return self._free(lambda connection: inventory.forget(connection, damaged))

    # --- leases ----------------------------------------------------------------------------

    def now_ns(self) -> int:
        with self._database.reading() as connection:
            return now_ns(connection)

    def lease(self, kind: LeaseKind, *, subject: str = "", tree: Digest | None = None) -> Lease:
        return self._leases.begin(kind, subject, tree)

    def leases(self) -> list[LeaseRecord]:
        with self._database.reading() as connection:
            return self._leases.all(connection)

    def revoke_abandoned(self) -> int:
        return self._free(self._leases.revoke_abandoned)

    def reserve(self, wanted: Sequence[Digest], *, packs: Sequence[Digest] = ()) -> Reserved:
        self._leases.keep()
        with self._database.reading() as connection:
            found = inventory.reserve(connection, wanted, packs)
        if found is not None:
            return found
        return self._database.write(
            lambda connection: inventory.reserve_condemned(connection, wanted, packs)
        )

    # --- garbage ---------------------------------------------------------------------------

    def condemn(self, unreachable: Sequence[Digest], *, at_ns: int) -> None:
        self._free_rows(
            unreachable,
            lambda connection, some: garbage.condemn(connection, some, at_ns),
        )

    def pardon(self, reachable: Sequence[Digest]) -> int:
        wanted = sorted(set(reachable))
        return len(self._free(lambda connection: inventory.pardon(connection, wanted)))

    def condemned(self, *, before_ns: int, needed: bool = True) -> Iterator[BlobRecord]:
        up_to = None
        if not needed:
            with self._database.reading() as connection:
                up_to = free_number(self._leases, connection)
        place = (-(2**62), b"")
        while True:
            with self._database.reading() as connection:
                page, place = garbage.condemned_page(connection, before_ns, place, up_to)
            if not page:
                break
            yield from page

    def doom_blobs(
        self, digests: Sequence[Digest], *, condemned_before_ns: int
    ) -> list[BlobRecord]:
        def work(connection: Connection, some: Sequence[Digest]) -> list[BlobRecord]:
            up_to = self._free_number(connection)
            return garbage.doom_blobs(connection, some, condemned_before_ns, up_to)

        return self._free_rows(digests, work)

    def doom_packs(self, packs: Sequence[Digest], *, condemned_before_ns: int) -> list[PackRecord]:
        def work(connection: Connection) -> list[PackRecord]:
            up_to = self._free_number(connection)
            return garbage.doom_packs(connection, packs, condemned_before_ns, up_to)

        return self._free(work)

    def _free_number(self, connection: Connection) -> int:
        self._leases.revoke_abandoned(connection)
        return free_number(self._leases, connection)

    def move_blobs(
        self,
        source: Digest,
        target: PackRecord,
        blobs: Sequence[BlobRecord],
        *,
        confirm: Confirm | None = None,
    ) -> int:
        return self._free(
            lambda connection: garbage.move_blobs(connection, source, target, blobs, confirm)
        )

    def sweep(
        self,
        delete: Callable[[BlobRecord | PackRecord], None],
        *,
        only: Sequence[Digest] | None = None,
        needed: Collection[Digest] = (),
    ) -> int:
        with self._database.reading() as connection:
            doomed = garbage.find_doomed(connection, only)
            garbage.check_unneeded(connection, doomed, needed)
        count = 0
        for pack_id in doomed.pack_ids:
            count += self._free(
                lambda connection, pack_id=pack_id: garbage.sweep_pack(  # type: ignore[misc]
                    connection, pack_id, delete
                )
            )
        for some in chunks(doomed.blobs, _OBJECTS_IN_ONE_SWEEP):
            count += self._free(
                lambda connection, some=some: garbage.sweep_blobs(  # type: ignore[misc]
                    connection, some, delete
                )
            )
        return count
