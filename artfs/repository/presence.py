"""Whether the objects are there that a catalog knows, or is about to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from artfs.blobs.base import Namespace, ObjectKey, ObjectStore
from artfs.blobs.local import LocalObjectStore
from artfs.catalog.base import Catalog
from artfs.catalog.blob_port import BlobsGone
from artfs.catalog.records import BlobRecord, PackRecord
from artfs.errors import Unreadable
from artfs.model import Digest

_PARALLEL_REQUESTS = 16


def require_objects(
    objects: ObjectStore, packs: Sequence[PackRecord], blobs: Sequence[BlobRecord]
) -> None:
    """Prove that what was stored is there, in the transaction that names it.

    Blocks: for the status of each object; elsewhere than on a local disk for some requests at once.
    Raises: BlobsGone; BackendUnavailable, PermissionDenied.
    """
    sizes = {ObjectKey(Namespace.PACKS, pack.sha256): pack.size_bytes for pack in packs}
    for blob in blobs:
        if blob.pack is None:
            sizes[ObjectKey(Namespace.BLOBS, blob.sha256)] = blob.size_bytes
    if len(sizes) > 1 and not isinstance(objects, LocalObjectStore):
        with ThreadPoolExecutor(_PARALLEL_REQUESTS, "artfs proof") as threads:
            found = list(threads.map(objects.size, sizes))
    else:
        found = [objects.size(key) for key in sizes]
    gone = [key for key, size in zip(sizes, found, strict=True) if size != sizes[key]]
    if gone:
        raise BlobsGone(
            [key.sha256 for key in gone if key.namespace is Namespace.BLOBS],
            packs=[key.sha256 for key in gone if key.namespace is Namespace.PACKS],
        )


class Presence:
    """Looks for lost objects of a store on a local disk, each time it is asked."""

    def __init__(self, catalog: Catalog, objects: ObjectStore) -> None:
        self._catalog = catalog
        self._objects = objects

    def lost(self, records: Iterable[BlobRecord]) -> set[Digest]:
        """The blobs whose object is missing, or has another size than it was stored with.

        Blocks: on the catalog and for the status of each object. Raises: BackendUnavailable,
        PermissionDenied.
        """
        found = list(records)
        packs = self._packs_that_are_there({blob.pack for blob in found if blob.pack is not None})
        return {blob.sha256 for blob in found if not self._holds(blob, packs)}

    def _holds(self, blob: BlobRecord, packs: set[Digest]) -> bool:
        if blob.pack is not None:
            return blob.pack in packs
        return self._size(ObjectKey(Namespace.BLOBS, blob.sha256)) == blob.size_bytes

    def _packs_that_are_there(self, packs: set[Digest]) -> set[Digest]:
        if not packs:
            return set()
        # One that gc has removed since the blobs were located is not among them.
        return {
            pack.sha256
            for pack in self._catalog.packs(only=sorted(packs))
            if self._size(ObjectKey(Namespace.PACKS, pack.sha256)) == pack.size_bytes
        }

    def _size(self, key: ObjectKey) -> int | None:
        """The size of an object; None where it is lost, be it that its disk cannot tell."""
        try:
            return self._objects.size(key)
        except Unreadable:
            return None
