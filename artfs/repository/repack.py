"""Writing packs anew that hold little of use any more. Used by gc alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.blobs.packs import PACK_TARGET_BYTES, PackWriter
from artfs.catalog.base import BlobRecord, Catalog, PackRecord
from artfs.errors import BlobNotFound, IntegrityError
from artfs.model import Digest
from artfs.repository.facade import Repository

_SPARSE = 0.5
"""A pack is written anew when less than this share of it is alive."""

_INDEX_ENTRY_BYTES = 44
"""What a blob costs in a pack's footer, about."""

SparsePack = tuple[PackRecord, list[BlobRecord]]
"""A pack that is mostly dead, and the blobs in it that are not."""


def find_packs(catalog: Catalog, gone: set[Digest]) -> tuple[list[PackRecord], list[SparsePack]]:
    """Packs that hold nothing and packs that hold little, once the blobs `gone` are not counted.

    Blocks: on listing all blobs.
    """
    packs = list(catalog.packs())
    alive: dict[Digest, list[BlobRecord]] = {pack.sha256: [] for pack in packs}
    for blob in catalog.blobs():
        if blob.pack in alive and blob.sha256 not in gone:
            alive[blob.pack].append(blob)
    empty = [pack for pack in packs if not alive[pack.sha256]]
    sparse = [
        (pack, alive[pack.sha256])
        for pack in packs
        if alive[pack.sha256] and _alive_bytes(alive[pack.sha256]) < _SPARSE * pack.size_bytes
    ]
    return empty, sparse


def write_anew(repository: Repository, packs: Iterable[list[BlobRecord]]) -> None:
    """Copy blobs into new packs, and record where they are now; damaged ones stay.

    Blocks: on reading and writing all of them. Raises: OutOfSpace, PermissionDenied,
    BackendUnavailable.
    """
    for group in _grouped(packs):
        with PackWriter(repository.workspace.new_temporary("gc")) as writer:
            for blob in group:
                try:
                    writer.add(blob.sha256, repository.blobs.read(blob.sha256))
                except (IntegrityError, BlobNotFound):
                    continue
            if writer.size_bytes:
                _install(repository, writer)


def _install(repository: Repository, writer: PackWriter) -> None:
    finished = writer.finish()
    pack = PackRecord(finished.sha256, finished.size_bytes)
    try:
        key = ObjectKey(Namespace.PACKS, pack.sha256)
        repository.objects.put(key, writer.path, transfer=Transfer.MOVE)
    finally:
        writer.discard()
    repository.catalog.move_blobs(
        pack,
        [
            BlobRecord(blob.sha256, blob.size_bytes, pack.sha256, blob.offset)
            for blob in finished.blobs
        ],
    )


def _alive_bytes(blobs: Iterable[BlobRecord]) -> int:
    return sum(blob.size_bytes + _INDEX_ENTRY_BYTES for blob in blobs)


def _grouped(packs: Iterable[list[BlobRecord]]) -> Iterator[list[BlobRecord]]:
    """The blobs of several packs, in groups that fill a pack each."""
    group: list[BlobRecord] = []
    size_bytes = 0
    for blobs in packs:
        for blob in blobs:
            group.append(blob)
            size_bytes += blob.size_bytes
            if size_bytes >= PACK_TARGET_BYTES:
                yield group
                group, size_bytes = [], 0
    if group:
        yield group
