"""Freeing what no version needs any more: mark, condemn, sweep.

Why no commit can lose a blob, however it meets a collection:

- What a version reaches when it is marked is never swept. What a commit reuses afterwards, it
  names in its transaction, which saves condemned blobs and fails for forgotten ones; or a base
  version protects it, which was COMMITTED at the commit and so reached by the mark, or made by
  such a commit itself.
- Only what was condemned before the mark began is swept. A blob that a commit saved after that
  mark is not condemned, and is not forgotten.
- What a commit stores anew, its `put` made young, even where the object was there already. A
  deletion looks at the age, under the same lock, and spares what is younger than the grace
  period: so that must be longer than a put takes from its first object to its commit.
- There is one collection at a time.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from artfs.blobs.base import Namespace, ObjectKey
from artfs.blobs.oserrors import translate_os_errors
from artfs.catalog.base import VersionRecord
from artfs.errors import Conflict
from artfs.manifest.entries import DirectoryEntry, FileEntry
from artfs.model import Digest
from artfs.repository.facade import Repository
from artfs.repository.repack import find_packs, write_anew

DEFAULT_GRACE_S = 7 * 86_400.0

_TEMPORARY_GRACE_S = 3600.0
"""The process of a temporary file may run on another host that shares the disk."""


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
    """Condemned blobs whose grace period is not over, with those condemned now."""
    removed: Tally = msgspec.field(default_factory=Tally)
    """Blobs that were removed."""
    packs_rewritten: Tally = msgspec.field(default_factory=Tally)
    """Mostly dead packs; the bytes are those that this frees."""
    packs_removed: Tally = msgspec.field(default_factory=Tally)
    """Packs that held nothing any more."""
    orphans: Tally = msgspec.field(default_factory=Tally)
    """Objects that no commit had taken."""
    temporaries: Tally = msgspec.field(default_factory=Tally)
    """Files of processes that are gone."""


def collect(
    repository: Repository, *, grace_s: float = DEFAULT_GRACE_S, dry_run: bool = False
) -> GcReport:
    """Free what no version has needed for `grace_s`; with 0 seconds all that is unused now.

    Blocks: on reading all directories, on the catalog and on deleting.
    Raises: IntegrityError, BlobNotFound, InvalidManifest where a directory is damaged, for what
    is below it is unknown; Conflict where another collection runs; PermissionDenied, OutOfSpace,
    BackendUnavailable.
    """
    report = GcReport(dry_run=dry_run)
    with _alone(repository, dry_run=dry_run):
        _Collection(repository, report, grace_s=grace_s, dry_run=dry_run).run()
        if grace_s == 0 and report.condemned.count and not dry_run:
            # What was condemned just now needs a mark that began afterwards.
            _Collection(repository, report, grace_s=grace_s, dry_run=dry_run).run()
    return report


class _Collection:
    """One mark and one sweep."""

    def __init__(
        self, repository: Repository, report: GcReport, *, grace_s: float, dry_run: bool
    ) -> None:
        self._repository = repository
        self._catalog = repository.catalog
        self._report = report
        self._dry_run = dry_run
        self._started_ns = time.time_ns()
        self._cutoff_ns = self._started_ns - int(grace_s * 1e9)
        self._cutoff_s = self._cutoff_ns / 1e9
        self._temporary_cutoff_s = self._started_ns / 1e9 - min(grace_s, _TEMPORARY_GRACE_S)

    def run(self) -> None:
        """Expire, mark, condemn, sweep, tidy up."""
        expired = self._expire()
        # Listed before the mark: what is committed meanwhile is not taken for unused.
        unused = {blob.sha256: blob.size_bytes for blob in self._catalog.blobs()}
        reachable = self._mark(expired)
        for digest in reachable:
            unused.pop(digest, None)
        self._condemn(reachable, unused)
        gone = self._sweep(reachable, unused)
        self._tidy_packs(gone)
        self._remove_orphans()
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
        """All that live versions reach: directories, block lists and files."""
        reachable: set[Digest] = set()
        for version, tree in self._catalog.live_trees():
            if version.id in expired:
                continue
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
        return reachable

    def _condemn(self, reachable: set[Digest], unused: dict[Digest, int]) -> None:
        known = {blob.sha256 for blob in self._catalog.condemned(before_ns=self._started_ns)}
        for digest, size_bytes in unused.items():
            if digest not in known:
                self._report.condemned.add(size_bytes)
        if not self._dry_run:
            self._catalog.pardon(sorted(known & reachable))
            self._catalog.condemn(sorted(unused), at_ns=time.time_ns())

    def _sweep(self, reachable: set[Digest], unused: dict[Digest, int]) -> set[Digest]:
        """Remove what was condemned before the grace period; the digests of all of it."""
        gone = [
            blob
            for blob in self._catalog.condemned(before_ns=self._cutoff_ns)
            if blob.sha256 not in reachable
        ]
        if not self._dry_run:
            gone = self._catalog.forget_blobs([blob.sha256 for blob in gone])
        for blob in gone:
            self._report.removed.add(blob.size_bytes)
            unused.pop(blob.sha256, None)
            if blob.pack is None:
                self._delete(ObjectKey(Namespace.BLOBS, blob.sha256))
        self._report.waiting = Tally(len(unused), sum(unused.values()))
        return {blob.sha256 for blob in gone}

    def _tidy_packs(self, gone: set[Digest]) -> None:
        """Remove packs that hold nothing any more, and write those anew that hold little."""
        empty, sparse = find_packs(self._catalog, gone)
        for pack in empty:
            self._report.packs_removed.add(pack.size_bytes)
        for pack, blobs in sparse:
            alive_bytes = sum(blob.size_bytes for blob in blobs)
            self._report.packs_rewritten.add(pack.size_bytes - alive_bytes)
        if self._dry_run:
            return
        write_anew(self._repository, [blobs for _, blobs in sparse])
        packs = [pack.sha256 for pack in (*empty, *(pack for pack, _ in sparse))]
        for pack in self._catalog.forget_packs(packs):
            self._delete(ObjectKey(Namespace.PACKS, pack.sha256))

    def _delete(self, key: ObjectKey) -> bool:
        """Whether the object is, or would be, gone; not one that a `put` relies on since."""
        return self._dry_run or self._repository.objects.delete(key, stored_before_s=self._cutoff_s)

    # --- leftovers -------------------------------------------------------------------------

    def _remove_orphans(self) -> None:
        """Remove old objects that the catalog does not know."""
        repository = self._repository
        old = {
            found.key: found.size_bytes
            for namespace in Namespace
            for found in repository.objects.objects(namespace)
            if found.stored_s < self._cutoff_s
        }
        # Asked for after the listing: what was committed meanwhile is known.
        for pack in self._catalog.packs():
            old.pop(ObjectKey(Namespace.PACKS, pack.sha256), None)
        for blob in self._catalog.blobs():
            if blob.pack is None:
                old.pop(ObjectKey(Namespace.BLOBS, blob.sha256), None)
        for key, size_bytes in old.items():
            if self._delete(key):
                self._report.orphans.add(size_bytes)

    def _remove_temporaries(self) -> None:
        """Remove what processes that are gone left in the workspace."""
        for found in self._repository.workspace.temporaries():
            if found.owner_alive or found.modified_s >= self._temporary_cutoff_s:
                continue
            self._report.temporaries.add(found.size_bytes)
            if self._dry_run:
                continue
            with translate_os_errors(found.path):
                if found.path.is_dir() and not found.path.is_symlink():
                    shutil.rmtree(found.path)
                else:
                    found.path.unlink(missing_ok=True)


@contextmanager
def _alone(repository: Repository, *, dry_run: bool) -> Iterator[None]:
    """Keep other collections out of an embedded store.

    Raises: Conflict where there is one.
    """
    root = repository.info.root
    if root is None or dry_run:
        yield
        return
    with translate_os_errors(root):
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(str(root), "gc is running already", hint="wait for it") from None
        yield
    finally:
        os.close(fd)
