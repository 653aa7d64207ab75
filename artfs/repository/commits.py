"""Commits: blobs, then directories, then one catalog transaction that proves what it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from artfs.catalog.base import BaseGone, Catalog
from artfs.catalog.blob_port import BlobsGone, Confirm
from artfs.catalog.records import (
    BlobRecord,
    CommitRequest,
    CommitResult,
    PackRecord,
    VersionCommit,
    VersionRecord,
    VersionUpdate,
)
from artfs.errors import BlobNotFound, Conflict, IntegrityError, InvalidArgument, InvalidManifest
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry
from artfs.manifest.tree import LoadDirectory, walk
from artfs.manifest.wandb import TreeDigests, tree_digests
from artfs.model import MAX_METADATA_KEYS, Digest, check_alias, check_name, check_type
from artfs.repository.ingest import Ingest, IngestResult
from artfs.repository.recovery import Recovery
from artfs.repository.reference_targets import ReferenceTargets
from artfs.system.oserrors import reach_step


def set_labels(
    catalog: Catalog, version: VersionRecord, request: CommitRequest
) -> tuple[VersionRecord, tuple[str, ...]]:
    """Give an existing version what the request says of it; what it leaves out stays.

    Returns the version and the names of what has changed, in the words of VersionUpdate.
    Raises: VersionNotFound, BackendUnavailable.
    """
    changes: dict[str, Any] = {}
    if request.description is not None and request.description != version.description:
        changes["description"] = request.description
    if request.metadata and request.metadata != version.metadata:
        changes["metadata"] = request.metadata
    if request.tags and set(request.tags) != set(version.tags):
        changes["tags"] = request.tags
    if request.ttl_s is not None and request.ttl_s != version.ttl_s:
        changes["ttl_s"] = request.ttl_s
    missing = tuple(alias for alias in request.aliases if alias not in version.aliases)
    if changes or missing:
        update = VersionUpdate(add_aliases=missing, **changes)
        version = catalog.update_version(version.id, update)
    return version, tuple(changes)


class Commits:
    """Makes versions of what an intake has taken in. Blocks: on the catalog and the store."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        load: LoadDirectory,
        confirm: Confirm,
        delete: Callable[[BlobRecord | PackRecord], None],
        linked_blobs: Callable[[LoadDirectory], ReferenceTargets],
        recovery: Recovery | None,
        heals: bool,
    ) -> None:
        """`heals`: content that comes again is recorded where its record was lost."""
        self._catalog = catalog
        self._load = load
        self._confirm = confirm
        self._delete = delete
        self._linked_blobs = linked_blobs
        self._recovery = recovery
        self._heals = heals

    def commit(
        self,
        ingest: Ingest,
        tree: DirectoryEntry,
        request: CommitRequest,
        *,
        digests: TreeDigests | None = None,
    ) -> CommitResult:
        """See `Repository.commit`."""
        _check(request)
        load = ingest.directory_loader(self._load)
        digests = digests or tree_digests(load, tree.sha256)
        taken = ingest.finish()
        linked = self._linked(load, ingest.linking_entries())
        commit = VersionCommit(
            digest=digests.digest,
            content_digest=digests.content_digest,
            tree=tree.sha256,
            size_bytes=tree.size_bytes,
            file_count=tree.file_count,
            packs=taken.packs,
            blobs=taken.blobs,
            reused=(*taken.reused, *linked),
            lost=taken.lost,
            **msgspec.structs.asdict(request),
        )
        reach_step("commit.begun", request.name)
        try:
            outcome = self._commit(commit)
        except BaseGone:
            # The base was deleted meanwhile: what it protected must be named blob by blob.
            written = {blob.sha256 for blob in taken.blobs}
            reused = tuple(self._blobs_of(load, tree.sha256) - written)
            commit = msgspec.structs.replace(commit, base_ids=(), reused=reused)
            outcome = self._commit(commit)
        reach_step("commit.made", request.name)
        if outcome.created and self._recovery is not None:
            self._recovery.note_commit(outcome.version, request)
        if not outcome.created and taken.blobs and self._heals:
            self._heal(load, outcome.version.tree, taken)
        reach_step("commit.recorded", request.name)
        ingest.release()
        return outcome

    def _heal(self, load: LoadDirectory, tree: Digest, taken: IngestResult) -> None:
        """Record what was stored now, and is unknown though a version needs it: set_aside."""
        try:
            needed = self._blobs_of(load, tree)
        except (BlobNotFound, IntegrityError, InvalidManifest):
            # Its directories are lost, and had other times.
            return
        blobs = [blob for blob in taken.blobs if blob.sha256 in needed]
        packs = {blob.pack for blob in blobs}
        with suppress(BlobsGone):
            self._catalog.add_blobs(
                [pack for pack in taken.packs if pack.sha256 in packs],
                blobs,
                confirm=self._confirm,
            )

    def _commit(self, commit: VersionCommit) -> CommitResult:
        try:
            return self._catalog.commit(commit, confirm=self._confirm)
        except BlobsGone as error:
            # What gc has begun to delete must be gone before it can be stored again. The error
            # may name packs alone, and the next one then blobs.
            packs = [pack.sha256 for pack in commit.packs]
            blobs = [blob.sha256 for blob in commit.blobs]
            doomed = (*error.missing, *error.packs, *packs, *blobs)
            self._catalog.sweep(self._delete, only=doomed)
            raise Conflict(
                f"{commit.project}/{commit.name}",
                "gc removed content that this commit relied on",
                hint="run it again: it will be stored again",
            ) from None

    def _linked(self, load: LoadDirectory, entries: Iterable[Entry]) -> list[Digest]:
        """What new references to other versions need, as far as it is there."""
        linked = self._linked_blobs(load)
        linked.follow(entries)
        return list(self._catalog.reserve(list(linked.found)).found) if linked.found else []

    def _blobs_of(self, load: LoadDirectory, tree: Digest) -> set[Digest]:
        """Every blob that a tree needs: directory objects, contents, block lists."""
        found = {tree}
        references: list[Entry] = []
        for _, entry in walk(load, tree):
            if isinstance(entry, DirectoryEntry):
                found.add(entry.sha256)
            elif isinstance(entry, FileEntry):
                found.update(entry.blobs)
            elif isinstance(entry, ReferenceEntry):
                references.append(entry)
        return found.union(self._linked(load, references))


def _check(request: CommitRequest) -> None:
    check_name(request.project, kind="project")
    check_name(request.name, kind="artifact")
    check_type(request.type)
    for alias in request.aliases:
        check_alias(alias)
    if len(request.metadata) > MAX_METADATA_KEYS:
        raise InvalidArgument(
            "metadata", f"{len(request.metadata)} keys, at most {MAX_METADATA_KEYS} are allowed"
        )
