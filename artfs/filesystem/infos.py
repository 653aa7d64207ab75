"""What `info` and `ls` say of each thing, in fsspec's words."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from artfs.catalog.records import ArtifactRecord, ProjectRecord, VersionRecord
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry, SymlinkEntry

Info = dict[str, Any]
"""`name`, `type` (`file`, `directory` or `link`) and `size` in bytes are always there."""


def time_of(at_ns: int) -> datetime:
    """A time, in UTC; nanoseconds since 1970."""
    return datetime.fromtimestamp(at_ns / 1e9, UTC)


def _directory(text: str, **more: Any) -> Info:
    return {"name": text, "type": "directory", "size": 0, **more}


def store_info(text: str) -> Info:
    """Of the root."""
    return _directory(text)


def project_info(text: str, record: ProjectRecord) -> Info:
    """Of a project."""
    return _directory(text, created=time_of(record.created_at_ns))


def artifact_info(text: str, record: ArtifactRecord) -> Info:
    """Of an artifact or portfolio."""
    created = time_of(record.created_at_ns)
    return _directory(text, created=created, kind=record.type, versions=record.version_count)


def version_info(text: str, record: VersionRecord) -> Info:
    """Of a version."""
    created = time_of(record.created_at_ns)
    return _directory(
        text,
        created=created,
        mtime=created,
        version=record.path,
        aliases=list(record.aliases),
        tags=list(record.tags),
        kind=record.type,
        digest=record.digest,
        sha256=record.tree.hex(),
        total_size=record.size_bytes,
        file_count=record.file_count,
    )


def entry_info(text: str, entry: Entry, *, link: str | None = None) -> Info:
    """Of what is in a version; `link`: what is said of what a link with this target leads to.

    The size of a reference is None where nobody told it yet.
    """
    found: Info
    if isinstance(entry, DirectoryEntry):
        found = _directory(
            text,
            sha256=entry.sha256.hex(),
            total_size=entry.size_bytes,
            file_count=entry.file_count,
        )
    elif isinstance(entry, SymlinkEntry):
        found = {"name": text, "type": "link", "size": len(entry.target.encode())}
        found |= {"islink": True, "destination": entry.target}
    else:
        found = {"name": text, "type": "file", "size": entry.size_bytes, "digest": entry.digest}
        found["mtime"] = time_of(entry.mtime_ns)
        if isinstance(entry, FileEntry):
            found |= {"sha256": entry.sha256.hex(), "md5": entry.md5.hex()}
            found["mode"] = 0o100555 if entry.executable else 0o100444
        else:
            md5 = entry.pin.md5
            found |= {"sha256": None, "md5": None if md5 is None else md5.hex()}
            found |= {"uri": entry.uri, "etag": entry.pin.etag, "mode": 0o100444}
    if link is not None:
        found |= {"islink": True, "destination": link}
    return found


def content_key(entry: Entry) -> str:
    """64 hexadecimal digits that are the same for the same content, wherever it is found."""
    if isinstance(entry, FileEntry | DirectoryEntry):
        return entry.sha256.hex()
    if isinstance(entry, ReferenceEntry):
        told = (entry.place, entry.digest, entry.size_bytes, entry.pin)
        return sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()
    return sha256(entry.target.encode()).hexdigest()
