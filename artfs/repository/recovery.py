"""What is left beside the blobs so that a lost catalog can be rebuilt (upkeep/rebuild.py).

    commits/ID              one JSON object for each version, then `sha256` of it in hexadecimal:
                            what the commit made; written once, when its transaction is done
    checkpoints/NUMBER      a JSON line that says what follows, then, compressed, all names,
                            versions, aliases, portfolios and runs of one moment, as rows of
                            tables (catalog/copies.py)

A commit record is there before its commit is told to be done; so none can be of a version that was
never made. What changes later (aliases, tags, deleting, runs) is in the next checkpoint. One is
written at most once a minute by commits, by whoever ends after other changes, and by gc; a large
one less often, a minute for each MiB (some 6,000 versions). None of both is needed as long as there
is a catalog: where one cannot be written a warning says so, and what was done stays done.
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from contextlib import suppress
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

from artfs import forks
from artfs.blobs.base import RecordKind, RecordStore
from artfs.catalog.base import Catalog
from artfs.catalog.records import CommitRequest, Copy, RunRecord, VersionRecord
from artfs.decoding import analysed
from artfs.errors import (
    UNDECODABLE,
    ArtfsError,
    DamagedRecord,
    IntegrityError,
    InvalidManifest,
    NotFound,
    OutOfSpace,
)
from artfs.model import Metadata, VersionState, check_alias, check_name, check_type
from artfs.system.oserrors import reach_step

logger = logging.getLogger(__name__)

FORMAT = 1
CHECKPOINTS_KEY = "checkpoints"
"""The setting that tells the checkpoints there are: `[[number, at_ns, size_bytes], …]`."""

_MINUTE_S = 60.0
_MIB = 1024 * 1024
_SMALL_BYTES = 256 * 1024
"""A checkpoint of some thousand versions, for whoever ends after a change: it takes 25 ms."""
_NEWEST_KEPT = 3
_OLDER_KEPT_S = (3_600, 86_400, 7 * 86_400)
"""Beside the newest ones, one of at least each of these ages: somebody may want to go back."""
_ATTEMPTS = 3
_HEX = frozenset("0123456789abcdef")

Places = list[tuple[int, int, int]]
"""Number, time in nanoseconds, size in bytes of checkpoints, by number."""


class CommitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit made."""

    format: int
    id: str
    project: str
    name: str
    type: str
    index: int
    digest: str
    content_digest: str
    tree: str
    """SHA-256 of the root directory object, hexadecimal."""
    size_bytes: int
    file_count: int
    description: str | None
    metadata: Metadata
    created_at_ns: int
    ttl_s: int | None
    aliases: list[str]
    """That it got; `latest` among them."""
    tags: list[str]
    commit_key: str | None = None
    artifact_made_ns: int | None = None
    project_made_ns: int | None = None
    """When both were made; of the first version alone, which mostly makes them."""
    run: RunRecord | None = None
    """The run that made it, as it was then."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """All names of one moment."""

    number: int
    at_ns: int
    entity: str
    copied: Copy


_Tables: TypeAlias = dict[str, tuple[list[str], list[list[Any]]]]
"""Of each table the names of its columns, and its rows."""


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a checkpoint."""

    format: int
    number: int
    at_ns: int
    entity: str
    sha256: str
    """Of what follows."""
    size_bytes: int
    """Of that, not compressed."""


# --- formats ---------------------------------------------------------------------------------


def encode_commit(record: CommitRecord) -> bytes:
    """A commit record as it is stored."""
    # Not msgspec's JSON: metadata may hold NaN.
    data = json.dumps(msgspec.to_builtins(record), indent=1).encode()
    return data + f"\n{sha256(data).hexdigest()}\n".encode()


