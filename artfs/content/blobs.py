"""Reading blobs: where they are, and proof that their bytes are right."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import closing, suppress

from cachetools import LRUCache

from artfs import forks
from artfs.blobs.base import Namespace, ObjectKey, ObjectStore
from artfs.blobs.cache import WHOLE, BlockCache
from artfs.catalog.base import Catalog
from artfs.catalog.records import BlobRecord, PackRecord
from artfs.content.base import Content
from artfs.content.local_files import OpenFiles, ProvenBlocks, state_to_prove
from artfs.content.proofs import Proof, Proofs
from artfs.content.remote import CachedContent
from artfs.content.remote_packs import PackedBlobs, check_digest
from artfs.content.stored_blocks import StoredBlocks, does_not_match
from artfs.errors import BlobNotFound, IntegrityError, Unreadable
from artfs.manifest.entries import FileEntry
from artfs.model import BLOCK_SIZE_BYTES, BlockList, Buffer, ByteRange, Digest, block_range
from artfs.system.files import DirectFile, SharedDescriptor, pread_full
from artfs.system.oserrors import reading_content

_MAX_LOCATIONS = 32_768
_MAX_PROVEN_BLOBS = 4096
_DIRECT_BYTES = 1024 * 1024


class BlobReader:
    """Blobs of one store by SHA-256. Thread-safe; remembers locations and proven blocks."""

    def __init__(
        self,
        catalog: Catalog,
        objects: ObjectStore,
        *,
        cache: BlockCache | None = None,
        read_directly: bool = False,
    ) -> None:
        """`cache` keeps what was read of objects that are not local.

        `read_directly`: large local blobs are read past the page cache.
        """
        self._cache = cache
        self._catalog = catalog
        self._objects = objects
        self.read_directly = read_directly
        self._files = OpenFiles(objects)
        self._locations: LRUCache[Digest, BlobRecord] = LRUCache(_MAX_LOCATIONS)
        # By the block list too: one that lies must not vouch for those who have the right one.
        self._proven: LRUCache[tuple[Digest, BlockList | None], ProvenBlocks] = LRUCache(
            _MAX_PROVEN_BLOBS
        )
        self._proofs = Proofs(self, cache)
        self._lock = forks.lock()
        self._packed = None if cache is None else PackedBlobs(catalog, self._read_range, cache)

    def prepare(self, wanted: Iterable[Digest]) -> None:
        """Find out where these blobs are, in one query; unknown ones are left out.

        What is in the cache needs no catalog, which may be out of reach.
        Blocks: on the catalog. Raises: BackendUnavailable.
        """
        cache = self._cache
        if cache is not None:
            wanted = [digest for digest in wanted if not cache.has(digest, 0)]
        self._locate_all(wanted)

    def _locate_all(self, wanted: Iterable[Digest]) -> None:
        with self._lock:
            missing = [digest for digest in wanted if digest not in self._locations]
        if missing:
            found = self._catalog.locate(missing)
            with self._lock:
                self._locations.update(found)

    def read(self, digest: Digest) -> bytes:
        """All bytes of a blob, verified as a whole: meant for small ones and metadata.

        Blocks: on catalog, disk or network. Raises: BlobNotFound, IntegrityError,
        BackendUnavailable, PermissionDenied.
        """
        cache = self._cache
        if cache is None:
            return self.fetch(digest)
        for index in (0, WHOLE):
            cached = cache.read(digest, index, expected=digest)
            if cached is not None:
                return bytes(cached)
        data = self.fetch(digest)
        # Where it would be as the content of a file: it may be that, too, or a neighbour of one.
        index = 0 if len(data) <= BLOCK_SIZE_BYTES else WHOLE
        if not cache.has(digest, index):
            cache.put(digest, index, data, proved_by=digest)
        return data

    def fetch(self, digest: Digest) -> bytes:
        """All bytes of a blob from the store, verified; with a cache its neighbours are kept there.

        Blocks and raises as `read` does.
        """
        record = self.locate(digest)
        try:
            return self._fetch(record)
        except BlobNotFound:
            # gc may have moved it into another pack since it was located.
            self._forget(record)
            return self._fetch(self.locate(digest))

    def _fetch(self, record: BlobRecord) -> bytes:
        if self._packed is not None and self._packed.holds(record):
            return self._packed.fetch(record)
        data = self._read_object(record, ByteRange(0, record.size_bytes))
        check_digest(data, record.sha256)
        return data

    def content(self, entry: FileEntry) -> Content:
        """The content of a file entry. Blocks: on the catalog, and to read a block list.

        Raises: BlobNotFound, IntegrityError, BackendUnavailable, PermissionDenied.
        """
        if self._cache is not None:
            # What is cached needs no catalog.
            blocks = StoredBlocks(self, entry, self._proofs.of(entry))
            return CachedContent(self._cache, entry.sha256, entry.size_bytes, blocks)
        record = self.locate(entry.sha256)
        if record.size_bytes != entry.size_bytes:
            raise IntegrityError(
                f"blob {entry.sha256.hex()}",
                f"{record.size_bytes} bytes are stored, {entry.size_bytes} were committed",
            )
        return BlobContent(self, entry, self._proofs.of(entry))

    def locate(self, digest: Digest) -> BlobRecord:
        """Where a blob is. Blocks: on the catalog. Raises: BlobNotFound, BackendUnavailable."""
        with self._lock:
            record = self._locations.get(digest)
        if record is None:
            self._locate_all([digest])
            with self._lock:
                record = self._locations.get(digest)
        if record is None:
            raise BlobNotFound(f"blob {digest.hex()}", "the store does not have it")
        return record

    def read_span(self, digest: Digest, span: ByteRange) -> bytes:
        """Bytes of a blob, unverified. Blocks and raises as `read` does."""
        record = self.locate(digest)
        try:
            return self._read_object(record, span)
        except BlobNotFound:
            # gc may have moved it into another pack since it was located.
            self._forget(record)
            return self._read_object(self.locate(digest), span)

    def stream(self, digest: Digest, span: ByteRange, *, piece_bytes: int) -> Generator[bytes]:
        """Bytes of a blob, unverified, as they come: pieces of that size, the last one shorter.

        Whoever stops before the end closes the generator. Blocks and raises, at each, as `read`.
        """
        record = self.locate(digest)
        start = span.start
        try:
            with closing(self._stream_object(record, span, piece_bytes)) as pieces:
                for piece in pieces:
                    start += len(piece)
                    yield piece
        except BlobNotFound:
            # As above.
            self._forget(record)
            rest = ByteRange(start, span.stop - start)
            yield from self._stream_object(self.locate(digest), rest, piece_bytes)

    def open_file(self, digest: Digest) -> tuple[SharedDescriptor, int] | None:
        """The local file that holds a blob and the blob's offset in it; None if not local.

        Blocks: on the catalog. Raises: BlobNotFound, BackendUnavailable, PermissionDenied.
        """
        record = self.locate(digest)
        try:
            return self._open(record)
        except BlobNotFound:
            # As above.
            self._forget(record)
            return self._open(self.locate(digest))

    def _open(self, record: BlobRecord) -> tuple[SharedDescriptor, int] | None:
        opened = self._files.get(stored_object(record))
        return None if opened is None else (opened, record.offset)

    def whole_file(self, entry: FileEntry) -> SharedDescriptor | None:
        """The local file that holds this content and nothing else; None where there is none.

        It is not verified. Blocks: on the catalog. Raises: BlobNotFound, BackendUnavailable,
        PermissionDenied.
        """
        record = self.locate(entry.sha256)
        if record.pack is not None:
            return None
        key = stored_object(record)
        opened = self._files.get(key)
        with reading_content(key):
            if opened is None or os.fstat(opened.fd).st_size != entry.size_bytes:
                return None
        return opened

    def proven_blocks(self, entry: FileEntry) -> ProvenBlocks:
        """What was proved of a file's content; shared by all who read it."""
        with self._lock:
            key = (entry.sha256, entry.blocks)
            found: ProvenBlocks | None = self._proven.get(key)
            if found is None:
                found = self._proven[key] = ProvenBlocks(entry.size_bytes)
            return found

    def _read_object(self, record: BlobRecord, span: ByteRange) -> bytes:
        start = record.offset + span.start
        return self._read_range(stored_object(record), ByteRange(start, span.length))

    def _stream_object(
        self, record: BlobRecord, span: ByteRange, piece_bytes: int
    ) -> Generator[bytes]:
        key, start = stored_object(record), record.offset + span.start
        if self._files.get(key) is None:
            span = ByteRange(start, span.length)
            yield from self._objects.stream(key, span, piece_bytes=piece_bytes)
            return
        for at in range(span.start, span.stop, piece_bytes):
            yield self._read_object(record, ByteRange(at, min(piece_bytes, span.stop - at)))

    def _read_range(self, key: ObjectKey, span: ByteRange) -> bytes:
        opened = self._files.get(key)
        if opened is None:
            return self._objects.read(key, span)
        with reading_content(key):
            data = pread_full(opened.fd, span.length, span.start)
        if len(data) != span.length:
            raise IntegrityError(f"object {key}", f"it ends before byte {span.stop}")
        return data

    def forget(self, digest: Digest) -> None:
        """Find out again where a blob is when it is wanted next."""
        with self._lock:
            record = self._locations.get(digest)
        if record is not None:
            self._forget(record)

    def _forget(self, record: BlobRecord) -> None:
        self._files.forget(stored_object(record))
        with self._lock:
            self._locations.pop(record.sha256, None)


