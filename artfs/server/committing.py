"""From a client's manifests to a version: what a manifest says is looked up, never believed."""

from __future__ import annotations

import binascii
import re
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from artfs.catalog.records import CommitRequest, VersionRecord
from artfs.catalog.rowchecks import json_text
from artfs.catalog.serving_records import ContentRecord, Draft, DraftManifest, ManifestKind
from artfs.content.base import read_blocks
from artfs.decoding import analysed
from artfs.errors import (
    ArtfsError,
    ArtifactNotFound,
    BackendUnavailable,
    InvalidManifest,
    NotFound,
)
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import FileEntry, Pin, ReferenceEntry
from artfs.manifest.wandb import STORAGE_POLICY, manifest_digest
from artfs.references.artifact import is_artifact_reference
from artfs.repository.commits import set_labels
from artfs.repository.ingest import Ingest
from artfs.server import ids
from artfs.server.context import Context, awaited
from artfs.system.oserrors import reach_step

MAX_MANIFEST_BYTES = 512 * 1024 * 1024

_MAX_PATH_BYTES = 4096
"""Longer ones no program can open."""
_MAX_REFERENCE_CHARS = 8192
_MAX_SIZE_BYTES = 2**53
_MAX_TOTAL_BYTES = 2**62

_GIVEN_UP_NS = 300 * 10**9
"""Whoever sends nothing for an artifact for so long may have ended."""

