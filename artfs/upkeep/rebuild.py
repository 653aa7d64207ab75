"""Making a catalog again from what is beside it.

1. Names: those of the catalog, if it is sound; else of the newest checkpoint that is whole, and on
   top of it the commit records that it does not know (replay.py).
2. Places of blobs: large ones are objects of their own, small ones are named by packs' footers.
3. Every directory of every version is read. A version that lacks something comes back all the
   same, and is named: it shows what is there, EIO for the rest, and a `put` of the same files heals
   it. gc deletes nothing as long as a directory cannot be read: what is missing can be put back.
4. The new catalog is complete before it takes the place of the old one (repository/replacement.py).
   A checkpoint of it comes first: who is interrupted then begins where this ended.

Blobs that no version names stay; they are condemned by the next gc, and go a grace period later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from artfs.blobs.base import (
    Namespace,
    RecordKind,
    Store,
    StoredObject,
    StoredRecord,
)
from artfs.blobs.packs import PackedBlob, read_footer
from artfs.catalog.copies import empty_copy
from artfs.catalog.records import BlobRecord, Copy, PackRecord, VersionRecord
from artfs.catalog.sql import SqlCatalog
from artfs.errors import (
    BlobNotFound,
    Conflict,
    IntegrityError,
    InvalidManifest,
    InvalidName,
)
from artfs.manifest.entries import FileEntry
from artfs.model import Digest
from artfs.repository.facade import Repository
from artfs.repository.recovery import (
    CHECKPOINTS_KEY,
    Checkpoint,
    CommitRecord,
    Places,
    checkpoint_name,
    decode_checkpoint,
    decode_commit,
    encode_checkpoint,
    retained,
)
from artfs.repository.replacement import LostCatalog, entity_of
from artfs.system.oserrors import reach_step
from artfs.system.threads import in_parallel
from artfs.upkeep.replay import Replayed, replay
from artfs.upkeep.verify import Damage, Survey, damages_of, reading_anew

_THREADS = 8
_BATCH_BLOBS = 50_000
_LOCATE_BLOBS = 16_384
_UNUSABLE = (BlobNotFound, IntegrityError, InvalidManifest, InvalidName)
"""What is wrong with a record; any other error is a reason to stop."""

OnStep = Callable[[str, int, int], None]
"""Told what is read, how many were, and of how many."""


class RebuildReport(msgspec.Struct, kw_only=True):
    """What was brought back, or with `dry_run` would be, and what is lost."""

    dry_run: bool
    was_sound: bool
    """Whether there was a catalog without damage, whose names were taken."""
    checkpoint_at_ns: int | None = None
    """The moment of the names that were taken; None: none had been written."""
    artifacts: int = 0
    versions: int = 0
    runs: int = 0
    blobs: int = 0
    packs: int = 0
    replayed: Replayed = msgspec.field(default_factory=Replayed)
    damages: tuple[Damage, ...] = ()
    """Paths of versions of which something is not there."""
    unusable: list[str] = []
    """Packs, commit records and checkpoints that cannot be read, and why."""
    aside: str | None = None
    """Where the old catalog is now."""

    @property
    def lacks_names(self) -> bool:
        """Whether there are contents, and nothing says of what versions."""
        known = self.was_sound or self.versions or self.checkpoint_at_ns is not None
        return bool(self.blobs and not known)

    @property
    def ok(self) -> bool:
        """Whether all that commits left word of is there."""
        wrong = self.damages or self.unusable or self.replayed.left_out or self.lacks_names
        return not wrong


def rebuild_catalog(
    lost: LostCatalog,
    *,
    dry_run: bool = False,
    on_sound: Callable[[], None] | None = None,
    on_step: OnStep | None = None,
) -> RebuildReport:
    """Make the catalog of a store again; one that is sound only if `on_sound` lets it.

    Blocks: on listing all objects, the end of each pack, all records and directories.
    Raises: Conflict where the catalog is sound, somebody is at work, or the database is not empty;
    BackendUnavailable, PermissionDenied, OutOfSpace; then everything is as it was.
    """
    current = lost.names()
    if current is not None and not dry_run:
        if on_sound is None:
            raise Conflict(lost.location, "its catalog is sound")
        on_sound()
    with lost.building(dry_run=dry_run) as path:
        rebuilding = _Rebuilding(lost, path, current, on_step or (lambda *_: None))
        report = rebuilding.run(dry_run=dry_run)
        if not dry_run:
            rebuilding.save_checkpoint()
        rebuilding.close()
        reach_step("rebuild.built", path)
        if not dry_run:
            report.aside = lost.install(path, entity=rebuilding.entity)
    return report


class _Rebuilding:
    """One new catalog, at `path`."""

    def __init__(
        self, lost: LostCatalog, path: Path, current: Copy | None, on_step: OnStep
    ) -> None:
        self._lost = lost
        self._objects = lost.objects
        self._current = current
        self._on_step = on_step
        self._catalog = SqlCatalog.sqlite(path, create=True)
        self._repository = lost.repository(self._catalog)
        self._checkpoints: Places = []
        self.entity = entity_of(lost, None)

    def close(self) -> None:
        """Let the file be whole, and nobody's."""
        self._catalog.close()

    def run(self, *, dry_run: bool) -> RebuildReport:
        """Fill it, and look what versions lack."""
        report = RebuildReport(dry_run=dry_run, was_sound=self._current is not None)
        copied = self._put_names(report)
        report.artifacts = sum(row["deleted_at_ns"] is None for row in copied["artifacts"])
        report.runs = len(copied["runs"])
        reach_step("rebuild.named", "catalog")
        self._put_places(report)
        reach_step("rebuild.placed", "catalog")
        versions = [version for version, _ in self._catalog.live_trees()]
        report.versions = len(versions)
        # What this user's cache has is not what the store has.
        with reading_anew(self._repository) as repository:
            report.damages = tuple(_damages(repository, versions, self._on_step))
        return report

    # --- names -----------------------------------------------------------------------------

    def _put_names(self, report: RebuildReport) -> Copy:
        commits = list(self._commits(report))
        for base in self._bases(report):
            copied = empty_copy() | base.copied
            replayed = replay(copied, commits)
            try:
                self._catalog.put_copy(copied)
            except InvalidManifest as error:
                report.unusable.append(f"{checkpoint_name(base.number)}: {error.reason}")
                continue
            report.replayed = replayed
            report.checkpoint_at_ns = base.at_ns if base.number else None
            self.entity = entity_of(self._lost, base.entity or None)
            return copied
        raise IntegrityError("commit records", "contradict each other")

    def _bases(self, report: RebuildReport) -> Iterator[Checkpoint]:
        """What to begin with, the best first; the last one is nothing at all."""
        listed = sorted(self._objects.records(RecordKind.CHECKPOINTS), key=lambda each: each.name)
        self._checkpoints = [
            (int(each.name), int(each.stored_s * 1e9), each.size_bytes)
            for each in listed
            if each.name.isdecimal()
        ]
        if self._current is not None:
            now_ns = self._catalog.now_ns()
            yield Checkpoint(number=1, at_ns=now_ns, entity="", copied=self._current)
        for each in reversed(listed):
            try:
                yield decode_checkpoint(
                    self._objects.read_record(RecordKind.CHECKPOINTS, each.name)
                )
            except _UNUSABLE as error:
                report.unusable.append(f"{RecordKind.CHECKPOINTS}/{each.name}: {error.reason}")
        yield Checkpoint(number=0, at_ns=0, entity="", copied={})

    def _commits(self, report: RebuildReport) -> Iterator[CommitRecord]:
        listed = list(self._objects.records(RecordKind.COMMITS))
        for done, (record, why) in enumerate(
            in_parallel(self._commit, listed, workers=_THREADS), start=1
        ):
            self._on_step("commit records", done, len(listed))
            if isinstance(record, CommitRecord):
                yield record
            else:
                report.unusable.append(f"{RecordKind.COMMITS}/{record.name}: {why}")

    def _commit(self, found: StoredRecord) -> tuple[CommitRecord | StoredRecord, str]:
        try:
            record = decode_commit(self._objects.read_record(RecordKind.COMMITS, found.name))
        except _UNUSABLE as error:
            return found, error.reason
        return (record, "") if record.id == found.name else (found, "is the one of another")

    def save_checkpoint(self) -> None:
        """Leave word of what the new catalog is, as its first checkpoint; see Recovery."""
        number = max((each[0] for each in self._checkpoints), default=0) + 1
        at_ns = self._catalog.now_ns()
        copied = self._catalog.copy_names()
        data = encode_checkpoint(
            Checkpoint(number=number, at_ns=at_ns, entity=self.entity, copied=copied)
        )
        name = checkpoint_name(number)
        self._objects.put_record(RecordKind.CHECKPOINTS, name, data)
        places = retained([*self._checkpoints, (number, at_ns, len(data))])
        old = self._catalog.choose_setting(CHECKPOINTS_KEY, "[]")
        new = msgspec.json.encode(places).decode()
        self._catalog.replace_setting(CHECKPOINTS_KEY, old, new)

    # --- places of blobs -------------------------------------------------------------------

    def _put_places(self, report: RebuildReport) -> None:
        blobs = [
            BlobRecord(found.key.sha256, found.size_bytes, None, 0)
            for found in self._objects.objects(Namespace.BLOBS)
        ]
        for start in range(0, len(blobs), _BATCH_BLOBS):
            self._catalog.add_blobs([], blobs[start : start + _BATCH_BLOBS])
        packs = sorted(self._objects.objects(Namespace.PACKS), key=lambda found: found.stored_s)
        waiting: list[BlobRecord] = []
        known: list[PackRecord] = []
        read = in_parallel(lambda found: _footer(self._objects, found), packs, workers=_THREADS)
        for done, (found, (held, why)) in enumerate(zip(packs, read, strict=True), start=1):
            self._on_step("packs", done, len(packs))
            pack = PackRecord(found.key.sha256, found.size_bytes)
            if held is None:
                report.unusable.append(f"{found.key}: {why}")
                continue
            known.append(pack)
            waiting += [BlobRecord(b.sha256, b.size_bytes, pack.sha256, b.offset) for b in held]
            if len(waiting) >= _BATCH_BLOBS:
                self._catalog.add_blobs(known, waiting)
                known, waiting = [], []
        self._catalog.add_blobs(known, waiting)
        totals = self._catalog.totals()
        report.blobs, report.packs = totals.blobs, totals.packs


