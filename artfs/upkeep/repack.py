"""Rewriting packs that hold little of use any more. Used by gc alone."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from itertools import groupby

import msgspec

from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.blobs.packs import PACK_TARGET_BYTES, PackWriter
from artfs.catalog.base import Catalog
from artfs.catalog.blob_port import BlobsGone
from artfs.catalog.records import BlobRecord, PackRecord
from artfs.errors import BlobNotFound, IntegrityError
from artfs.model import Digest
from artfs.repository.facade import Repository
from artfs.system.oserrors import reach_step

_SPARSE = 0.5
"""A pack is rewritten when less than this share of it is alive."""

_INDEX_ENTRY_BYTES = 44
"""What a blob costs in a pack's footer, about."""


class PackContent(msgspec.Struct, frozen=True):
    """A pack, and the blobs in it."""

    record: PackRecord
    alive: list[BlobRecord]
    dead: list[BlobRecord]

    @property
    def alive_bytes(self) -> int:
        """The size of what is alive."""
        return sum(blob.size_bytes for blob in self.alive)

    @property
    def is_sparse(self) -> bool:
        """Whether it is worth while to rewrite what is alive."""
        index_bytes = _INDEX_ENTRY_BYTES * len(self.alive)
        return self.alive_bytes + index_bytes < _SPARSE * self.record.size_bytes


def sparse_packs(catalog: Catalog, dead: Container[Digest]) -> list[PackContent]:
    """Packs that hold little that is alive, or nothing; `dead` says which blobs are.

    Blocks: on listing all blobs.
    """
    found = []
    packs = {pack.sha256: pack for pack in catalog.packs()}
    for digest, blobs in groupby(catalog.blobs(), key=lambda blob: blob.pack):
        if digest is not None and (record := packs.pop(digest, None)) is not None:
            pack = PackContent(record, [], [])
            for blob in blobs:
                (pack.dead if blob.sha256 in dead else pack.alive).append(blob)
            if pack.is_sparse:
                found.append(pack)
    # A pack that was committed between the two listings has living blobs, and cannot be doomed.
    return found + [PackContent(record, [], []) for record in packs.values()]


def write_anew(repository: Repository, packs: Iterable[PackContent]) -> None:
    """Copy what is alive into new packs, and record where it is now; damaged blobs stay.

    The caller holds a lease: the new packs are stored before they are named.
    Blocks: on reading and writing all of them. Raises: OutOfSpace, PermissionDenied,
    BackendUnavailable.
    """
    for group in _grouped(packs):
        with PackWriter(repository.workspace.temporaries.new("gc")) as writer:
            for blob in (blob for pack in group for blob in pack.alive):
                try:
                    writer.add(blob.sha256, repository.blobs.read(blob.sha256))
                except (IntegrityError, BlobNotFound):
                    continue
            if writer.size_bytes:
                _install(repository, writer, group)


def _install(repository: Repository, writer: PackWriter, group: list[PackContent]) -> None:
    finished = writer.finish()
    target = PackRecord(finished.sha256, finished.size_bytes)
    try:
        key = ObjectKey(Namespace.PACKS, target.sha256)
        if doomed := repository.catalog.reserve([], packs=[target.sha256]).doomed:
            # The same pack, of a gc that was killed, which another one is about to remove.
            repository.catalog.sweep(repository.delete_object, only=doomed)
        reach_step("repack.written", key)
        repository.objects.put(key, writer.path, transfer=Transfer.MOVE)
        reach_step("repack.stored", key)
    finally:
        writer.discard()
    places = {blob.sha256: blob.offset for blob in finished.blobs}
    for pack in group:
        moved = [
            BlobRecord(blob.sha256, blob.size_bytes, target.sha256, places[blob.sha256])
            for blob in pack.alive
            if blob.sha256 in places
        ]
        # A commit may have met a doomed pack of the same name: nothing has moved then.
        with suppress(BlobsGone):
            repository.catalog.move_blobs(
                pack.record.sha256, target, moved, confirm=repository.require_objects
            )
        reach_step("repack.moved", key)


def _grouped(packs: Iterable[PackContent]) -> Iterator[list[PackContent]]:
    """Packs whose living blobs fill one new pack."""
    group: list[PackContent] = []
    size_bytes = 0
    for pack in packs:
        group.append(pack)
        size_bytes += pack.alive_bytes
        if size_bytes >= PACK_TARGET_BYTES:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group
