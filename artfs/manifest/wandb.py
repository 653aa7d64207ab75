"""W&B's manifest and digest of a tree, bit for bit.

The formats are those of the wandb client 0.15.0: the artifact digest is the md5 over a header
line and one `PATH:DIGEST` line per file in path order; the manifest is JSON, version 1.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from hashlib import md5, sha256
from itertools import islice
from typing import Any

import msgspec

from artfs.manifest.entries import DirectoryEntry, FileEntry, ReferenceEntry, SymlinkEntry
from artfs.manifest.tree import LoadDirectory, walk, walk_runs
from artfs.model import Digest

_HEADER = b"wandb-artifact-manifest-v1\n"
_BATCH_LINES = 4096
STORAGE_POLICY = "wandb-storage-policy-v1"


class ManifestEntry(msgspec.Struct, frozen=True):
    """One file or reference of a W&B manifest."""

    path: str
    digest: str
    ref: str | None = None
    birth_artifact_id: str | None = None
    size_bytes: int | None = None
    extra: dict[str, Any] = {}

    def to_json(self) -> dict[str, Any]:
        """The manifest's JSON value for this entry; keys in W&B's order."""
        value: dict[str, Any] = {"digest": self.digest}
        if self.birth_artifact_id:
            value["birthArtifactID"] = self.birth_artifact_id
        if self.ref:
            value["ref"] = self.ref
        if self.extra:
            value["extra"] = self.extra
        if self.size_bytes is not None:
            value["size"] = self.size_bytes
        return value


class TreeDigests(msgspec.Struct, frozen=True):
    """The two digests that together say whether two trees have the same content."""

    digest: str
    """W&B's: 32 hexadecimal digits."""
    posix_digest: str
    """Of what W&B does not see: executable bits, symlinks and empty directories."""


def manifest_digest(entries: Iterable[tuple[str, str]]) -> str:
    """W&B's artifact digest of `(path, digest)` pairs, which come sorted by path."""
    state = md5(_HEADER, usedforsecurity=False)
    remaining = iter(entries)
    while batch := list(islice(remaining, _BATCH_LINES)):
        state.update("".join([f"{path}:{digest}\n" for path, digest in batch]).encode())
    return state.hexdigest()


def tree_digests(load: LoadDirectory, root: Digest) -> TreeDigests:
    """Both digests of a tree, in one walk."""
    state, posix = md5(_HEADER, usedforsecurity=False), sha256()
    for prefix, run in walk_runs(load, root):
        lines: list[str] = []
        for entry in run:
            # The commonest first, and no call for it: there may be millions.
            if isinstance(entry, FileEntry):
                digest = b2a_base64(entry.md5, newline=False).decode()
                lines.append(f"{prefix}{entry.name}:{digest}\n")
                if entry.executable:
                    posix.update(f"x{prefix}{entry.name}\0".encode())
            elif isinstance(entry, ReferenceEntry):
                lines.append(f"{prefix}{entry.name}:{entry.digest}\n")
            elif isinstance(entry, SymlinkEntry):
                posix.update(f"l{prefix}{entry.name}\0{entry.target}\0".encode())
            elif len(load(entry.sha256)) == 0:
                posix.update(f"d{prefix}{entry.name}\0".encode())
        state.update("".join(lines).encode())
    return TreeDigests(state.hexdigest(), posix.hexdigest())


def tree_entries(load: LoadDirectory, root: Digest) -> Iterator[ManifestEntry]:
    """The manifest entries of a tree, sorted by path."""
    for path, entry in walk(load, root):
        if isinstance(entry, FileEntry):
            yield ManifestEntry(path, entry.digest, size_bytes=entry.size_bytes)
        elif isinstance(entry, ReferenceEntry):
            yield ManifestEntry(
                path,
                entry.digest,
                ref=entry.uri,
                size_bytes=entry.manifest_size_bytes,
                extra=entry.extra,
            )
        else:
            assert isinstance(entry, (SymlinkEntry, DirectoryEntry))


def manifest_value(entries: Iterable[ManifestEntry]) -> dict[str, Any]:
    """The manifest as a JSON value, `contents` sorted by path."""
    return {
        "version": 1,
        "storagePolicy": STORAGE_POLICY,
        "storagePolicyConfig": {"storageLayout": "V2"},
        "contents": {
            entry.path: entry.to_json() for entry in sorted(entries, key=lambda item: item.path)
        },
    }


def manifest_text(entries: Iterable[ManifestEntry]) -> str:
    """The text of `wandb_manifest.json`."""
    return json.dumps(manifest_value(entries), indent=4)