def _footer(objects: Store, found: StoredObject) -> tuple[list[PackedBlob] | None, str]:
    """What a pack says it holds; or why it does not say it."""
    try:
        return read_footer(lambda span: objects.read(found.key, span), found.size_bytes), ""
    except _UNUSABLE as error:
        return None, error.reason


def _damages(
    repository: Repository, versions: list[VersionRecord], on_step: OnStep
) -> Iterator[Damage]:
    """The paths of versions of which something is not there."""
    survey = Survey(repository)
    for done, version in enumerate(versions, start=1):
        survey.add(version.tree)
        on_step("versions", done, len(versions))
    damaged = dict(survey.damaged)
    wanted = list(survey.files.values())
    for start in range(0, len(wanted), _LOCATE_BLOBS):
        damaged |= _missing(repository, wanted[start : start + _LOCATE_BLOBS])
    for version in versions:
        yield from damages_of(repository, version, damaged)


def _missing(repository: Repository, files: Iterable[FileEntry]) -> dict[Digest, str]:
    some = list(files)
    found = repository.catalog.locate([digest for entry in some for digest in entry.blobs])
    missing: dict[Digest, str] = {}
    for entry in some:
        place = found.get(entry.sha256)
        if place is None:
            missing[entry.sha256] = "the store does not have it"
        elif place.size_bytes != entry.size_bytes:
            missing[entry.sha256] = f"has {place.size_bytes} bytes, not {entry.size_bytes}"
        elif any(digest not in found for digest in entry.blobs):
            missing[entry.sha256] = "the store does not have its block list"
    return missing
