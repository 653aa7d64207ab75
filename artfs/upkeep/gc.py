"""Freeing what no version needs any more: mark, condemn, doom, sweep.

Why no commit can lose a blob, however it meets a collection:

- What a version reaches when it is marked is never doomed. What a commit reuses afterwards, it
  names in its transaction, which saves condemned blobs and fails for doomed ones; or a base
  version protects it, which was COMMITTED at the commit and so reached by the mark, or made by
  such a commit itself.
- References to entries of other versions are followed: what they lead to is reached, and a commit
  names it like other content that it reuses, whether or not its version is still there.
- Only what was condemned before the mark began is doomed. A blob that a commit saved after that
  is not condemned any more.
- What a commit stores anew, its `put` made young, where it can even if the object was there
  already. A deletion looks at the age, under the same lock, and spares what is younger than the
  grace period: so that must be longer than a put takes from its first object to its commit.
- An object store has no such lock, and an object that was there keeps its age. A commit then looks
  whether it still is, in its transaction: it holds the row by then that a deletion needs, so what
  it sees there stays.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

import msgspec

from artfs.blobs.base import Namespace, ObjectKey
from artfs.catalog.records import BlobRecord, PackRecord, VersionRecord
from artfs.content.blobs import stored_object
from artfs.errors import OutOfSpace
from artfs.manifest.entries import DirectoryEntry, FileEntry, ReferenceEntry
from artfs.model import Digest
from artfs.repository.facade import Repository
from artfs.upkeep.repack import PackContent, sparse_packs, write_anew

logger = logging.getLogger(__name__)

DEFAULT_GRACE_S = 7 * 86_400.0


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
    condemned: Tally = msgspec.field(default_factory=Tally)
    """Blobs that were found to be unused for the first time."""
    waiting: Tally = msgspec.field(default_factory=Tally)
    """Unused blobs that stay: the grace period is not over, or their pack is mostly in use."""
    removed: Tally = msgspec.field(default_factory=Tally)
    """Unused blobs that were removed."""
    packs_removed: Tally = msgspec.field(default_factory=Tally)
    """Packs that held nothing of use any more."""
    packs_rewritten: Tally = msgspec.field(default_factory=Tally)
    """Packs that held little of use; the bytes are those that writing them anew frees."""
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
) -> GcReport:
    """Free what no version has needed for `grace_s`; with 0 seconds all that is unused now.

    `staged_trees` tells the trees that staging areas build upon: they are kept, too.
    Blocks: on reading all directories, on the catalog and on deleting.
    Raises: IntegrityError, BlobNotFound, InvalidManifest where a directory is damaged, for what
    is below it is unknown; PermissionDenied, OutOfSpace, BackendUnavailable.
    """
    report = GcReport(dry_run=dry_run)

    def run() -> None:
        _Collection(repository, report, staged_trees, grace_s=grace_s, dry_run=dry_run).run()

    run()
    if grace_s == 0 and report.condemned.count and not dry_run:
        # What was condemned just now needs a mark that began afterwards.
        run()
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
        self._started_ns = time.time_ns()
        self._cutoff_ns = self._started_ns - int(grace_s * 1e9)
        self._cutoff_s = self._cutoff_ns / 1e9
        self._orphans: set[Digest] = set()

    def run(self) -> None:
        """Expire, mark, condemn, sweep, tidy up."""
        self._adopt_orphans()
        expired = self._expire()
        # Listed before the mark: what is committed meanwhile is not taken for unused.
        unused = {blob.sha256: blob.size_bytes for blob in self._catalog.blobs()}
        reachable = self._mark(expired)
        for digest in reachable:
            unused.pop(digest, None)
        self._condemn(reachable, unused)
        self._doom(reachable, unused)
        if not self._dry_run:
            self._catalog.sweep(self._delete)
        self._remove_temporaries()

    def _expire(self) -> set[str]:
        """The ids of versions whose time is over, which are deleted."""
        expired: set[str] = set()
        for version, _ in self._catalog.live_trees():
            if self._is_expired(version):
                expired.add(version.id)
                self._report.expired.append(version.path)
                if not self._dry_run:
                    self._catalog.delete_version(version.id, delete_aliases=True)
        return expired

    def _is_expired(self, version: VersionRecord) -> bool:
        if version.ttl_s is None:
            return False
        return version.created_at_ns + version.ttl_s * 10**9 < self._started_ns

    def _mark(self, expired: set[str]) -> set[Digest]:
        """All that live versions and staging areas reach: directories, block lists and files.

        What they refer to in other versions is reached as well, deleted ones included.
        """
        reachable: set[Digest] = set()
        linked = self._repository.linked_blobs()
        live = self._catalog.live_trees()
        trees = [tree for version, tree in live if version.id not in expired]
        for tree in [*trees, *self._staged_trees()]:
            stack = [tree]
            while stack:
                directory = stack.pop()
                if directory in reachable:
                    continue
                reachable.add(directory)
                for entry in self._repository.directory(directory).entries():
                    if isinstance(entry, DirectoryEntry):
                        stack.append(entry.sha256)
                    elif isinstance(entry, FileEntry):
                        reachable.add(entry.sha256)
                        if entry.blocks is not None:
                            reachable.add(entry.blocks)
                    elif isinstance(entry, ReferenceEntry):
                        linked.follow([entry])
        return reachable | linked.found

    def _condemn(self, reachable: set[Digest], unused: dict[Digest, int]) -> None:
        known = {blob.sha256 for blob in self._catalog.condemned(before_ns=self._started_ns)}
        for digest, size_bytes in unused.items():
            if digest not in known:
                self._report.condemned.add(size_bytes)
        if not self._dry_run:
            self._catalog.pardon(sorted(known & reachable))
            self._catalog.condemn(sorted(unused), at_ns=time.time_ns())

    def _doom(self, reachable: set[Digest], unused: dict[Digest, int]) -> None:
        """Decide what goes: all that was condemned before the grace period began."""
        stale = {
            blob.sha256: blob
            for blob in self._catalog.condemned(before_ns=self._cutoff_ns)
            if blob.sha256 not in reachable
        }
        self._doom_blobs([blob.sha256 for blob in stale.values() if blob.pack is None], unused)
        packs = sparse_packs(self._catalog, stale)
        if not self._dry_run:
            # On a disk that is full all else needs the room of what goes.
            self._catalog.sweep(self._delete)
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
            if pack.record.sha256 not in doomed or pack.record.sha256 in self._orphans:
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
            if digest not in self._orphans:
                self._report.removed.add(size_bytes)

    def _delete(self, record: BlobRecord | PackRecord) -> None:
        # One that a `put` relies on since then stays, and is an orphan or committed again.
        self._repository.objects.delete(stored_object(record), stored_before_s=self._cutoff_s)

    # --- leftovers -------------------------------------------------------------------------

    def _adopt_orphans(self) -> None:
        """Tell the catalog of old objects that it does not know: they are condemned, then go.

        Deleted at once, they could be taken from under a commit that found them there.
        """
        old = {
            found.key: found
            for namespace in Namespace
            for found in self._repository.objects.objects(namespace)
            if found.stored_s < self._cutoff_s
        }
        # Asked for after the listing: what was committed meanwhile is known.
        for pack in self._catalog.packs():
            old.pop(ObjectKey(Namespace.PACKS, pack.sha256), None)
        for blob in self._catalog.blobs():
            if blob.pack is None:
                old.pop(ObjectKey(Namespace.BLOBS, blob.sha256), None)
        for found in old.values():
            self._report.orphans.add(found.size_bytes)
        if self._dry_run:
            return
        self._orphans = {key.sha256 for key in old}
        self._catalog.add_blobs(
            [
                PackRecord(key.sha256, found.size_bytes)
                for key, found in old.items()
                if key.namespace is Namespace.PACKS
            ],
            [
                BlobRecord(key.sha256, found.size_bytes, None, 0)
                for key, found in old.items()
                if key.namespace is Namespace.BLOBS
            ],
            condemned_at_ns=self._cutoff_ns - 1,
        )

    def _remove_temporaries(self) -> None:
        """Remove what processes that are gone left in the workspace."""
        temporaries = self._repository.workspace.temporaries
        if self._dry_run:
            found = [each for each in temporaries.all() if not each.is_held]
        else:
            found = temporaries.remove_abandoned()
        for each in found:
            self._report.temporaries.add(each.size_bytes)
