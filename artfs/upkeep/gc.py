"""Freeing what no version needs any more: mark, condemn, doom, sweep.

Why no version can lack a blob, however its commit meets a collection:

- Nothing is deleted but what a row names that is doomed. A doomed row has no way back, and it is
  there until its object is gone: both go in one transaction, which holds the row.
- A commit proves in its transaction that all it names is there: what it reuses by rows that are
  not doomed, what it stored by rows that it writes and then by a look at each object. A deletion
  needs one of these rows, so what the commit sees there stays. Else it fails, and nothing is made.
- What a version reaches when it is marked is not condemned. What a commit reuses afterwards it
  names, and so saves it where it was condemned; or a base version protects it, which was COMMITTED
  at the commit and so reached by the mark, or made by such a commit itself.
- References to entries of other versions are followed: what they lead to is reached, and a commit
  names it like other content that it reuses, whether or not its version is still there.

And why no commit fails for it, as long as its process holds its lease:

- A lease is taken before anything is stored or looked for; gc takes one before its mark.
- Condemnations are numbered, and a lease knows the last number when it began. Only what was
  condemned up to the number of every lease that is held is doomed (artfs/catalog/leases.py). So
  whoever holds one has seen that it is condemned, and has saved it if it needs it: `reserve`.
- Objects that no row names, which somebody may have stored just now, are condemned first as well.
- Whether a lease is held is told by a lock, or by the clock of the server that all hosts share.
  Clocks of hosts decide only how long what nobody needs is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec

from artfs.blobs.base import Namespace, ObjectKey, StoredObject
from artfs.catalog.blob_port import BlobsGone
from artfs.catalog.records import BlobRecord, LeaseKind, PackRecord, VersionRecord
from artfs.errors import (
    ArtfsError,
    BlobNotFound,
    DamagedRecord,
    IntegrityError,
    InvalidManifest,
    OutOfSpace,
)
from artfs.manifest.entries import DirectoryEntry, FileEntry, ReferenceEntry
from artfs.model import Digest
from artfs.repository.facade import Repository
from artfs.repository.reference_targets import ReferenceTargets
from artfs.system.oserrors import reach_step
from artfs.upkeep.repack import PackContent, sparse_packs, write_anew

logger = logging.getLogger(__name__)

DEFAULT_GRACE_S = 7 * 86_400.0

DRAFT_LIFE_S = 86_400.0
"""What clients of a server began to log, and did not go on with for so long, is given up."""

_EVER_NS = 2**62


class Tally(msgspec.Struct):
    """A number of things and their bytes."""

    count: int = 0
    size_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        """Count one more."""
        self.count += 1
        self.size_bytes += size_bytes


class GcReport(msgspec.Struct, kw_only=True):
    """What a collection did, or with `dry_run` would do."""

    dry_run: bool
    expired: list[str] = []
    """Versions whose time to live was over: `project/name:vN`."""
    kept: list[str] = []
    """Versions whose time was over as well, and why each stays: `project/name:vN: …`."""
    leases: int = 0
    """Others at work: what was condemned since they began stays, whatever the grace period."""
    condemned: Tally = msgspec.field(default_factory=Tally)
    """Blobs that were found to be unused for the first time."""
    waiting: Tally = msgspec.field(default_factory=Tally)
    """Unused blobs that stay: the grace period is not over, or their pack is mostly in use."""
    removed: Tally = msgspec.field(default_factory=Tally)
    """Unused blobs that were removed."""
    packs_removed: Tally = msgspec.field(default_factory=Tally)
    """Packs that held nothing of use any more."""
    packs_rewritten: Tally = msgspec.field(default_factory=Tally)
    """Packs that held little of use; the bytes are those that rewriting them frees."""
    orphans: Tally = msgspec.field(default_factory=Tally)
    """Objects that no commit had taken."""
    temporaries: Tally = msgspec.field(default_factory=Tally)
    """Files of processes that are gone."""


def collect(
    repository: Repository,
    *,
    grace_s: float = DEFAULT_GRACE_S,
    dry_run: bool = False,
    staged_trees: Callable[[], Iterable[Digest]] = tuple,
    on_obstacle: Callable[[ArtfsError], None] | None = None,
) -> GcReport:
    """Free what no version has needed for `grace_s`; with 0 seconds all that is unused now.

    `staged_trees` tells the trees that staging areas build upon: they are kept, too.
    Blocks: on reading all directories, on the catalog and on deleting.
    Where a directory or a row of the catalog is damaged, what it leads to is unknown: then nothing
    is condemned or doomed, but what was doomed before goes, and what killed processes left. Each
    obstacle is told to `on_obstacle`; without it the first is raised at the end.
    Raises: IntegrityError, BlobNotFound, InvalidManifest, DamagedRecord for that;
    PermissionDenied, OutOfSpace, BackendUnavailable.
    """
    report = GcReport(dry_run=dry_run)
    obstacles: dict[str, ArtfsError] = {}

    def run() -> None:
        collection = _Collection(repository, report, staged_trees, grace_s=grace_s, dry_run=dry_run)
        collection.run()
        obstacles.update(collection.obstacles)

    run()
    if grace_s == 0 and report.condemned.count and not dry_run:
        # What was condemned just now needs a mark that began afterwards.
        run()
    if repository.recovery is not None and not dry_run and not obstacles:
        # Beside damage the records are what it may be mended from: they stay as they are.
        try:
            repository.recovery.tidy(grace_s=grace_s)
        except OutOfSpace as error:
            # Nothing needs it as long as the catalog is there.
            logger.info("no checkpoint was written: %s", error)
        except ArtfsError as error:
            logger.warning("the recovery records are not up to date: %s", error)
    for obstacle in obstacles.values():
        if on_obstacle is None:
            raise obstacle
        on_obstacle(obstacle)
    return report


class _Collection:
    """One mark and one sweep."""

    def __init__(
        self,
        repository: Repository,
        report: GcReport,
        staged_trees: Callable[[], Iterable[Digest]],
        *,
        grace_s: float,
        dry_run: bool,
    ) -> None:
        self._staged_trees = staged_trees
        self._repository = repository
        self._catalog = repository.catalog
        self._report = report
        self._dry_run = dry_run
        self._started_ns = self._catalog.now_ns()
        # Without a grace period even what was condemned this moment.
        self._cutoff_ns = self._started_ns - int(grace_s * 1e9) + (grace_s == 0)
        self._orphans: dict[Digest, int] = {}
        self.obstacles: dict[str, ArtfsError] = {}
        """What could not be read of the store, by what it is about."""

    def run(self) -> None:
        """Adopt, expire, mark, condemn, sweep, tidy up."""
        try:
            self._free()
        except DamagedRecord as error:
            # Of a blob or pack: what is stored where is unknown.
            self._hinder(error)
        self._remove_temporaries()

    def _hinder(self, error: ArtfsError) -> None:
        self.obstacles.setdefault(error.subject, error)

    def _free(self) -> None:
        self._adopt_orphans()
        if self._dry_run:
            self._collect()
        else:
            self._catalog.revoke_abandoned()
            self._catalog.serving.expire_drafts(
                untouched_since_ns=self._started_ns - int(DRAFT_LIFE_S * 1e9)
            )
            lease = self._catalog.lease(LeaseKind.COLLECTION)
            try:
                self._collect()
            finally:
                lease.release()

    def _collect(self) -> None:
        reach_step("gc.begun", "gc")
        expired = self._expire()
        reach_step("gc.expired", "gc")
        # Listed before the mark: what is committed meanwhile is not taken for unused.
        unused = {blob.sha256: blob.size_bytes for blob in self._catalog.blobs()}
        reachable = self._mark(expired)
        if not self.obstacles:
            for digest in reachable:
                unused.pop(digest, None)
            reach_step("gc.marked", "gc")
            self._condemn(reachable, unused)
            reach_step("gc.condemned", "gc")
            self._doom(reachable, unused)
            reach_step("gc.doomed", "gc")
            if not self._dry_run:
                self._sweep(reachable)
            reach_step("gc.swept", "gc")
        if self._dry_run and not self._report.leases:
            for size_bytes in self._orphans.values():
                self._report.orphans.add(size_bytes)

    def _sweep(self, reachable: set[Digest]) -> None:
        """Delete what is doomed, by an earlier gc as well. Raises: DamagedRecord."""
        self._catalog.sweep(self._repository.delete_object, needed=reachable)

    def _expire(self) -> set[str]:
        """The ids of versions whose time is over and that nothing holds: they are deleted."""
        expired: set[str] = set()
        self._report.kept.clear()
        for version, _ in self._catalog.live_trees(on_damage=self._hinder):
            if not self._is_expired(version):
                continue
            holder = self._catalog.expire_version(version.id, dry_run=self._dry_run)
            if holder is None:
                expired.add(version.id)
                self._report.expired.append(version.path)
            else:
                self._report.kept.append(f"{version.path}: {holder}")
        return expired

    def _is_expired(self, version: VersionRecord) -> bool:
        if version.ttl_s is None:
            return False
        return version.created_at_ns + version.ttl_s * 10**9 < self._started_ns

    def _mark(self, expired: set[str]) -> set[Digest]:
        """All that live versions and staging areas reach: directories, block lists and files.

        What they refer to in other versions is reached as well, deleted ones included.
        """
        # Before the versions are listed: what is committed meanwhile is in one of both.
        drafted: set[Digest] = set()
        with self._hindered_by("what servers were sent"):
            drafted = self._catalog.serving.drafted()
        reachable: set[Digest] = set()
        # A file may hold the very bytes of a directory object: it does not lead on.
        walked: set[Digest] = set()
        linked = self._repository.linked_blobs()
        live = self._catalog.live_trees(on_damage=self._hinder)
        trees = [(tree, version.path) for version, tree in live if version.id not in expired]
        others = [*self._staged_trees(), *self._leased_trees()]
        for tree, path in [*trees, *((tree, f"tree {tree.hex()[:12]}") for tree in others)]:
            with self._hindered_by(path):
                self._mark_tree(tree, reachable, walked, linked)
        with self._hindered_by("a reference to another version"):
            reachable |= linked.found
        # What was uploaded to a server, and is not in a version yet, is drafted.
        return reachable | walked | drafted

    @contextmanager
    def _hindered_by(self, path: str) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, BlobNotFound, InvalidManifest, DamagedRecord) as error:
            self._hinder(
                type(error)(
                    path,
                    f"what it needs is unknown, and is kept with all else ({error})",
                    hint="put its files again, or delete it with `artfs rm`",
                )
            )

    def _mark_tree(
        self,
        tree: Digest,
        reachable: set[Digest],
        walked: set[Digest],
        linked: ReferenceTargets,
    ) -> None:
        stack = [tree]
        while stack:
            directory = stack.pop()
            if directory in walked:
                continue
            entries = list(self._repository.directory(directory).entries())
            walked.add(directory)
            for entry in entries:
                if isinstance(entry, DirectoryEntry):
                    stack.append(entry.sha256)
                elif isinstance(entry, FileEntry):
                    reachable.update(entry.blobs)
                elif isinstance(entry, ReferenceEntry):
                    linked.follow([entry])

    def _leased_trees(self) -> list[Digest]:
        others = [
            lease
            for lease in self._catalog.leases()
            if lease.is_held and lease.kind in {LeaseKind.INTAKE, LeaseKind.STAGING}
        ]
        self._report.leases = sum(lease.kind is LeaseKind.INTAKE for lease in others)
        return [lease.tree for lease in others if lease.tree is not None]

    def _condemn(self, reachable: set[Digest], unused: dict[Digest, int]) -> None:
        known = {blob.sha256 for blob in self._catalog.condemned(before_ns=_EVER_NS)}
        for digest, size_bytes in unused.items():
            if digest not in known:
                self._report.condemned.add(size_bytes)
        if not self._dry_run:
            self._catalog.pardon(sorted(known & reachable))
            self._catalog.condemn(sorted(unused), at_ns=self._started_ns)

    def _doom(self, reachable: set[Digest], unused: dict[Digest, int]) -> None:
        """Decide what goes: what was condemned before the grace period, and no lease spares."""
        stale = {
            blob.sha256: blob
            for blob in self._catalog.condemned(before_ns=self._cutoff_ns, needed=False)
            if blob.sha256 not in reachable
        }
        self._doom_blobs([blob.sha256 for blob in stale.values() if blob.pack is None], unused)
        reach_step("gc.blobs-doomed", "gc")
        packs = sparse_packs(self._catalog, stale)
        if not self._dry_run:
            # On a disk that is full all else needs the room of what goes.
            self._sweep(reachable)
            try:
                write_anew(self._repository, [pack for pack in packs if pack.alive])
            except OutOfSpace as error:
                logger.warning("packs that hold little of use stay until there is room: %s", error)
        self._doom_packs(packs, unused)

    def _doom_blobs(self, digests: list[Digest], unused: dict[Digest, int]) -> None:
        doomed = set(digests)
        if not self._dry_run:
            records = self._catalog.doom_blobs(digests, condemned_before_ns=self._cutoff_ns)
            doomed = {record.sha256 for record in records}
        self._remove(doomed, unused)

    def _doom_packs(self, packs: list[PackContent], unused: dict[Digest, int]) -> None:
        doomed = {pack.record.sha256 for pack in packs}
        if not self._dry_run:
            records = self._catalog.doom_packs(sorted(doomed), condemned_before_ns=self._cutoff_ns)
            doomed = {record.sha256 for record in records}
        for pack in packs:
            if pack.record.sha256 not in doomed:
                continue
            if pack.record.sha256 in self._orphans:
                self._report.orphans.add(pack.record.size_bytes)
                continue
            self._remove({blob.sha256 for blob in pack.dead}, unused)
            if pack.alive:
                self._report.packs_rewritten.add(pack.record.size_bytes - pack.alive_bytes)
            else:
                self._report.packs_removed.add(pack.record.size_bytes)
        self._report.waiting = Tally(len(unused), sum(unused.values()))

    def _remove(self, doomed: set[Digest], unused: dict[Digest, int]) -> None:
        for digest in doomed:
            size_bytes = unused.pop(digest, 0)
            tally = self._report.orphans if digest in self._orphans else self._report.removed
            tally.add(size_bytes)

    # --- leftovers -------------------------------------------------------------------------

    def _adopt_orphans(self) -> None:
        """Tell the catalog of objects that it does not know: they are condemned, then go.

        Deleted at once, they could be taken from under a commit that stored or found them.
        """
        unknown = {
            found.key: found
            for namespace in Namespace
            for found in self._repository.objects.objects(namespace)
        }
        # Asked for after the listing: what was committed meanwhile is known.
        for pack in self._catalog.packs():
            unknown.pop(ObjectKey(Namespace.PACKS, pack.sha256), None)
        for blob in self._catalog.blobs():
            if blob.pack is None:
                unknown.pop(ObjectKey(Namespace.BLOBS, blob.sha256), None)
        self._orphans = {
            key.sha256: found.size_bytes
            for key, found in unknown.items()
            if found.stored_s * 1e9 < self._cutoff_ns
        }
        if self._dry_run:
            return
        aged = {key: each for key, each in unknown.items() if key.sha256 in self._orphans}
        self._adopt(aged, self._cutoff_ns - 1)
        young = {key: each for key, each in unknown.items() if key.sha256 not in self._orphans}
        self._adopt(young, self._started_ns)

    def _adopt(self, unknown: dict[ObjectKey, StoredObject], condemned_at_ns: int) -> None:
        while unknown:
            packs = [
                PackRecord(key.sha256, found.size_bytes)
                for key, found in unknown.items()
                if key.namespace is Namespace.PACKS
            ]
            blobs = [
                BlobRecord(key.sha256, found.size_bytes, None, 0)
                for key, found in unknown.items()
                if key.namespace is Namespace.BLOBS
            ]
            try:
                self._catalog.add_blobs(
                    packs,
                    blobs,
                    condemned_at_ns=condemned_at_ns,
                    confirm=self._repository.require_objects,
                )
            except BlobsGone as error:
                # Another gc has removed them since they were listed.
                gone = {*error.missing, *error.packs}
                unknown = {key: found for key, found in unknown.items() if key.sha256 not in gone}
            else:
                return

    def _remove_temporaries(self) -> None:
        """Remove what processes that are gone left in the workspace."""
        temporaries = self._repository.workspace.temporaries
        if self._dry_run:
            found = [each for each in temporaries.all() if not each.is_held]
        else:
            found = temporaries.remove_abandoned()
        for each in found:
            self._report.temporaries.add(each.size_bytes)
