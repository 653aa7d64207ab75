"""The part of the catalog port that is about blobs: where they are, who relies on them, and how
they go. For readers, intakes and gc.

As with the rest of the port (base.py) every method is one transaction, blocks, and is safe to call
from many threads and processes; each may raise BackendUnavailable, and PermissionDenied or
OutOfSpace when it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from artfs.catalog.records import (
    BlobRecord,
    LeaseKind,
    LeaseRecord,
    PackRecord,
    Reserved,
    StoreTotals,
    VersionRecord,
)
from artfs.errors import DamagedRecord
from artfs.model import ByteRange, Digest

OnDamage = Callable[[DamagedRecord], None]
"""Gets what is damaged where the rest is wanted all the same."""


class BlobsGone(Exception):
    """What a commit relies on is unknown, or gc is deleting it.

    `.missing` are digests of blobs in `reused` or `blobs`, `.packs` those of packs. What is being
    deleted cannot be stored before it is gone: finish that with `Catalog.sweep(…, only=…)`, store
    it again, and commit again.
    """

    def __init__(self, missing: Sequence[Digest] = (), *, packs: Sequence[Digest] = ()) -> None:
        super().__init__(f"{len(missing)} blobs and {len(packs)} packs are gone")
        self.missing = tuple(missing)
        self.packs = tuple(packs)


Confirm = Callable[[Sequence[PackRecord], Sequence[BlobRecord]], None]
"""Called with what was just recorded as stored, in the transaction, when everything is locked that
gc would need to delete any of it. Raises: BlobsGone where an object is not there, which undoes it
all."""


class Lease(Protocol):
    """Word to everybody that its holder is at work: gc leaves what it may need, a run is running.

    It ends with its holder, however that ends. A child that is forked holds it as well.
    """

    id: str

    def release(self) -> None:
        """Be done. Blocks: on the catalog. Never raises: what nobody renews ends by itself."""
        ...

    def abandon(self) -> None:
        """As `release`, from anywhere, such as a finalizer: it never blocks."""
        ...


class BlobCatalog(Protocol):
    """Where blobs are, leases on them, and what gc decides."""

    # --- blobs -----------------------------------------------------------------------------

    def locate(self, wanted: Sequence[Digest]) -> dict[Digest, BlobRecord]:
        """Where each blob is; unknown ones are left out.

        Blobs that gc is about to delete are known to the last: name them in `reused`, never store
        them again unasked, and let the commit decide.
        """
        ...

    def pack_contents(self, pack: Digest, span: ByteRange) -> list[BlobRecord]:
        """The blobs of a pack that begin within `span`, by offset; none where it is unknown."""
        ...

    def blobs(self) -> Iterator[BlobRecord]:
        """Every blob: objects of their own by digest, then by pack and offset.

        Not one transaction: what is stored or deleted meanwhile may be there or not.
        """
        ...

    def packs(self, *, only: Sequence[Digest] | None = None) -> Iterator[PackRecord]:
        """Every pack, or those that `only` names, the oldest first."""
        ...

    def live_trees(
        self, *, on_damage: OnDamage | None = None
    ) -> Iterator[tuple[VersionRecord, Digest]]:
        """Every COMMITTED version and its tree, of one moment: the roots of gc."""
        ...

    def totals(self) -> StoreTotals:
        """Counts over the whole store."""
        ...

    def add_blobs(
        self,
        packs: Sequence[PackRecord],
        blobs: Sequence[BlobRecord],
        *,
        condemned_at_ns: int | None = None,
        confirm: Confirm | None = None,
    ) -> None:
        """Record stored objects without a version: to rebuild a catalog, or to adopt orphans.

        Known blobs keep their place. An orphan is adopted condemned, so that a commit that found
        its object there can still save it; deleting it at once could take the object from under
        that commit. Raises: BlobsGone.
        """
        ...

    def forget(self, damaged: Sequence[BlobRecord]) -> int:
        """Know damaged blobs no longer that are at these places in packs; how many there were."""
        ...

    # --- leases ----------------------------------------------------------------------------

    def now_ns(self) -> int:
        """What time it is; for all hosts that share a catalog on a server, by its clock."""
        ...

    def lease(self, kind: LeaseKind, *, subject: str = "", tree: Digest | None = None) -> Lease:
        """Begin to hold a lease: before the first `reserve` of an intake, and gc's mark.

        gc keeps `tree` meanwhile.
        """
        ...

    def leases(self) -> list[LeaseRecord]:
        """All leases, held or left behind, by when they began."""
        ...

    def revoke_abandoned(self) -> int:
        """Forget the leases of those that are gone; how many there were."""
        ...

    def reserve(self, wanted: Sequence[Digest], *, packs: Sequence[Digest] = ()) -> Reserved:
        """As `locate`, for who holds a lease and relies on what it finds until its commit.

        What was condemned is so no longer, so that it stays at least as long as the lease. Of
        `packs` it is only told which are doomed; those that no blob is in stay as well.
        """
        ...

    # --- garbage ---------------------------------------------------------------------------
    #
    # gc marks what all live versions, staging areas and leases reach, pardons and condemns
    # accordingly, then dooms and sweeps what was condemned before the grace period, and before
    # every lease began that is held: its own, which it takes before it marks, among them. A commit
    # saves condemned blobs and refuses doomed ones; as a doomed blob stays known until its object
    # is gone, no commit can mistake an object about to be deleted for a stored one.

    def condemn(self, unreachable: Sequence[Digest], *, at_ns: int) -> None:
        """Note that gc found no use for these blobs; those condemned before keep their time.

        None is condemned later than `at_ns`: a clock that was wrong holds nothing back.
        """
        ...

    def pardon(self, reachable: Sequence[Digest]) -> int:
        """Undo `condemn` for blobs that turned out to be in use; returns how many there were."""
        ...

    def condemned(self, *, before_ns: int, needed: bool = True) -> Iterator[BlobRecord]:
        """Blobs condemned before a time and not doomed, in the order of that.

        Without those that are `needed` it is what may be doomed now: what no lease spares.
        Not one transaction.
        """
        ...

    def doom_blobs(
        self, digests: Sequence[Digest], *, condemned_before_ns: int
    ) -> list[BlobRecord]:
        """Decide to delete blobs that are objects of their own; returns those that it doomed.

        Only those still condemned since before that time, and before every lease that is held
        began; there is no way back.
        """
        ...

    def doom_packs(self, packs: Sequence[Digest], *, condemned_before_ns: int) -> list[PackRecord]:
        """Decide to delete packs with all blobs in them; returns those that it doomed.

        Only packs whose blobs may all be doomed as `doom_blobs` does, or were moved away.
        """
        ...

    def move_blobs(
        self,
        source: Digest,
        target: PackRecord,
        blobs: Sequence[BlobRecord],
        *,
        confirm: Confirm | None = None,
    ) -> int:
        """Record that blobs of the pack `source` were copied to the pack `target`.

        `blobs` say their new offsets; one that is elsewhere by now stays there. Returns how many
        moved. Whoever located them before may find the old pack gone, and must locate them again.
        Raises: BlobsGone where either pack is unknown or doomed.
        """
        ...

    def sweep(
        self,
        delete: Callable[[BlobRecord | PackRecord], None],
        *,
        only: Sequence[Digest] | None = None,
        needed: Collection[Digest] = (),
    ) -> int:
        """Delete and forget what is doomed, also by a gc that ended half-way.

        `delete` is called for each object, in a transaction that keeps commits from storing it,
        and again where that fails; it must not mind an object that is gone. `only` names blobs or
        packs; others stay. Returns how many objects were deleted.
        Raises: DamagedRecord, before anything is deleted, where a blob that is `needed` is doomed:
        artfs writes no such row.
        """
        ...
