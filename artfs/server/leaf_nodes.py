"""What GraphQL shows of a store where it leads no further: files, tags, who asks. Names are W&B's.

A node's methods and attributes are the fields of its type in `schema.graphql`.
"""

from __future__ import annotations

import mimetypes
from datetime import UTC, datetime
from typing import Any, Protocol

from artfs.catalog.records import VersionRecord
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.server import ids, lists
from artfs.server.context import Context

NO_TTL = -1


def time_text(at_ns: int | None) -> str | None:
    """A time as W&B writes it."""
    if at_ns is None:
        return None
    at = datetime.fromtimestamp(at_ns / 1e9, UTC).replace(tzinfo=None)
    return at.isoformat(timespec="seconds")


class VersionNode(Protocol):
    """The artifact that holds a file."""

    @property
    def record(self) -> VersionRecord:
        """The version."""
        ...


class FileNode:
    """A file or reference of a version."""

    upload_url = None
    upload_multipart_urls = None

    def __init__(
        self,
        context: Context,
        path: str,
        entry: FileEntry | ReferenceEntry,
        artifact: VersionNode,
    ) -> None:
        self._context = context
        self._path = path
        self._entry = entry
        self.artifact = artifact
        self.id = ids.named_gid("File", artifact.record.id, path)
        self.name = self.display_name = path
        self.size_bytes = entry.size_bytes or 0
        self.digest = entry.digest
        self.md5 = entry.digest if isinstance(entry, FileEntry) else None
        self.storage_path = f"contents/{entry.digest}"
        self.updated_at = time_text(artifact.record.created_at_ns)
        self.upload_headers: list[str] = []

    def mimetype(self) -> str:
        return mimetypes.guess_type(self._path)[0] or "application/octet-stream"

    def direct_url(self) -> str:
        if isinstance(self._entry, ReferenceEntry):
            # Clients go there themselves.
            return self._entry.uri
        return self._context.content_url(self._path, self._entry)

    def url(self, upload: bool = False) -> str:
        del upload
        return self.direct_url()


def tag_value(name: str) -> dict[str, Any]:
    """A tag."""
    return {"id": ids.named_gid("Tag", name), "name": name}


def entity_value(context: Context) -> dict[str, Any]:
    """The entity that the store belongs to."""
    name = context.entity
    return {"id": ids.named_gid("Entity", name), "name": name, "isTeam": True, "available": True}


def user_value(context: Context) -> dict[str, Any]:
    """Who asks, as far as a key tells."""
    name = context.access.key.name
    return {
        "id": ids.named_gid("User", name),
        "name": name,
        "username": name,
        "email": "",
        "entity": context.entity,
        "admin": False,
        "flags": "{}",
        "teams": {"edges": lists.nodes([entity_value(context)])},
        "apiKeys": {"edges": []},
    }
