"""Packs: one stored object that holds many small blobs.

    blob bytes, back to back
    index      msgpack array of [sha256, offset, size_bytes], in the order of the bytes
    trailer    index size (8 bytes, little-endian), SHA-256 of the index (32 bytes),
               format version (4 bytes, little-endian), magic (8 bytes)

The catalog says where a blob is; the footer (index and trailer) repeats it, for who rebuilds a lost
catalog (upkeep/rebuild.py). A pack is named by the SHA-256 of all its bytes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from io import BufferedWriter, FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from artfs.decoding import analysed
from artfs.errors import UNDECODABLE, IntegrityError, InvalidManifest
from artfs.model import ByteRange, Digest
from artfs.system.files import pread_full
from artfs.system.oserrors import translate_os_errors

PACK_TARGET_BYTES = 32 * 1024 * 1024
"""A pack of this size is finished and the next one begun. A single blob may make it larger."""

FORMAT_VERSION = 1
_MAGIC = b"artfspak"
_TRAILER = struct.Struct("<Q32sI8s")
_TAIL_READ_BYTES = 64 * 1024
_WRITE_BUFFER_BYTES = 1024 * 1024
_DIGEST_BYTES = 32


class PackedBlob(msgspec.Struct, frozen=True, array_like=True):
    """Where a blob is in its pack: `size_bytes` from `offset`, in bytes."""

    sha256: Digest
    offset: int
    size_bytes: int


class FinishedPack(msgspec.Struct, frozen=True):
    """A complete pack file: its name, its size and what it holds, in the order of the bytes."""

    sha256: Digest
    size_bytes: int
    blobs: Sequence[PackedBlob]


class PackWriter:
    """Writes one new pack file at `path`. For one thread.

    A context: without `finish` it leaves no file behind. Nothing is fsynced; `ObjectStore.put`
    does that. Every method raises OutOfSpace, PermissionDenied or BackendUnavailable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digest = sha256()
        self._blobs: dict[Digest, PackedBlob] = {}
        self._size_bytes = 0
        self._finished = False
        with translate_os_errors(path):
            self._raw = FileIO(path, "x+")
        self._file = BufferedWriter(self._raw, _WRITE_BUFFER_BYTES)

    @property
    def size_bytes(self) -> int:
        """The size of the blobs so far."""
        return self._size_bytes

    def add(self, sha256: Digest, data: bytes) -> int:
        """Append a blob, whose digest the caller vouches for; its offset.

        A blob that is in the pack already is not added again.
        """
        known = self._blobs.get(sha256)
        if known is not None:
            return known.offset
        offset = self._size_bytes
        self._write(data)
        self._blobs[sha256] = PackedBlob(sha256, offset, len(data))
        return offset

    def finish(self) -> FinishedPack:
        """Write the footer and close the file."""
        blobs = list(self._blobs.values())
        index = msgspec.msgpack.encode(blobs)
        self._write(index)
        self._write(_TRAILER.pack(len(index), sha256(index).digest(), FORMAT_VERSION, _MAGIC))
        with translate_os_errors(self.path):
            self._file.close()
        self._finished = True
        return FinishedPack(Digest(self._digest.digest()), self._size_bytes, blobs)

    def flush(self) -> None:
        """Write to the file what was added so far."""
        with translate_os_errors(self.path):
            self._file.flush()

    @property
    def is_written(self) -> bool:
        """Whether the file has all that was added."""
        with translate_os_errors(self.path):
            return os.fstat(self._raw.fileno()).st_size >= self._size_bytes

    def copy_to(self, path: Path) -> PackWriter:
        """A writer of a new file with what was added, and written, so far.

        Raises: IntegrityError where not all of it is in the file.
        """
        made = PackWriter(path)
        with translate_os_errors(path):
            # Not by the file's position, which is its parent's, too, after a fork.
            data = pread_full(self._raw.fileno(), self._size_bytes, 0)
            made._file.write(data)
        if len(data) != self._size_bytes:
            made.discard()
            raise IntegrityError(str(self.path), "it does not have what was written to it")
        made._digest = self._digest.copy()
        made._blobs = dict(self._blobs)
        made._size_bytes = self._size_bytes
        return made

    def let_go(self) -> None:
        """Close the file, and leave it to the process that made it."""
        with suppress(OSError):
            self._raw.close()

    def discard(self) -> None:
        """Remove the file, finished or not, where it still is."""
        # The raw file: closing the buffered one would try to write what a full disk refused.
        with translate_os_errors(self.path):
            self._raw.close()
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if not self._finished:
            self.discard()

    def _write(self, data: bytes) -> None:
        with translate_os_errors(self.path):
            self._file.write(data)
        self._digest.update(data)
        self._size_bytes += len(data)


def read_footer(read: Callable[[ByteRange], bytes], size_bytes: int) -> list[PackedBlob]:
    """What a pack of `size_bytes` holds, according to its own footer.

    `read` returns exactly the bytes asked for; one call suffices for most packs, two for all.
    Raises: IntegrityError for damage; InvalidManifest for an index that no artfs wrote, or only
    a newer one; what `read` raises.
    """
    if size_bytes < _TRAILER.size:
        raise IntegrityError("pack", f"{size_bytes} bytes are too few for its trailer")
    tail_bytes = min(size_bytes, _TAIL_READ_BYTES)
    tail = read(ByteRange(size_bytes - tail_bytes, tail_bytes))
    index_bytes, index_sha256, version, magic = _TRAILER.unpack_from(
        tail, len(tail) - _TRAILER.size
    )
    if magic != _MAGIC:
        raise IntegrityError("pack", "its trailer is damaged, or it is no pack")
    if version != FORMAT_VERSION:
        raise InvalidManifest("pack", f"format version {version}", hint="a newer artfs may read it")
    index_start = size_bytes - _TRAILER.size - index_bytes
    if index_start < 0:
        raise IntegrityError("pack", "its index is larger than the pack")
    if index_bytes + _TRAILER.size <= tail_bytes:
        index = tail[tail_bytes - _TRAILER.size - index_bytes : tail_bytes - _TRAILER.size]
    else:
        index = read(ByteRange(index_start, index_bytes))
    if sha256(index).digest() != index_sha256:
        raise IntegrityError("pack", "its index does not match its checksum")
    return _checked_index(index, index_start)


_index_decoder = msgspec.msgpack.Decoder(analysed(list[PackedBlob]))


def _checked_index(index: bytes, index_start: int) -> list[PackedBlob]:
    try:
        blobs = _index_decoder.decode(index)
    except UNDECODABLE as error:
        raise InvalidManifest("pack index", str(error)) from None
    position = 0
    for blob in blobs:
        if len(blob.sha256) != _DIGEST_BYTES or blob.offset != position or blob.size_bytes < 0:
            raise InvalidManifest("pack index", f"the entry for byte {position} makes no sense")
        position += blob.size_bytes
    if position != index_start:
        raise InvalidManifest("pack index", f"covers {position} of {index_start} bytes")
    return blobs
