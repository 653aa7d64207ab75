"""Files of the cache that prove themselves, in leaves of 64 KiB: content, their digests, a seal.

So a read of some KiB hashes some KiB. The digests are BLAKE3's, which takes a quarter of the time
of SHA-256; the seal also says by which SHA-256 the content was proved before it was written, where
there was one. The seal itself has a digest: what is torn, cut or damaged shows, at the latest when
it is read. It proves nothing about whoever can write here, who is this user.
"""

from __future__ import annotations

import os
import struct
from typing import Self

import msgspec
from blake3 import blake3

from artfs.model import Buffer, ByteRange
from artfs.system.files import DirectFile, SharedDescriptor, pread_full

LEAF_BYTES = 64 * 1024

_MAGIC = b"artfsb2\n"
_DIGEST_BYTES = 32
_UNKNOWN = bytes(_DIGEST_BYTES)
_HEAD = struct.Struct(">8sQ32s")
_SEAL_BYTES = _HEAD.size + _DIGEST_BYTES


def leaf_count(size_bytes: int) -> int:
    """How many leaves content of this size has."""
    return -(-size_bytes // LEAF_BYTES)


def leaves_of(span: ByteRange) -> range:
    """The leaves in which a span, of a byte at least, lies."""
    return range(span.start // LEAF_BYTES, leaf_count(span.stop))


class Seal(msgspec.Struct, frozen=True, gc=False):
    """What is behind the content of a sealed file."""

    size_bytes: int
    """Of the content."""
    digests: bytes
    """Of its leaves, one after the other."""
    sha256: bytes | None
    """Of the content, if it was compared with that before it was written."""

    @classmethod
    def of(cls, data: Buffer, sha256: bytes | None) -> Self:
        """The seal of content that is right."""
        view = memoryview(data)
        digests = b"".join(
            blake3(view[start : start + LEAF_BYTES]).digest()
            for start in range(0, len(view), LEAF_BYTES)
        )
        return cls(len(view), digests, sha256)

    def encode(self) -> bytes:
        """The bytes that stand behind the content."""
        head = _HEAD.pack(_MAGIC, self.size_bytes, self.sha256 or _UNKNOWN)
        return self.digests + head + blake3(self.digests + head).digest()

    def proves(self, first: int, data: Buffer) -> bool:
        """Whether `data` are whole leaves of the content, beginning with the leaf `first`."""
        view = memoryview(data)
        for number, start in enumerate(range(0, len(view), LEAF_BYTES), first):
            wanted = self.digests[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES]
            if blake3(view[start : start + LEAF_BYTES]).digest() != wanted:
                return False
        return True


def write_sealed(fd: int, data: Buffer, sha256: bytes | None = None) -> Seal:
    """Write `data` and its seal into an empty file. Raises: OSError, also on a short write."""
    seal = Seal.of(data, sha256)
    behind = seal.encode()
    # A disk that fills up shows as a short write first.
    if os.writev(fd, [data, behind]) != len(data) + len(behind):
        raise OSError("its disk is full")
    return seal


def _content_bytes(file_bytes: int) -> int:
    """The size of the content of a sealed file; below 0 for a file that is none."""
    rest = file_bytes - _SEAL_BYTES
    return rest - -(-rest // (LEAF_BYTES + _DIGEST_BYTES)) * _DIGEST_BYTES


def read_seal(fd: int) -> Seal | None:
    """The seal of a file; None where it has none that is whole. Raises: OSError."""
    file_bytes = os.fstat(fd).st_size
    size = _content_bytes(file_bytes)
    if size < 0:
        return None
    behind = pread_full(fd, file_bytes - size, size)
    if len(behind) != file_bytes - size:
        return None
    digests, head, told = (
        behind[:-_SEAL_BYTES],
        behind[-_SEAL_BYTES:-_DIGEST_BYTES],
        behind[-_DIGEST_BYTES:],
    )
    magic, length, sha256 = _HEAD.unpack(head)
    if magic != _MAGIC or length != size or told != blake3(digests + head).digest():
        return None
    return Seal(size, digests, None if sha256 == _UNKNOWN else sha256)


def read_sealed(opened: SharedDescriptor, *, directly: bool = False) -> tuple[Buffer, Seal] | None:
    """All content of a sealed file, and its seal; None where it is not what was written.

    `directly`: past the page cache where the file is not in it, for large ones. Raises: OSError.
    """
    seal = read_seal(opened.fd)
    if seal is None:
        return None
    data: Buffer
    if directly:
        data = DirectFile(opened).read(seal.size_bytes, 0)
    else:
        data = pread_full(opened.fd, seal.size_bytes, 0)
    return (data, seal) if len(data) == seal.size_bytes and seal.proves(0, data) else None
