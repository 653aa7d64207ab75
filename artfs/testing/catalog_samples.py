"""Small commits and blobs, for the contract of catalogs."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from artfs.catalog.base import Catalog
from artfs.catalog.records import (
    BlobRecord,
    CommitResult,
    PackRecord,
    VersionCommit,
    VersionRecord,
)
from artfs.model import Digest

OpenCatalog = Callable[[], Catalog]
"""Opens the same catalog each time; pickled, it does so in another process."""


def digest_of(content: object) -> Digest:
    """The digest of some content."""
    return Digest(sha256(repr(content).encode()).digest())


def a_commit(content: object, **changes: Any) -> VersionCommit:
    """A commit of `content` to `team/data`; `changes` are fields of VersionCommit."""
    fields: dict[str, Any] = {
        "project": "team",
        "name": "data",
        "type": "dataset",
        "digest": digest_of(content).hex()[:32],
        "content_digest": digest_of(("posix", content)).hex(),
        "tree": digest_of(("tree", content)),
        "size_bytes": 1234,
        "file_count": 3,
    }
    return VersionCommit(**{**fields, **changes})


def put(catalog: Catalog, content: object, **changes: Any) -> VersionRecord:
    """Commit new content and return its version."""
    outcome = commit(catalog, content, **changes)
    assert outcome.created
    return outcome.version


def commit(catalog: Catalog, content: object, **changes: Any) -> CommitResult:
    """Commit content that may be there already."""
    return catalog.commit(a_commit(content, **changes))


def own_blobs(*contents: object) -> list[BlobRecord]:
    """Blobs that are objects of their own."""
    return [BlobRecord(digest_of(content), 2**33, None, 0) for content in contents]


def a_pack(*contents: object) -> tuple[PackRecord, list[BlobRecord]]:
    """A pack, and its blobs of 10 bytes each."""
    pack = digest_of(("pack", contents))
    blobs = [
        BlobRecord(digest_of(content), 10, pack, 10 * number)
        for number, content in enumerate(contents)
    ]
    return PackRecord(pack, 10 * len(contents)), blobs
