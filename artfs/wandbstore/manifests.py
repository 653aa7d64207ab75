"""A W&B manifest becomes directory objects.

A file becomes a reference to the server, pinned by its md5 and size; what is a reference there is
one here, with the pin that W&B kept of it.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from artfs.decoding import analysed
from artfs.errors import UNDECODABLE, InvalidManifest, InvalidName
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.directory import Directory
from artfs.manifest.entries import (
    BIRTH,
    SERVER_SCHEMES,
    DirectoryEntry,
    Pin,
    ReferenceEntry,
)
from artfs.manifest.wandb import STORAGE_POLICY
from artfs.model import Digest
from artfs.wandbstore.address import FileAddress

REGION = "storageRegion"
LAYOUT = "storageLayout"
_V1, _V2 = "V1", "V2"
_DEFAULT_REGION = "default"
_MD5_BYTES = 16
_TOO_LARGE_BYTES = 2**62
_MAX_TEXT_CHARS = 4096


class ManifestItem(msgspec.Struct):
    """What a manifest says of one path."""

    digest: str
    ref: str | None = None
    birth_artifact_id: str | None = msgspec.field(default=None, name=BIRTH)
    size: int | None = None
    extra: dict[str, Any] | None = None


class Manifest(msgspec.Struct):
    """A manifest of version 1, `wandb_manifest.json`."""

    version: int
    contents: dict[str, ManifestItem]
    policy: str = msgspec.field(default=STORAGE_POLICY, name="storagePolicy")
    config: dict[str, Any] = msgspec.field(default_factory=dict, name="storagePolicyConfig")


class BuiltTree(msgspec.Struct, frozen=True):
    """The directory objects of a version."""

    root: DirectoryEntry
    objects: dict[Digest, bytes]


def build_tree(text: bytes, version: FileAddress, *, version_gid: str, mtime_ns: int) -> BuiltTree:
    """The tree that a manifest describes.

    `version` is the address of it, without a path, `version_gid` its id, and `mtime_ns` the time
    that all its files get. Raises: InvalidManifest.
    """
    subject = str(version)
    manifest = decode_manifest(text, subject)
    where = _where(manifest.config)
    objects: dict[Digest, bytes] = {}

    def load(digest: Digest) -> Directory:
        return Directory(objects[digest])

    builder = TreeBuilder(load)
    with naming_manifest(subject):
        for path, said in manifest.contents.items():
            entry = _entry(path, said, version, where | {BIRTH: version_gid}, mtime_ns)
            builder.put(path, entry)
    return BuiltTree(builder.build(objects.__setitem__), objects)


def decode_manifest(text: bytes, subject: str) -> Manifest:
    """What a manifest says; `subject` is what errors call it. Raises: InvalidManifest."""
    try:
        manifest = msgspec.json.decode(text, type=analysed(Manifest))
    except UNDECODABLE as error:
        raise InvalidManifest(subject, f"its manifest is damaged ({error})") from None
    if manifest.version != 1 or manifest.policy != STORAGE_POLICY:
        raise InvalidManifest(
            subject,
            f"has a manifest of version {manifest.version} and policy {manifest.policy[:60]!r}",
            hint="a newer artfs may read it",
        )
    return manifest


@contextmanager
def naming_manifest(subject: str) -> Iterator[None]:
    """What an InvalidName says is wrong of the manifest. Raises: InvalidManifest."""
    try:
        yield
    except InvalidName as error:
        raise InvalidManifest(subject, f"its manifest names {error}") from None


def _where(config: dict[str, Any]) -> dict[str, Any]:
    """What has to be known of the storage besides a file's digest, where it is not as usual."""
    found: dict[str, Any] = {}
    region = config.get(REGION)
    if isinstance(region, str) and region and region != _DEFAULT_REGION:
        found[REGION] = region[:_MAX_TEXT_CHARS]
    if config.get(LAYOUT, _V1) != _V2:
        found[LAYOUT] = _V1
    return found


def _entry(
    path: str, said: ManifestItem, version: FileAddress, where: dict[str, Any], mtime_ns: int
) -> ReferenceEntry:
    if said.ref:
        return reference_entry(path, said, mtime_ns=mtime_ns)
    _check_size(path, said)
    md5 = md5_of(said.digest)
    if said.birth_artifact_id:
        where = where | {BIRTH: said.birth_artifact_id}
    uri = str(msgspec.structs.replace(version, path=path))
    pin = Pin() if md5 is None else Pin(md5=md5)
    name = path.rpartition("/")[2]
    return ReferenceEntry(name, uri, said.digest, said.size, pin, where, mtime_ns)


def reference_entry(path: str, said: ManifestItem, *, mtime_ns: int) -> ReferenceEntry:
    """The entry of what is a reference in a manifest, pinned as W&B pinned it.

    Raises: InvalidName for a size that nothing has.
    """
    assert said.ref
    _check_size(path, said)
    extra = dict(said.extra or {})
    if said.ref.startswith(SERVER_SCHEMES):
        # That would make it a file of this very version.
        extra.pop(BIRTH, None)
    pin = _pin(said.ref, extra, md5_of(said.digest))
    # In manifests a zero stands for the size of what another version has.
    size = None if said.ref.startswith("wandb-artifact:") and not said.size else said.size
    name = path.rpartition("/")[2]
    return ReferenceEntry(name, said.ref, said.digest, size, pin, extra, mtime_ns)


def _check_size(path: str, said: ManifestItem) -> None:
    if said.size is not None and not 0 <= said.size < _TOO_LARGE_BYTES:
        raise InvalidName(repr(path), f"with a size of {said.size} bytes")


def md5_of(digest: str) -> bytes | None:
    """The md5 that a digest is in base64; None for one of another kind."""
    try:
        raw = b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == _MD5_BYTES else None


def _pin(uri: str, extra: dict[str, Any], md5: bytes | None) -> Pin:
    """What proves that a foreign object is still the one that was referred to."""
    scheme = uri.partition(":")[0].lower()
    etag, version = extra.get("etag"), extra.get("versionID")
    etag = etag if isinstance(etag, str) and etag else None
    if scheme == "s3":
        quoted = etag if etag is None or etag.startswith('"') else f'"{etag}"'
        return Pin(etag=quoted, version_id=version if isinstance(version, str) else None)
    if scheme == "gs":
        generation = int(str(version)) if str(version).isdecimal() else None
        return Pin(generation=generation, md5=md5 if generation is not None else None)
    if scheme in {"http", "https"}:
        return Pin(etag=etag)
    if scheme in {"file", "wandb-artifact"}:
        return Pin(md5=md5)
    return Pin()
