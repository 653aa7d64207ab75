"""Whether the objects of blobs are there that a catalog knows, where it costs little to ask."""

from __future__ import annotations

from collections.abc import Iterable

from artfs.blobs.base import Namespace, ObjectKey, ObjectStore
from artfs.catalog.base import Catalog
from artfs.catalog.records import BlobRecord
from artfs.errors import Unreadable
from artfs.model import Digest


class Presence:
    """Looks for lost objects of a store on a local disk, each pack once. Not thread-safe."""

    def __init__(self, catalog: Catalog, objects: ObjectStore) -> None:
        self._catalog = catalog
        self._objects = objects
        self._packs: dict[Digest, bool] = {}

    def lost(self, records: Iterable[BlobRecord]) -> set[Digest]:
        """The blobs whose object is missing, or has another size than it was stored with.

        Blocks: on the catalog and for the status of each object. Raises: BackendUnavailable,
        PermissionDenied.
        """
        found = list(records)
        self._look_at({blob.pack for blob in found if blob.pack is not None} - self._packs.keys())
        return {blob.sha256 for blob in found if not self._holds(blob)}

    def _holds(self, blob: BlobRecord) -> bool:
        if blob.pack is not None:
            return self._packs[blob.pack]
        return self._size(ObjectKey(Namespace.BLOBS, blob.sha256)) == blob.size_bytes

    def _look_at(self, packs: set[Digest]) -> None:
        if not packs:
            return
        # One that gc has removed since the blobs were located is not among them.
        sizes = {pack.sha256: pack.size_bytes for pack in self._catalog.packs(only=sorted(packs))}
        for pack in packs:
            key = ObjectKey(Namespace.PACKS, pack)
            self._packs[pack] = pack in sizes and self._size(key) == sizes[pack]

    def _size(self, key: ObjectKey) -> int | None:
        """The size of an object; None where it is lost, be it that its disk cannot tell."""
        try:
            return self._objects.size(key)
        except Unreadable:
            return None