def decode_commit(data: bytes) -> CommitRecord:
    """Read a commit record. Raises: IntegrityError; InvalidManifest, InvalidName for what no
    artfs wrote, or only a newer one.
    """
    text, _, digest = data.rstrip(b"\n").rpartition(b"\n")
    if sha256(text).hexdigest().encode() != digest:
        raise IntegrityError("commit record", "does not match its checksum")
    try:
        value = json.loads(text)
        record = msgspec.convert(value, analysed(CommitRecord))
    except UNDECODABLE as error:
        raise InvalidManifest("commit record", str(error)[:120]) from None
    if record.format > FORMAT:
        raise InvalidManifest("commit record", f"format {record.format}", hint="use a newer artfs")
    check_name(record.project, kind="project")
    check_name(record.name, kind="artifact")
    check_type(record.type)
    for alias in record.aliases:
        check_alias(alias)
    numbers = (record.index, record.size_bytes, record.file_count, record.created_at_ns)
    if not all(0 <= number < 2**63 for number in numbers) or record.index >= 2**31:
        raise InvalidManifest("commit record", "a number is out of range")
    for text_, length in ((record.id, 32), (record.digest, 32), (record.tree, 64)):
        if len(text_) != length or not _HEX.issuperset(text_):
            raise InvalidManifest("commit record", f"{text_!r:.40} is no digest")
    return record


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as it is stored. Raises: DamagedRecord for text that is none."""
    tables = {
        name: (list(rows[0]) if rows else [], [list(row.values()) for row in rows])
        for name, rows in checkpoint.copied.items()
    }
    try:
        plain = msgspec.msgpack.encode(tables)
    except UnicodeEncodeError as error:
        raise DamagedRecord(
            "catalog", "holds text that is not UTF-8", hint="`artfs doctor` names the rows"
        ) from error
    data = zlib.compress(plain, level=3)
    header = _Header(
        format=FORMAT,
        number=checkpoint.number,
        at_ns=checkpoint.at_ns,
        entity=checkpoint.entity,
        sha256=sha256(data).hexdigest(),
        size_bytes=len(plain),
    )
    return msgspec.json.encode(header) + b"\n" + data


def decode_checkpoint(stored: bytes) -> Checkpoint:
    """Read a checkpoint. Raises: IntegrityError; InvalidManifest for what no artfs wrote."""
    line, _, data = stored.partition(b"\n")
    try:
        header = msgspec.json.decode(line, type=analysed(_Header))
    except UNDECODABLE:
        raise IntegrityError("checkpoint", "its first line is damaged") from None
    if header.format > FORMAT:
        raise InvalidManifest("checkpoint", f"format {header.format}", hint="use a newer artfs")
    if sha256(data).hexdigest() != header.sha256:
        raise IntegrityError("checkpoint", "does not match its checksum")
    try:
        # No more than it says: a few bytes can be made to grow without end.
        plain = zlib.decompressobj().decompress(data, header.size_bytes or 1)
        tables = msgspec.msgpack.decode(plain, type=analysed(_Tables))
        copied = {
            name: [dict(zip(columns, row, strict=True)) for row in rows]
            for name, (columns, rows) in tables.items()
        }
    except (*UNDECODABLE, zlib.error) as error:
        raise InvalidManifest("checkpoint", str(error)[:120]) from None
    return Checkpoint(number=header.number, at_ns=header.at_ns, entity=header.entity, copied=copied)


class StrangeCommit(msgspec.Struct, frozen=True):
    """The record of a version that is not COMMITTED."""

    name: str
    stored_s: float
    is_deleted: bool
    """Whether the catalog knows that it was deleted; else it does not know it at all."""


def strange_commits(
    catalog: Catalog, records: RecordStore, *, deleted: bool
) -> list[StrangeCommit]:
    """Commit records of versions that the catalog does not know, or that were `deleted`.

    Blocks: on listing them. Raises: BackendUnavailable, PermissionDenied.
    """
    listed = list(records.records(RecordKind.COMMITS))
    # Asked for after the listing: a record is written when its version is known.
    states = catalog.version_states()
    found = [
        StrangeCommit(each.name, each.stored_s, states.get(each.name) is VersionState.DELETED)
        for each in listed
        if states.get(each.name) in {None, VersionState.DELETED}
    ]
    return [each for each in found if deleted or not each.is_deleted]


def unrecorded_versions(catalog: Catalog, records: RecordStore) -> list[str]:
    """The ids of COMMITTED versions that no record tells of.

    Blocks: on listing records, and on the newest checkpoint where that is not enough.
    Raises: BackendUnavailable, PermissionDenied.
    """
    states = catalog.version_states()
    # Asked for after the versions: a record is written when its version is known. What a commit
    # is about to write is missing all the same.
    missing = {each for each, state in states.items() if state is VersionState.COMMITTED}
    missing -= {each.name for each in records.records(RecordKind.COMMITS)}
    newest = ""
    if missing:
        newest = max((each.name for each in records.records(RecordKind.CHECKPOINTS)), default="")
    if newest:
        with suppress(NotFound, IntegrityError, InvalidManifest):
            read = decode_checkpoint(records.read_record(RecordKind.CHECKPOINTS, newest))
            missing -= {row.get("id") for row in read.copied.get("versions", [])}
    return sorted(missing)


def checkpoint_name(number: int) -> str:
    """What the checkpoint of this number is called."""
    return f"{number:012d}"


# --- writing ---------------------------------------------------------------------------------


class Recovery:
    """Leaves records of what one open store does. Thread-safe."""

    def __init__(self, catalog: Catalog, records: RecordStore, *, entity: str) -> None:
        self._catalog = catalog
        self._records = records
        self._entity = entity
        self._looked_s = -_MINUTE_S
        self._saved_changes = 0
        self._commits = 0
        self._lock = forks.lock()

    def note_commit(self, version: VersionRecord, request: CommitRequest) -> None:
        """Leave the record of a version that was made just now. Blocks: on the store.

        Never raises ArtfsError: the commit is done.
        """
        try:
            made: tuple[int | None, int | None] = (None, None)
            if version.index == 0:
                made = self._catalog.made_at_ns(version.project, version.name)
            run = None if request.run_id is None else self._catalog.run(request.run_id)
            record = CommitRecord(
                format=FORMAT,
                id=version.id,
                project=version.project,
                name=version.name,
                type=version.type,
                index=version.index,
                digest=version.digest,
                content_digest=version.content_digest,
                tree=version.tree.hex(),
                size_bytes=version.size_bytes,
                file_count=version.file_count,
                description=version.description,
                metadata=version.metadata,
                created_at_ns=version.created_at_ns,
                ttl_s=version.ttl_s,
                aliases=list(version.aliases),
                tags=list(version.tags),
                commit_key=request.commit_key,
                artifact_made_ns=made[1],
                project_made_ns=made[0],
                run=run,
            )
            self._records.put_record(RecordKind.COMMITS, version.id, encode_commit(record))
            with self._lock:
                self._commits += 1
            if time.monotonic() - self._looked_s >= _MINUTE_S:
                self._looked_s = time.monotonic()
                self._save_if_due(least_s=_MINUTE_S)
        except ArtfsError as error:
            logger.warning("no recovery record of %s was written: %s", version.path, error)

    def note_end(self) -> None:
        """Leave a checkpoint where this process changed names otherwise than by commits.

        Blocks: on the store. Never raises ArtfsError.
        """
        if self._catalog.changes() - self._saved_changes <= self._commits:
            return
        try:
            self._save_if_due(least_s=0)
        except OutOfSpace as error:
            # What frees space on a full disk need not leave word of it; the next one does.
            logger.info("no checkpoint was written: %s", error)
        except ArtfsError as error:
            logger.warning("no checkpoint of what was changed was written: %s", error)

    def tidy(self, *, grace_s: float) -> None:
        """Write a checkpoint, then remove the records of versions that were deleted, and older
        checkpoints that do not count any more.

        The record of a version that the catalog does not know stays for `grace_s`: it may be the
        catalog that is wrong. Blocks: on listing all records.
        Raises: BackendUnavailable, OutOfSpace, PermissionDenied.
        """
        for _ in range(_ATTEMPTS):
            if self._save(self._known()):
                break
        for each in strange_commits(self._catalog, self._records, deleted=True):
            if each.is_deleted or time.time() - each.stored_s > grace_s:
                self._records.delete_record(RecordKind.COMMITS, each.name)
        listed = list(self._records.records(RecordKind.CHECKPOINTS))
        known = self._known()
        kept = {checkpoint_name(number) for number, _, _ in known}
        # One of another catalog, which may be lost, can have a higher number.
        newest = max(kept, default="")
        for found in listed:
            if found.name not in kept and found.name < newest:
                self._records.delete_record(RecordKind.CHECKPOINTS, found.name)

    def _save_if_due(self, *, least_s: float) -> None:
        known = self._known()
        if known:
            _, at_ns, size_bytes = known[-1]
            age_s = (self._catalog.now_ns() - at_ns) / 1e9
            # A time that is yet to come was told by a clock that was wrong.
            needed_s = 0.0 if size_bytes <= _SMALL_BYTES else _MINUTE_S * size_bytes / _MIB
            if 0 <= age_s < max(least_s, needed_s):
                return
        self._save(known)

    def _known(self) -> Places:
        value = self._catalog.settings().get(CHECKPOINTS_KEY)
        try:
            return msgspec.json.decode(value, type=analysed(Places)) if value else []
        except UNDECODABLE:
            return []

    def _save(self, known: Places) -> bool:
        """Write the checkpoint after those that are known; False where another one did."""
        if not known:
            self._catalog.choose_setting(CHECKPOINTS_KEY, "[]")
        # Read after what is known was: a higher number always is of a later moment.
        changes, commits = self._catalog.changes(), self._commits
        at_ns = self._catalog.now_ns()
        number = (known[-1][0] if known else 0) + 1
        checkpoint = Checkpoint(
            number=number, at_ns=at_ns, entity=self._entity, copied=self._catalog.copy_names()
        )
        data = encode_checkpoint(checkpoint)
        kept = retained([*known, (number, at_ns, len(data))])
        old, new = msgspec.json.encode(known).decode(), msgspec.json.encode(kept).decode()
        if not self._catalog.replace_setting(CHECKPOINTS_KEY, old, new):
            return False
        reach_step("checkpoint.chosen", "checkpoint")
        self._records.put_record(RecordKind.CHECKPOINTS, checkpoint_name(number), data)
        reach_step("checkpoint.written", "checkpoint")
        with self._lock:
            self._saved_changes = changes
            self._commits -= commits
        for place in known:
            if place not in kept:
                self._records.delete_record(RecordKind.CHECKPOINTS, checkpoint_name(place[0]))
        return True


def retained(places: Places) -> Places:
    """The checkpoints that stay: the newest, and some that are older."""
    kept = set(places[-_NEWEST_KEPT:])
    now_ns = places[-1][1]
    for age_s in _OLDER_KEPT_S:
        old_enough = [place for place in places if now_ns - place[1] >= age_s * 10**9]
        kept.update(old_enough[-1:])
        # Those that will be old enough: without the oldest of them none would ever be.
        kept.update([place for place in places if now_ns - place[1] < age_s * 10**9][:1])
    return sorted(kept)