_CLIENT_SCHEME = "wandb-client-artifact"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_GENERATION = re.compile(r"[0-9]{1,18}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class _Entry(msgspec.Struct, frozen=True):
    digest: str
    ref: str | None = None
    birth: str | None = msgspec.field(default=None, name="birthArtifactID")
    size: int | None = None
    extra: dict[str, Any] = {}


class _Manifest(msgspec.Struct, frozen=True):
    version: int
    contents: dict[str, _Entry]
    policy: str = msgspec.field(default=STORAGE_POLICY, name="storagePolicy")


_decoder = msgspec.json.Decoder(analysed(_Manifest))


def commit_draft(context: Context, draft: Draft) -> VersionRecord:
    """Make a draft a version, or find the one that it became.

    Blocks: on the store. Raises: InvalidManifest; as Repository.commit.
    """
    repository = context.repository
    manifests = repository.catalog.serving.manifests(draft.id)
    parts = [(each, _read(context, each)) for each in manifests if each.content is not None]
    if not parts:
        raise InvalidManifest(f"{draft.project}/{draft.name}", "its manifest was never sent")
    base = _base(context, parts)
    _check_digest(draft, parts)
    ingest = repository.ingest()
    try:
        version = _commit(context, draft, ingest, base, [part for _, part in parts])
    finally:
        ingest.discard()
    return version


def _read(context: Context, manifest: DraftManifest) -> _Manifest:
    content = manifest.content
    assert content is not None
    if content.size_bytes > MAX_MANIFEST_BYTES:
        raise InvalidManifest("the manifest", f"is larger than {MAX_MANIFEST_BYTES >> 20} MiB")
    entry = FileEntry("", content.sha256, content.size_bytes, b"", content.blocks, False, 0)
    try:
        text = b"".join(read_blocks(context.repository.content(entry)))
        found = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidManifest("the manifest", str(error)) from None
    if found.version != 1 or found.policy != STORAGE_POLICY:
        raise InvalidManifest("the manifest", "is of a version that is not known here")
    return found


def _base(
    context: Context, parts: Sequence[tuple[DraftManifest, _Manifest]]
) -> VersionRecord | None:
    """The version that partial manifests change."""
    if any(manifest.kind is ManifestKind.FULL for manifest, _ in parts):
        return None
    named = next((manifest.base_id for manifest, _ in parts if manifest.base_id), None)
    return None if named is None else context.version_by_id(named)


def _check_digest(draft: Draft, parts: Sequence[tuple[DraftManifest, _Manifest]]) -> None:
    """Hold a client to the digest of a whole manifest, by which others find the version."""
    if len(parts) != 1 or parts[0][0].kind is not ManifestKind.FULL:
        return
    contents = parts[0][1].contents
    found = manifest_digest((path, contents[path].digest) for path in sorted(contents))
    if found != draft.request.digest:
        raise InvalidManifest(
            f"{draft.project}/{draft.name}",
            f"its manifest has the digest {found}, but {draft.request.digest} was announced",
            hint="log it again",
        )


def _commit(
    context: Context,
    draft: Draft,
    ingest: Ingest,
    base: VersionRecord | None,
    parts: Sequence[_Manifest],
) -> VersionRecord:
    repository = context.repository
    builder = TreeBuilder(
        ingest.directory_loader(repository.directory), None if base is None else base.root
    )
    contents: list[ContentRecord] = []
    finder = _Finder(context, draft, builder)
    for part in parts:
        for path, entry, content in finder.entries(part):
            builder.put(path, entry)
            if content is not None:
                contents.append(content)
    ingest.reuse([digest for content in contents for digest in content.blobs])
    base_ids = () if base is None else (base.id,)
    if base is None and (latest := context.latest(draft.project, draft.name)) is not None:
        builder.adopt(latest.root)
        base_ids = (latest.id,)
    wanted = draft.request
    request = CommitRequest(
        project=draft.project,
        name=draft.name,
        type=wanted.type,
        description=wanted.description,
        metadata=wanted.metadata,
        aliases=wanted.aliases,
        tags=wanted.tags,
        ttl_s=wanted.ttl_s,
        run_id=wanted.run_id,
        base_ids=base_ids,
        commit_key=draft.id,
        version_id=draft.id,
        dedupe_all=wanted.dedupe_all,
    )
    tree = builder.build(ingest.add_directory)
    if tree.size_bytes > _MAX_TOTAL_BYTES:
        raise InvalidManifest("the manifest", "its files are larger than any disk")
    reach_step("serve.committing", request.name)
    outcome = repository.commit(ingest, tree, request)
    reach_step("serve.committed", request.name)
    version = outcome.version
    if not outcome.created:
        version, _ = set_labels(repository.catalog, version, request)
    serving = repository.catalog.serving
    serving.remember(version.id, contents)
    if wanted.client_id:
        serving.map_client_id(wanted.client_id, version.id)
    reach_step("serve.remembered", request.name)
    serving.drop_draft(draft.id)
    return version


class _Finder:
    """Makes entries of a tree of what a manifest says."""

    def __init__(self, context: Context, draft: Draft, builder: TreeBuilder) -> None:
        self._context = context
        self._draft = draft
        self._builder = builder
        self._uploads = context.repository.catalog.serving.uploads(draft.id)
        self._births: dict[str, VersionRecord | None] = {}
        self._referred: dict[str, str] = {}
        self._now_ns = time.time_ns()

    def entries(
        self, manifest: _Manifest
    ) -> Iterator[tuple[str, FileEntry | ReferenceEntry, ContentRecord | None]]:
        """Path, entry and content of each; files of the base that are as they were left out.

        Raises: InvalidManifest.
        """
        missing: list[str] = []
        for path, said in manifest.contents.items():
            if len(path) * 4 > _MAX_PATH_BYTES and len(path.encode()) > _MAX_PATH_BYTES:
                raise InvalidManifest(
                    f"{path[:80]!r}…", f"a path has at most {_MAX_PATH_BYTES} bytes"
                )
            if said.ref is not None:
                yield path, self._reference(path, said), None
                continue
            md5 = _md5(path, said)
            old = self._builder.get(path)
            if isinstance(old, FileEntry) and old.md5 == md5:
                continue
            content = self._content(md5, said)
            if content is None:
                missing.append(path)
                continue
            if said.size is not None and said.size != content.size_bytes:
                raise InvalidManifest(
                    repr(path), f"has {content.size_bytes} bytes, not {said.size} as it says"
                )
            yield path, self._file(path, content), content
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise InvalidManifest(
                repr(missing[0]) + more, "its content was never sent", hint="log it again"
            )

    def _file(self, path: str, content: ContentRecord) -> FileEntry:
        return FileEntry(
            path.rpartition("/")[2],
            content.sha256,
            content.size_bytes,
            content.md5,
            content.blocks,
            executable=False,
            mtime_ns=self._now_ns,
        )

    def _content(self, md5: bytes, said: _Entry) -> ContentRecord | None:
        found = self._uploads.get(md5)
        if found is None and said.birth is not None:
            version = self._birth(said.birth)
            if version is not None:
                with suppress(NotFound):
                    return self._context.content(version, md5)
        return found

    def _birth(self, gid: str) -> VersionRecord | None:
        """The version that is said to hold some content, where it may be read."""
        if gid not in self._births:
            self._births[gid] = None
            with suppress(NotFound, ValueError):
                self._births[gid] = self._context.version_by_id(ids.artifact_id(gid))
        return self._births[gid]

    def _reference(self, path: str, said: _Entry) -> ReferenceEntry:
        uri = said.ref or ""
        _check_reference(path, uri, said)
        scheme = uri.partition(":")[0].lower()
        if scheme == _CLIENT_SCHEME:
            raise InvalidManifest(repr(path), "refers to an artifact that was never logged")
        if is_artifact_reference(uri):
            uri = self._readable(path, uri)
        return ReferenceEntry(
            path.rpartition("/")[2],
            uri,
            said.digest,
            said.size,
            _pin(scheme, said),
            said.extra,
            self._now_ns,
        )

    def _readable(self, path: str, uri: str) -> str:
        """A reference to a version lends the right to read it: it needs one. How it is kept."""
        scheme, _, rest = uri.partition("://")
        gid, slash, below = rest.partition("/")
        if gid not in self._referred:
            try:
                self._referred[gid] = self._referred_version(path, ids.artifact_id(gid))
            except (NotFound, ValueError):
                raise InvalidManifest(
                    repr(path), "refers to an artifact that is not there, or not for you"
                ) from None
        return f"{scheme}://{self._referred[gid]}{slash}{below}"

    def _referred_version(self, path: str, artifact_id: str) -> str:
        """The id of the version that an id stands for.

        Clients log artifacts side by side, and name one by the id of its draft in another: that
        one may not be a version yet, and may become one that was there before.
        Raises: NotFound; InvalidManifest, BackendUnavailable for one that is not a version yet.
        """
        context, catalog = self._context, self._context.repository.catalog
        if artifact_id == self._draft.id:
            raise ArtifactNotFound(repr(path), "refers to its own artifact")

        def is_decided() -> bool:
            draft = catalog.serving.draft(artifact_id)
            if draft is None or not context.access.reads(draft.project):
                return True
            if catalog.now_ns() - draft.touched_at_ns > _GIVEN_UP_NS:
                raise InvalidManifest(
                    repr(path), "refers to an artifact that was not logged to its end"
                )
            return False

        if not awaited(is_decided):
            raise BackendUnavailable(repr(path), "refers to an artifact that is still being logged")
        committed = catalog.committed_with(artifact_id)
        return context.version_by_id(committed or artifact_id).id


def _check_reference(path: str, uri: str, said: _Entry) -> None:
    """Raises: InvalidManifest for a reference that could not be kept, or read back."""
    reason = None
    if not _SCHEME.match(uri):
        reason = f"its reference {uri[:80]!r} is no URI"
    elif len(uri) > _MAX_REFERENCE_CHARS or len(said.digest) > _MAX_REFERENCE_CHARS:
        reason = f"a reference and its digest have at most {_MAX_REFERENCE_CHARS} characters"
    elif _CONTROL.search(uri) or _CONTROL.search(said.digest):
        reason = "its reference has control characters"
    elif said.size is not None and not 0 <= said.size <= _MAX_SIZE_BYTES:
        reason = f"{said.size} is no size"
    elif said.extra:
        try:
            json_text(said.extra)
            msgspec.msgpack.encode(said.extra)
        except (ArtfsError, OverflowError, RecursionError):
            reason = "what it says of its reference cannot be kept"
    if reason:
        raise InvalidManifest(repr(path), reason)


def _md5(path: str, said: _Entry) -> bytes:
    try:
        raw = b64decode(said.digest, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise InvalidManifest(repr(path), f"its digest {said.digest[:40]!r} is no MD5 in base64")
    return raw


def _pin(scheme: str, said: _Entry) -> Pin:
    """What proves that a foreign object is still the one that the client saw."""
    etag, version = said.extra.get("etag"), said.extra.get("versionID")
    if scheme == "s3":
        pinned = f'"{etag}"' if isinstance(etag, str) and etag else None
        return Pin(etag=pinned, version_id=version if isinstance(version, str) else None)
    if scheme == "gs":
        text = str(version)
        return Pin(generation=int(text)) if _GENERATION.fullmatch(text) else Pin()
    if scheme in {"http", "https"}:
        return Pin(etag=etag if isinstance(etag, str) else None)
    if scheme == "file" or is_artifact_reference(f"{scheme}:"):
        with suppress(InvalidManifest):
            return Pin(md5=_md5("", said))
    return Pin()
