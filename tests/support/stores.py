"""Stores with known content, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from artfs.catalog.records import CommitRequest, VersionCommit, VersionRecord
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.directory import directory_digest
from artfs.manifest.entries import FileEntry, SymlinkEntry
from artfs.model import Metadata
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store

DEFAULT_MTIME_NS = 1_600_000_000_123_456_789


class File(msgspec.Struct, frozen=True):
    """A file to be committed."""

    data: bytes = b""
    executable: bool = False
    mtime_ns: int = DEFAULT_MTIME_NS


class Link(msgspec.Struct, frozen=True):
    """A symlink to be committed."""

    target: str


class EmptyDirectory(msgspec.Struct, frozen=True):
    """A directory with nothing in it."""


Item = bytes | File | Link | EmptyDirectory
Content = Mapping[str, Item]
"""What a version holds: items by path; plain bytes are a file."""


def new_store(root: Path) -> Repository:
    """A new embedded store."""
    return open_store(str(root), create=True)


def commit(
    repository: Repository,
    path: str,
    content: Content,
    *,
    aliases: tuple[str, ...] = (),
    metadata: Metadata | None = None,
    base: VersionRecord | None = None,
    run_id: str | None = None,
) -> VersionRecord:
    """Make a version of `project/name` that holds `content`, on top of a base where given."""
    project, _, name = path.partition("/")
    ingest = repository.ingest()
    builder = TreeBuilder(
        ingest.directory_loader(repository.directory), base.root if base else None
    )
    for where, item in content.items():
        if isinstance(item, EmptyDirectory):
            builder.make_directory(where)
        elif isinstance(item, Link):
            builder.put(where, SymlinkEntry(Path(where).name, item.target))
        else:
            file = File(item) if isinstance(item, bytes) else item
            stored = ingest.add_bytes(file.data)
            builder.put(
                where,
                FileEntry(
                    name=Path(where).name,
                    sha256=stored.sha256,
                    size_bytes=stored.size_bytes,
                    md5=stored.md5,
                    blocks=stored.blocks,
                    executable=file.executable,
                    mtime_ns=file.mtime_ns,
                ),
            )
    tree = builder.build(ingest.add_directory)
    request = CommitRequest(
        project=project,
        name=name,
        type="dataset",
        aliases=aliases,
        metadata=metadata or {},
        base_ids=(base.id,) if base else (),
        run_id=run_id,
    )
    return repository.commit(ingest, tree, request).version


def commit_encoded(repository: Repository, path: str, encoded: bytes) -> VersionRecord:
    """Make a version whose root is this directory object, right or wrong."""
    project, _, name = path.partition("/")
    ingest = repository.ingest()
    tree = directory_digest(encoded)
    ingest.add_directory(tree, encoded)
    taken = ingest.finish()
    commit = VersionCommit(
        project=project,
        name=name,
        type="dataset",
        digest=hashlib.md5(encoded).hexdigest(),
        content_digest=hashlib.sha256(encoded).hexdigest(),
        tree=tree,
        size_bytes=0,
        file_count=0,
        packs=taken.packs,
        blobs=taken.blobs,
    )
    return repository.catalog.commit(commit).version


def commit_references(
    repository: Repository, path: str, *, checksum: bool = True, **uris: str
) -> VersionRecord:
    """Make a version of `project/name` that refers to these URIs, each under its keyword."""
    project, _, name = path.partition("/")
    ingest = repository.ingest()
    builder = TreeBuilder(ingest.directory_loader(repository.directory), None)
    for where, uri in uris.items():
        for found, entry in repository.references.describe(uri, name=where, checksum=checksum):
            builder.put(found, entry)
    tree = builder.build(ingest.add_directory)
    request = CommitRequest(project=project, name=name, type="dataset")
    return repository.commit(ingest, tree, request).version