class BlobContent(Content):
    """The bytes of one blob."""

    __slots__ = (
        "_blobs",
        "_digest",
        "_direct",
        "_proof",
        "_proven",
        "_size",
        "_where",
    )

    def __init__(self, blobs: BlobReader, entry: FileEntry, proof: Proof) -> None:
        self._blobs = blobs
        self._digest = entry.sha256
        self._size = entry.size_bytes
        self._proof = proof
        self._proven = blobs.proven_blocks(entry)
        # The file that holds it, and where in it. One object: threads replace it.
        self._where: tuple[SharedDescriptor, int] | None = None
        self._direct: DirectFile | None = None

    @property
    def size_bytes(self) -> int:
        """See Content."""
        return self._size

    @property
    def any_order(self) -> bool:
        """See Content."""
        return True

    def try_read(self, span: ByteRange) -> Buffer | None:
        """See Content: serves blocks that were proved before, from the page cache."""
        if span.length == 0:
            return b""
        where = self._where
        if where is None:
            return None
        file, offset = where
        first, last = span.start // BLOCK_SIZE_BYTES, (span.stop - 1) // BLOCK_SIZE_BYTES
        if not self._proven.seem_proved(first, last):
            return None
        data = bytearray(span.length)
        try:
            count = os.preadv(file.fd, [data], offset + span.start, os.RWF_NOWAIT)
            if count == span.length and self._proven.are_proved(first, last, file.fd):
                return data
        except OSError:
            # Not in memory, or a file system without RWF_NOWAIT: load_block says what is wrong.
            pass
        return None

    def load_block(self, index: int) -> Buffer:
        """See Content."""
        span = block_range(index, self._size)
        where = self._where
        if where is None:
            where = self._where = self._blobs.open_file(self._digest)
        if where is None:
            data: Buffer = self._blobs.read_span(self._digest, span)
            self._check(index, data)
            return data
        file, offset = where
        try:
            with reading_content(f"blob {self._digest.hex()}"):
                state, lasts = state_to_prove(file.fd)
                data = self._read(file, ByteRange(offset + span.start, span.length))
        except Unreadable:
            self._give_up(index)
            raise
        # Also where it is too short. Checked again on every load: a disk, unlike a page cache, may
        # answer differently later.
        self._check(index, data)
        if lasts:
            self._proven.prove(index, state)
        return data

    def _read(self, file: SharedDescriptor, span: ByteRange) -> Buffer:
        if self._blobs.read_directly and span.length >= _DIRECT_BYTES:
            direct = self._direct
            if direct is None or direct.opened is not file:
                direct = self._direct = DirectFile(file)
            # What is missing is read again the usual way, which says what is wrong.
            with suppress(OSError):
                data = direct.read(span.length, span.start)
                if len(data) == span.length:
                    return data
        return pread_full(file.fd, span.length, span.start)

    def _check(self, index: int, data: Buffer) -> None:
        if not self._proof.blocks.proves(index, data):
            self._give_up(index)
            raise does_not_match(self._digest, f"block {index}")

    def _give_up(self, index: int) -> None:
        """A block is damaged: it may be stored again, in its place or in another one."""
        self._proven.drop(index)
        self._where = self._direct = None
        self._blobs.forget(self._digest)


def stored_object(record: BlobRecord | PackRecord) -> ObjectKey:
    """The stored object of a pack or of a blob, which may be one of its own."""
    if isinstance(record, PackRecord):
        return ObjectKey(Namespace.PACKS, record.sha256)
    if record.pack is not None:
        return ObjectKey(Namespace.PACKS, record.pack)
    return ObjectKey(Namespace.BLOBS, record.sha256)
