"""Rows into records: the only place where what a database keeps becomes what artfs works with.

A database keeps more than artfs has written: SQLite takes text for a number and bytes for text,
either keeps what is out of range, a backup may lack half, and somebody may have been at the file.
So every row is checked against the types below, its names for being names of files and its JSON
for being an object. What does not hold is a DamagedRecord that names the row: no layer above
meets it. Columns come as the database has them (schema.Sha256, sqlite.py): a cell that is wrong
fails here, alone, and not in the driver with the whole answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from artfs.catalog.blob_port import OnDamage
from artfs.catalog.records import (
    ArtifactRecord,
    BlobRecord,
    PackRecord,
    ProjectRecord,
    RunRecord,
    VersionRecord,
)
from artfs.errors import ArtfsError, DamagedRecord, InvalidArgument
from artfs.model import (
    Digest,
    Metadata,
    RunState,
    VersionState,
    check_alias,
    check_type,
)

T = TypeVar("T")

_MAX_DEPTH = 300
"""Levels of JSON: Python's own writer and reader end at about 1,000 calls."""
_MAX_SHOWN = 80
HINT = "`artfs doctor` looks for more"
# RecursionError is JSON that is too deep; UnicodeError, in ValueError, text that is none.
_WRONG = (ArtfsError, ValueError, TypeError, OverflowError, RecursionError)

_Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Bytes, counts, and nanoseconds since the epoch: until the year 2262."""
_Number = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_Seconds = Annotated[int, Meta(ge=-(2**53), le=2**53)]
_Sha256 = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Wandb = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_Id = Annotated[str, Meta(min_length=1, max_length=64)]


class _Version(msgspec.Struct, array_like=True, frozen=True):
    artifact_id: _Number
    id: _Id
    project: str
    name: str
    index: _Number
    type: str
    source_project: str
    source_name: str
    source_index: _Number
    state: VersionState
    digest: _Wandb
    content_digest: str
    tree: _Sha256
    size_bytes: _Size
    file_count: _Size
    description: str | None
    metadata: str
    created_at_ns: _Size
    ttl_s: _Seconds | None


class _Run(msgspec.Struct, array_like=True, frozen=True):
    id: _Id
    project: str
    name: str
    job_type: str | None
    state: RunState
    config: str
    created_at_ns: _Size
    finished_at_ns: _Size | None


class _Artifact(msgspec.Struct, array_like=True, frozen=True):
    id: _Number
    project: str
    name: str
    type: str
    is_portfolio: bool
    created_at_ns: _Size


class _Project(msgspec.Struct, array_like=True, frozen=True):
    name: str
    created_at_ns: _Size
    artifact_count: _Size


class ArtifactKey(msgspec.Struct, array_like=True, frozen=True):
    """What most decisions about an artifact need of its row."""

    id: _Number
    project: str
    name: str
    type: str
    is_portfolio: bool
    next_index: _Number

    @property
    def path(self) -> str:
        """`project/name`."""
        return f"{self.project}/{self.name}"


class _Setting(msgspec.Struct, array_like=True, frozen=True):
    key: str
    value: str


class _Blob(msgspec.Struct, array_like=True, frozen=True):
    sha256: _Sha256
    size_bytes: _Size
    pack: _Sha256 | None
    offset: _Size


class _Pack(msgspec.Struct, array_like=True, frozen=True):
    sha256: _Sha256
    size_bytes: _Size


# --- records ---------------------------------------------------------------------------------


def version_record(
    row: Sequence[Any], *, aliases: Iterable[Any], tags: Iterable[Any]
) -> VersionRecord:
    """A row of rows._version_columns. Raises: DamagedRecord."""
    try:
        found = _checked(row, _Version)
        _check_names(found.project, found.name)
        _check_names(found.source_project, found.source_name)
        _check_type(found.type)
        for alias in aliases:
            _check_alias(alias)
        _check_text(found.description, found.content_digest, *tags)
        metadata = _json_object(found.metadata)
    except _WRONG as error:
        raise _damaged_version(row, aliases, _reason(error)) from error
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
        _check_names(project, name)
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
    with _naming("run", row[0]):
        found = _checked(row, _Run)
        _check_names(found.project)
        _check_text(found.id, found.name, found.job_type)
        config = _json_object(found.config)
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
    with _naming("project", row[0], names=(row[0],)):
        found = _checked(row, _Project)
        _check_names(found.name)
    return ProjectRecord(found.name, found.created_at_ns, found.artifact_count)


def artifact_key(row: Sequence[Any]) -> ArtifactKey:
    """The columns of an ArtifactKey. Raises: DamagedRecord."""
    with _naming("artifact", f"{row[1]}/{row[2]}", names=(row[2],)):
        found = _checked(row, ArtifactKey)
        _check_names(found.project, found.name)
        _check_type(found.type)
    return found


def artifact_record(
    row: Sequence[Any], *, version_count: int, latest: VersionRecord | None
) -> ArtifactRecord:
    """The columns of an ArtifactRecord. Raises: DamagedRecord."""
    with _naming("artifact", f"{row[1]}/{row[2]}", names=(row[2],)):
        found = _checked(row, _Artifact)
        _check_names(found.project, found.name)
        _check_type(found.type)
    return ArtifactRecord(
        found.id,
        found.project,
        found.name,
        found.type,
        found.is_portfolio,
        found.created_at_ns,
        version_count=version_count,
        latest=latest,
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
    with _naming("blob", sha256):
        found = _checked(row[:4], _Blob)
        if not in_known_place:
            raise ValueError("the pack that it is in is not there")
    of_pack = None if found.pack is None else Digest(found.pack)
    return BlobRecord(Digest(found.sha256), found.size_bytes, of_pack, found.offset)


def pack_record(row: Sequence[Any]) -> PackRecord:
    """Digest and size. Raises: DamagedRecord."""
    with _naming("pack", row[0]):
        found = _checked(row, _Pack)
    return PackRecord(Digest(found.sha256), found.size_bytes)


def number(value: Any, what: str) -> int:
    """A number from 0 that `what` names. Raises: DamagedRecord."""
    with _naming("the catalog's", what):
        return msgspec.convert(value, _Size)


def setting(row: Sequence[Any]) -> tuple[str, str]:
    """A key and its value. Raises: DamagedRecord."""
    with _naming("setting", row[0]):
        found = _checked(row, _Setting)
        _check_text(found.key, found.value)
    return found.key, found.value


def sound(
    rows: Iterable[Sequence[Any]], record: Callable[[Any], T], on_damage: OnDamage | None
) -> Iterator[T]:
    """The records of rows; with `on_damage` without those that it gets to know.

    Raises: DamagedRecord without it.
    """
    for row in rows:
        try:
            made = record(row)
        except DamagedRecord as error:
            if on_damage is None:
                raise
            on_damage(error)
        else:
            yield made


# --- checks ----------------------------------------------------------------------------------


def json_object(text: Any, *, kind: str, name: Any) -> Metadata:
    """The object that a column of JSON holds. Raises: DamagedRecord."""
    with _naming(kind, name):
        return _json_object(msgspec.convert(text, str))


def json_text(value: Metadata) -> str:
    """The text of an object that is to be kept. Raises: InvalidArgument for what is too deep."""
    try:
        text = json.dumps(value)
        _json_object(text)
    except _WRONG as error:
        raise InvalidArgument("JSON", f"cannot be kept ({_reason(error)})") from error
    return text


def _checked(row: Sequence[Any], kind: type[T]) -> T:
    return msgspec.convert(tuple(row), kind, builtin_types=(bytes,))


def _json_object(text: str) -> Metadata:
    if text == "{}":
        return {}
    if text.count("[") + text.count("{") > _MAX_DEPTH and _is_deep(text):
        raise ValueError(f"JSON of more than {_MAX_DEPTH} levels")
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("JSON that is no object")
    return value


def _is_deep(text: str) -> bool:
    # Brackets in strings count as well where they do not close: then the parser is asked.
    depth = 0
    for character in text:
        if character in "[{":
            depth += 1
            if depth > _MAX_DEPTH:
                return _measured(json.loads(text)) > _MAX_DEPTH
        elif character in "]}":
            depth -= 1
    return False


def _measured(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


@lru_cache(maxsize=4096)
def _check_names(project: str, name: str | None = None) -> None:
    # Not by the rules for new names: what is older or made by others is read, if a mount can.
    for text in (project,) if name is None else (project, name):
        if text in {"", ".", ".."} or "/" in text or "\0" in text:
            raise ValueError("a name that is a path")
        text.encode()


@lru_cache(maxsize=1024)
def _check_type(text: str) -> None:
    check_type(text)
    text.encode()


def _check_alias(alias: Any) -> None:
    if not isinstance(alias, str):
        raise TypeError("an alias that is no text")
    _check_alias_text(alias)


@lru_cache(maxsize=4096)
def _check_alias_text(alias: str) -> None:
    check_alias(alias)
    alias.encode()


def _check_text(*texts: Any) -> None:
    for text in texts:
        if text is None:
            continue
        if not isinstance(text, str):
            raise TypeError("a text that is none")
        if not text.isascii():
            text.encode()


@contextmanager
def _naming(kind: str, name: Any, *, names: tuple[Any, ...] = ()) -> Iterator[None]:
    """What is wrong inside becomes an error that names the row. Raises: DamagedRecord."""
    try:
        yield
    except _WRONG as error:
        raise DamagedRecord(
            f"{kind} {shown(name)}",
            f"its row in the catalog is damaged ({_reason(error)})",
            hint=HINT,
            kind=kind,
            names=names,
        ) from error


def shown(name: Any) -> str:
    text = name.hex() if isinstance(name, bytes) else str(name)
    return text.encode(errors="backslashreplace").decode()[:_MAX_SHOWN]


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "JSON that is too deep"
    if isinstance(error, UnicodeError):
        return "text that is not UTF-8"
    return shown(error)
