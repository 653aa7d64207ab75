"""Rows into records: the only place where what a database keeps becomes what artfs works with.

A database keeps more than artfs has written: SQLite takes text for a number and bytes for text,
either keeps what is out of range, a backup may lack half, and somebody may have been at the file.
So every row is checked against the types below, its names for being names of files and its JSON
for being an object. What does not hold is a DamagedRecord that names the row: no layer above
meets it. Columns come as the database has them (schema.Sha256, sqlite.py): a cell that is wrong
fails here, alone, and not in the driver with the whole answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from artfs.catalog.records import (
    ArtifactRecord,
    BlobRecord,
    PackRecord,
    ProjectRecord,
    RunRecord,
    VersionRecord,
)
from artfs.catalog.rowchecks import (
    HINT,
    WRONG,
    BlockListKey,
    Id,
    Md5,
    Number,
    RunId,
    Seconds,
    Sha256,
    Size,
    Wandb,
    check_any_alias,
    check_artifact_type,
    check_names,
    check_text,
    checked_row,
    naming,
    parsed_object,
    reason_of,
    shown,
)
from artfs.catalog.serving_records import (
    ContentRecord,
    Draft,
    DraftManifest,
    DraftRequest,
    HashedKey,
    KeyRecord,
    ManifestKind,
)
from artfs.decoding import analysed
from artfs.errors import DamagedRecord
from artfs.model import BlockList, Digest, RunState, VersionState


class _Version(msgspec.Struct, array_like=True, frozen=True):
    artifact_id: Number
    id: Id
    project: str
    name: str
    index: Number
    type: str
    source_project: str
    source_name: str
    source_index: Number
    state: VersionState
    digest: Wandb
    content_digest: str
    tree: Sha256
    size_bytes: Size
    file_count: Size
    description: str | None
    metadata: str
    created_at_ns: Size
    ttl_s: Seconds | None


class _Run(msgspec.Struct, array_like=True, frozen=True):
    id: RunId
    project: str
    name: str
    job_type: str | None
    state: RunState
    config: str
    created_at_ns: Size
    finished_at_ns: Size | None


class _Artifact(msgspec.Struct, array_like=True, frozen=True):
    id: Number
    project: str
    name: str
    type: str
    is_portfolio: bool
    created_at_ns: Size
    description: str | None
    tags: str | None


class _Project(msgspec.Struct, array_like=True, frozen=True):
    name: str
    created_at_ns: Size
    artifact_count: Size


class ArtifactKey(msgspec.Struct, array_like=True, frozen=True):
    """What most decisions about an artifact need of its row."""

    id: Number
    project: str
    name: str
    type: str
    is_portfolio: bool
    next_index: Number

    @property
    def path(self) -> str:
        """`project/name`."""
        return f"{self.project}/{self.name}"


class _Setting(msgspec.Struct, array_like=True, frozen=True):
    key: str
    value: str


class _Blob(msgspec.Struct, array_like=True, frozen=True):
    sha256: Sha256
    size_bytes: Size
    pack: Sha256 | None
    offset: Size


class _Pack(msgspec.Struct, array_like=True, frozen=True):
    sha256: Sha256
    size_bytes: Size


class _Key(msgspec.Struct, array_like=True, frozen=True):
    id: Id
    name: str
    salt: bytes
    hash: Sha256
    read_only: bool
    projects: str
    created_at_ns: Size
    expires_at_ns: Size | None
    revoked_at_ns: Size | None


class _Draft(msgspec.Struct, array_like=True, frozen=True):
    id: Id
    project: str
    name: str
    distributed_id: str | None
    request: str
    touched_at_ns: Size


class _DraftManifest(msgspec.Struct, array_like=True, frozen=True):
    id: Id
    draft_id: Id
    kind: ManifestKind
    writer: str
    base_id: Id | None
    sha256: Sha256 | None
    size_bytes: Size | None
    blocks: BlockListKey | None


class _Content(msgspec.Struct, array_like=True, frozen=True):
    md5: Md5
    sha256: Sha256
    size_bytes: Size
    blocks: BlockListKey | None


# --- records ---------------------------------------------------------------------------------


def version_record(
    row: Sequence[Any], *, aliases: Iterable[Any], tags: Iterable[Any]
) -> VersionRecord:
    """A row of rows._version_columns. Raises: DamagedRecord."""
    try:
        found = checked_row(row, _Version)
        check_names(found.project, found.name)
        check_names(found.source_project, found.source_name)
        check_artifact_type(found.type)
        for alias in aliases:
            check_any_alias(alias)
        check_text(found.description, found.content_digest, *tags)
        metadata = parsed_object(found.metadata)
    except WRONG as error:
        raise _damaged_version(row, aliases, reason_of(error)) from error
    return VersionRecord(
        id=found.id,
        project=found.project,
        name=found.name,
        index=found.index,
        type=found.type,
        source_project=found.source_project,
        source_name=found.source_name,
        source_index=found.source_index,
        state=found.state,
        digest=found.digest,
        content_digest=found.content_digest,
        tree=Digest(found.tree),
        size_bytes=found.size_bytes,
        file_count=found.file_count,
        description=found.description,
        metadata=metadata,
        created_at_ns=found.created_at_ns,
        ttl_s=found.ttl_s,
        aliases=tuple(sorted(aliases)),
        tags=tuple(sorted(tags)),
    )


def _damaged_version(row: Sequence[Any], aliases: Iterable[Any], reason: str) -> DamagedRecord:
    version_id, project, name, index = row[1:5]
    can_be_named = isinstance(index, int) and index >= 0
    names = (f"v{index}" if can_be_named else None, *aliases)
    if not can_be_named:
        index = f"? (version {version_id})"
    in_artifact = isinstance(project, str) and isinstance(name, str)
    path = f"{project}/{name}:v{index}" if in_artifact else f"version {version_id}"
    try:
        check_names(project, name)
    except (TypeError, ValueError):
        can_be_named = False
    return DamagedRecord(
        shown(path),
        f"its row in the catalog is damaged ({reason})",
        hint="`artfs rm` deletes it; `artfs doctor` looks for more" if can_be_named else HINT,
        version_id=version_id,
        kind="version",
        names=names,
    )


def run_record(row: Sequence[Any]) -> RunRecord:
    """A row of runs._runs. Raises: DamagedRecord."""
    with naming("run", row[0]):
        found = checked_row(row, _Run)
        check_names(found.project)
        check_text(found.id, found.name, found.job_type)
        config = parsed_object(found.config)
    return RunRecord(
        id=found.id,
        project=found.project,
        name=found.name,
        job_type=found.job_type,
        state=found.state,
        config=config,
        created_at_ns=found.created_at_ns,
        finished_at_ns=found.finished_at_ns,
    )


def project_record(row: Sequence[Any]) -> ProjectRecord:
    """Name, time and number of artifacts. Raises: DamagedRecord."""
    with naming("project", row[0], names=(row[0],)):
        found = checked_row(row, _Project)
        check_names(found.name)
    return ProjectRecord(found.name, found.created_at_ns, found.artifact_count)


def artifact_key(row: Sequence[Any]) -> ArtifactKey:
    """The columns of an ArtifactKey. Raises: DamagedRecord."""
    with naming("artifact", f"{row[1]}/{row[2]}", names=(row[2],)):
        found = checked_row(row, ArtifactKey)
        check_names(found.project, found.name)
        check_artifact_type(found.type)
    return found


def artifact_record(
    row: Sequence[Any], *, version_count: int, latest: VersionRecord | None
) -> ArtifactRecord:
    """The columns of an ArtifactRecord. Raises: DamagedRecord."""
    with naming("artifact", f"{row[1]}/{row[2]}", names=(row[2],)):
        found = checked_row(row, _Artifact)
        check_names(found.project, found.name)
        check_artifact_type(found.type)
        check_text(found.description)
        tags = msgspec.json.decode(found.tags or "[]", type=analysed(tuple[str, ...]))
    return ArtifactRecord(
        found.id,
        found.project,
        found.name,
        found.type,
        found.is_portfolio,
        found.created_at_ns,
        version_count=version_count,
        latest=latest,
        description=found.description,
        tags=tags,
    )


def blob_record(row: Sequence[Any]) -> BlobRecord:
    """Digest, size, pack and offset, then the pack's row id, if that was read.

    Raises: DamagedRecord.
    """
    # Not by way of _Blob: of all records these are the ones that are read by the million.
    sha256, size_bytes, pack, offset = row[:4]
    in_known_place = pack is not None or len(row) == 4 or row[4] is None
    if (
        in_known_place
        and type(sha256) is bytes
        and len(sha256) == 32
        and type(size_bytes) is int
        and type(offset) is int
        and 0 <= size_bytes < 2**63
        and 0 <= offset < 2**63
        and (pack is None or (type(pack) is bytes and len(pack) == 32))
    ):
        return BlobRecord(
            Digest(sha256), size_bytes, None if pack is None else Digest(pack), offset
        )
    with naming("blob", sha256):
        found = checked_row(row[:4], _Blob)
        if not in_known_place:
            raise ValueError("the pack that it is in is not there")
    of_pack = None if found.pack is None else Digest(found.pack)
    return BlobRecord(Digest(found.sha256), found.size_bytes, of_pack, found.offset)


def pack_record(row: Sequence[Any]) -> PackRecord:
    """Digest and size. Raises: DamagedRecord."""
    with naming("pack", row[0]):
        found = checked_row(row, _Pack)
    return PackRecord(Digest(found.sha256), found.size_bytes)


def number(value: Any, what: str) -> int:
    """A number from 0 that `what` names. Raises: DamagedRecord."""
    with naming("the catalog's", what):
        return msgspec.convert(value, analysed(Size))


def setting(row: Sequence[Any]) -> tuple[str, str]:
    """A key and its value. Raises: DamagedRecord."""
    with naming("setting", row[0]):
        found = checked_row(row, _Setting)
        check_text(found.key, found.value)
    return found.key, found.value


# --- records of servers ----------------------------------------------------------------------


def key_record(row: Sequence[Any]) -> HashedKey:
    """A row of api_keys. Raises: DamagedRecord."""
    with naming("key", row[1]):
        found = checked_row(row, _Key)
        check_text(found.id, found.name)
        projects = msgspec.json.decode(found.projects, type=analysed(tuple[str, ...]))
        for project in projects:
            check_names(project)
    record = KeyRecord(
        id=found.id,
        name=found.name,
        read_only=found.read_only,
        projects=projects,
        created_at_ns=found.created_at_ns,
        expires_at_ns=found.expires_at_ns,
        revoked_at_ns=found.revoked_at_ns,
    )
    return HashedKey(record, found.salt, found.hash)


def draft_record(row: Sequence[Any]) -> Draft:
    """A row of drafts. Raises: DamagedRecord."""
    with naming("draft", row[0]):
        found = checked_row(row, _Draft)
        check_names(found.project, found.name)
        check_text(found.distributed_id)
        request = msgspec.convert(parsed_object(found.request), analysed(DraftRequest))
        check_artifact_type(request.type)
        for alias in request.aliases:
            check_any_alias(alias)
        check_text(request.description, *request.tags)
    return Draft(
        id=found.id,
        project=found.project,
        name=found.name,
        request=request,
        distributed_id=found.distributed_id,
        touched_at_ns=found.touched_at_ns,
    )


def draft_manifest_record(row: Sequence[Any]) -> DraftManifest:
    """The columns of a _DraftManifest. Raises: DamagedRecord."""
    with naming("draft manifest", row[0]):
        found = checked_row(row, _DraftManifest)
        check_text(found.writer)
        content = None
        if found.sha256 is not None:
            size_bytes = msgspec.convert(found.size_bytes, analysed(Size))
            content = ContentRecord(
                b"", Digest(found.sha256), size_bytes, _block_list(found.blocks)
            )
    return DraftManifest(
        id=found.id,
        draft_id=found.draft_id,
        kind=found.kind,
        writer=found.writer,
        base_id=found.base_id,
        content=content,
    )


def content_record(row: Sequence[Any]) -> ContentRecord:
    """Md5, digest, size and block list. Raises: DamagedRecord."""
    with naming("uploaded content", row[0]):
        found = checked_row(row, _Content)
    return ContentRecord(
        found.md5, Digest(found.sha256), found.size_bytes, _block_list(found.blocks)
    )


def _block_list(raw: bytes | None) -> BlockList | None:
    return None if raw is None else BlockList(raw)
