"""Small blobs of packs that are elsewhere: each request brings their neighbours, too.

A pack holds the files of a directory side by side, so who reads one will read the next ones. A
request costs as much as a few hundred KiB more: the first one near some place asks for what
begins within the same 256 KiB, the second one for the rest of the same 4 MiB. Whoever reads one
small file here and there fetches little that is not needed, whoever reads them all makes a few
requests for a thousand files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256

from cachetools import LRUCache

from artfs import forks
from artfs.blobs.base import Namespace, ObjectKey
from artfs.blobs.cache import BlockCache
from artfs.catalog.base import Catalog
from artfs.catalog.records import BlobRecord
from artfs.content.remote import flight_timeout_s
from artfs.errors import BackendUnavailable, IntegrityError
from artfs.model import BLOCK_SIZE_BYTES, SMALL_BLOB_LIMIT_BYTES, ByteRange, Digest

WINDOW_BYTES = BLOCK_SIZE_BYTES
FIRST_BYTES = 256 * 1024

_MAX_GAP_BYTES = 256 * 1024
"""What is fetched in vain is still cheaper than another request."""
_MAX_BLOBS = 2048
"""In one request: each of them is a file of the cache."""
_MAX_TOUCHED = 65_536

ReadObject = Callable[[ObjectKey, ByteRange], bytes]


class PackedBlobs:
    """Fetches small blobs, and keeps those around them in the cache. Thread-safe."""

    def __init__(self, catalog: Catalog, read: ReadObject, cache: BlockCache) -> None:
        self._catalog = catalog
        self._read = read
        self._cache = cache
        self._lock = forks.lock()
        # Windows that something was fetched of.
        self._touched: LRUCache[tuple[Digest, int], bool] = LRUCache(_MAX_TOUCHED)

    def holds(self, record: BlobRecord) -> bool:
        """Whether this is the way to fetch a blob."""
        return record.pack is not None and record.size_bytes <= SMALL_BLOB_LIMIT_BYTES

    def fetch(self, record: BlobRecord) -> bytes:
        """The verified bytes of a blob, which its caller keeps; its neighbours are kept here.

        One thread of all processes fetches from a window at a time. Blocks: network, disk.
        Raises: BlobNotFound, IntegrityError, DeadlineExceeded, BackendUnavailable,
        PermissionDenied.
        """
        assert record.pack is not None
        if self._cache.bypassed:
            return self._fetch(record, [record])
        window = record.offset // WINDOW_BYTES
        with self._cache.flight(record.pack, window, timeout_s=flight_timeout_s()):
            kept = self._cache.read(record.sha256, 0, expected=record.sha256)
            if kept is not None:
                return bytes(kept)
            return self._fetch(record, self._missing_around(record, self._span(record, window)))

    def _span(self, record: BlobRecord, window: int) -> ByteRange:
        assert record.pack is not None
        with self._lock:
            again = self._touched.setdefault((record.pack, window), False)
            self._touched[record.pack, window] = True
        length = WINDOW_BYTES if again else FIRST_BYTES
        return ByteRange(record.offset // length * length, length)

    def _missing_around(self, record: BlobRecord, span: ByteRange) -> Sequence[BlobRecord]:
        """The blob, and those beside it that begin in `span` and are not in the cache."""
        assert record.pack is not None
        near: list[BlobRecord] = []
        # Where the catalog is gone, what was located before can still be fetched.
        with suppress(BackendUnavailable):
            near = self._catalog.pack_contents(record.pack, span)
        blobs = [
            blob
            for blob in near
            if blob == record
            or (0 < blob.size_bytes <= SMALL_BLOB_LIMIT_BYTES and not self._is_kept(blob))
        ]
        if record not in blobs:
            return [record]
        first = last = blobs.index(record)
        while last + 1 < len(blobs) and last - first < _MAX_BLOBS - 1:
            if not _is_close(blobs[last], blobs[last + 1]):
                break
            last += 1
        while first > 0 and last - first < _MAX_BLOBS - 1:
            if not _is_close(blobs[first - 1], blobs[first]):
                break
            first -= 1
        return blobs[first : last + 1]

    def _is_kept(self, blob: BlobRecord) -> bool:
        return self._cache.has(blob.sha256, 0)

    def _fetch(self, record: BlobRecord, blobs: Sequence[BlobRecord]) -> bytes:
        assert record.pack is not None
        start = blobs[0].offset
        stop = max(blob.offset + blob.size_bytes for blob in blobs)
        try:
            data = self._read(
                ObjectKey(Namespace.PACKS, record.pack), ByteRange(start, stop - start)
            )
        except IntegrityError:
            # The pack ends before its last blobs, which may not concern this one.
            if len(blobs) == 1:
                raise
            return self._fetch(record, [record])
        view = memoryview(data)
        wanted = b""
        for blob in blobs:
            part = bytes(view[blob.offset - start :][: blob.size_bytes])
            if blob == record:
                wanted = part
            elif sha256(part).digest() == blob.sha256 and not self._cache.bypassed:
                self._cache.put(blob.sha256, 0, part, proved_by=blob.sha256)
        check_digest(wanted, record.sha256)
        return wanted


def check_digest(data: bytes, digest: Digest) -> None:
    """Raises: IntegrityError where `data` is not what `digest` names."""
    if sha256(data).digest() != digest:
        raise IntegrityError(
            f"blob {digest.hex()}",
            "the stored bytes do not match their digest",
            hint="`artfs verify` names the files that it damages",
        )


def _is_close(blob: BlobRecord, following: BlobRecord) -> bool:
    return following.offset - (blob.offset + blob.size_bytes) <= _MAX_GAP_BYTES
