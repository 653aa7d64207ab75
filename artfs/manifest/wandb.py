"""W&B's manifest and digest of a tree, bit for bit, and what tells two contents apart.

The formats are those of the wandb client 0.15.0: the artifact digest is the md5 over a header
line and one `PATH:DIGEST` line per file in path order; the manifest is JSON, version 1.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import md5, sha256
from itertools import islice
from typing import Any

import msgspec

from artfs.manifest.entries import BIRTH, DirectoryEntry, FileEntry, ReferenceEntry, SymlinkEntry
from artfs.manifest.tree import LoadDirectory, walk, walk_runs
from artfs.model import Digest

_HEADER = b"wandb-artifact-manifest-v1\n"
_BATCH_LINES = 4096
_encoder = msgspec.msgpack.Encoder()
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
    """What is computed over a whole tree."""

    digest: str
    """W&B's: 32 hexadecimal digits."""
    content_digest: str
    """Equal for two trees only if a mount shows the same in both, times excepted: 64 hexadecimal
    digits. W&B's cannot say so: it joins names and digests by characters that names may hold, is
    made of md5, and sees no executable bits, symlinks and empty directories."""


def manifest_digest(entries: Iterable[tuple[str, str]]) -> str:
    """W&B's artifact digest of `(path, digest)` pairs, which come sorted by path.

    What has no digest is not in W&B's manifest.
    """
    state = md5(_HEADER, usedforsecurity=False)
    remaining = iter(entries)
    while batch := list(islice(remaining, _BATCH_LINES)):
        state.update("".join([f"{path}:{digest}\n" for path, digest in batch if digest]).encode())
    return state.hexdigest()


def tree_digests(load: LoadDirectory, root: Digest) -> TreeDigests:
    """Both digests of a tree, in one walk."""
    state, content = md5(_HEADER, usedforsecurity=False), ContentDigest()
    for prefix, run in walk_runs(load, root):
        lines: list[str] = []
        with content.run() as (names, values):
            for entry in run:
                # The commonest first, and no call for it: there may be millions.
                if isinstance(entry, FileEntry):
                    digest = b2a_base64(entry.md5, newline=False).decode()
                    lines.append(f"{prefix}{entry.name}:{digest}\n")
                    names.append(f"{'x' if entry.executable else 'f'}{prefix}{entry.name}")
                    values.append(entry.sha256)
                elif isinstance(entry, ReferenceEntry):
                    if entry.digest:
                        lines.append(f"{prefix}{entry.name}:{entry.digest}\n")
                    names.append(f"r{prefix}{entry.name}")
                    values.append(_digest_of(_source(entry)))
                elif isinstance(entry, SymlinkEntry):
                    names.append(f"l{prefix}{entry.name}")
                    values.append(_digest_of(entry.target.encode()))
                elif len(load(entry.sha256)) == 0:
                    names.append(f"d{prefix}{entry.name}")
        state.update("".join(lines).encode())
    return TreeDigests(state.hexdigest(), content.hexdigest())


class ContentDigest:
    """SHA-256 over the kinds and paths of a tree's entries, and over what each holds.

    No two trees give it the same bytes: a name holds no NUL, and what a kind of entry holds has
    one length.
    """

    def __init__(self) -> None:
        self._names = sha256()
        self._values = sha256()

    @contextmanager
    def run(self) -> Iterator[tuple[list[str], list[bytes]]]:
        """Lists for the kinds and paths, and for the values, of the next entries."""
        names: list[str] = []
        values: list[bytes] = []
        yield names, values
        # The last name ends with a NUL as well.
        self._names.update("\0".join([*names, ""]).encode())
        self._values.update(b"".join(values))

    def hexdigest(self) -> str:
        """The digest of all that was given."""
        return sha256(self._names.digest() + self._values.digest()).hexdigest()


def _source(entry: ReferenceEntry) -> bytes:
    """What is referred to, and by what it is known again: what the pin no longer fits is stale."""
    return _encoder.encode((entry.uri, entry.digest, entry.size_bytes, entry.pin))


def _digest_of(data: bytes) -> bytes:
    return sha256(data).digest()


def tree_entries(load: LoadDirectory, root: Digest) -> Iterator[ManifestEntry]:
    """The manifest entries of a tree, sorted by path."""
    for path, entry in walk(load, root):
        if isinstance(entry, FileEntry):
            yield ManifestEntry(path, entry.digest, size_bytes=entry.size_bytes)
        elif isinstance(entry, ReferenceEntry):
            if not entry.digest:
                continue
            if entry.is_server_file:
                yield ManifestEntry(
                    path,
                    entry.digest,
                    birth_artifact_id=entry.extra[BIRTH],
                    size_bytes=entry.size_bytes,
                )
                continue
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
