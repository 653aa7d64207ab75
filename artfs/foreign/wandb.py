"""A W&B manifest, and the directories where its blobs may be: downloads and W&B's own cache."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from artfs.credentials import without_credentials
from artfs.errors import InvalidManifest
from artfs.foreign.base import (
    Algorithm,
    ForeignFile,
    ForeignTree,
    Kind,
    Proof,
    located,
    read_listing,
)
from artfs.manifest.entries import ReferenceEntry
from artfs.model import split_entry_path
from artfs.references.artifact import is_artifact_reference
from artfs.wandbstore.manifests import (
    ManifestItem,
    decode_manifest,
    md5_of,
    naming_manifest,
    reference_entry,
)

MANIFEST = "wandb_manifest.json"
_MAX_MANIFEST_BYTES = 1024**3
_IN_CACHES = ("obj/md5", "artifacts/obj/md5", "md5", "")
"""Where the blobs are below what people call the cache."""


def read_wandb(source: Path, *, cache: Path | None) -> ForeignTree:
    """What a manifest, or a directory with one, lists.

    Bytes are looked for at their paths beside the manifest and in `cache`, and by their md5 in
    `cache` and W&B's own. Blocks: on the disk. Raises: InvalidManifest, PathNotFound,
    PermissionDenied.
    """
    path = source / MANIFEST if source.is_dir() else source
    text = read_listing(path, limit_bytes=_MAX_MANIFEST_BYTES)
    manifest = decode_manifest(text, str(path))
    places = _Places(path.parent, cache)
    files: list[ForeignFile] = []
    references: list[tuple[str, ReferenceEntry]] = []
    with naming_manifest(str(path)):
        for name, said in manifest.contents.items():
            split_entry_path(name)
            file = _file(name, said, places, str(path))
            if file is None or (said.ref and file.is_missing):
                references.append((name, _public(reference_entry(name, said, mtime_ns=0))))
            else:
                files.append(file)
    return ForeignTree(
        kind=Kind.WANDB,
        source=str(path),
        files=tuple(files),
        references=tuple(references),
        cure="name the directory or cache that has it with --cache",
    )


def _file(name: str, said: ManifestItem, places: _Places, subject: str) -> ForeignFile | None:
    """Where the bytes of an entry should be; None for what refers to foreign objects.

    What refers to a file of another version has that file's digest, and no store but the one it
    comes from knows that version: it is a file here, where its bytes are found.
    """
    if said.ref and not is_artifact_reference(said.ref):
        return None
    md5 = md5_of(said.digest)
    if md5 is None:
        if said.ref:
            return None
        raise InvalidManifest(subject, f"says that {said.digest[:80]!r} is the md5 of {name!r}")
    # In manifests a zero stands for the size of what another version has.
    size = None if said.ref and not said.size else said.size
    proof = Proof(Algorithm.MD5, md5)
    return located(name, places.of(name, md5.hex()), size_bytes=size, proof=proof)


def _public(entry: ReferenceEntry) -> ReferenceEntry:
    """The entry without credentials: no store holds any."""
    uri = without_credentials(entry.uri)
    # Of a scheme that W&B does not know the digest is the URI.
    digest = uri if entry.digest == entry.uri else entry.digest
    return msgspec.structs.replace(entry, uri=uri, digest=digest)


class _Places:
    """Where the bytes of an entry may be."""

    def __init__(self, directory: Path, cache: Path | None) -> None:
        self._trees = _texts([directory] if cache is None else [directory, cache])
        caches = [] if cache is None else [cache / each for each in _IN_CACHES]
        self._caches = _texts([*caches, _own_cache() / _IN_CACHES[0]])

    def of(self, name: str, digest: str) -> Iterator[str]:
        """The paths where a file may be, of which only the content decides."""
        yield from (tree + name for tree in self._trees)
        yield from (f"{cache}{digest[:2]}/{digest[2:]}" for cache in self._caches)


def _texts(paths: Sequence[Path]) -> list[str]:
    return [f"{path.absolute()}/" for path in dict.fromkeys(paths)]


def _own_cache() -> Path:
    """Where the wandb package keeps what it has downloaded."""
    given = os.environ.get("WANDB_CACHE_DIR")
    if given:
        return Path(given) / "artifacts"
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - as they do
    return Path(base, "wandb", "artifacts")
