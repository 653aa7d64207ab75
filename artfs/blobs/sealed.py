"""Files of the cache that prove themselves, in leaves of 64 KiB: content, their digests, a seal.

So a read of some KiB hashes some KiB. The digests are BLAKE3's, which takes a quarter of the time
of SHA-256; the seal also says by what the content was proved before it was written, where it was:
its SHA-256, or the root of its block. The seal itself has a digest: what is torn, cut or damaged
shows when it is read, at the latest. It proves nothing about who can write here: this user can.
"""

from __future__ import annotations

import os
import struct
from typing import Self

import msgspec
from blake3 import blake3

from artfs.blobs.blocklists import DIGEST_BYTES, LEAF_BYTES, leaf_digests, root_of
from artfs.model import Buffer
from artfs.system.files import DirectFile, SharedDescriptor, pread_full

_MAGIC = b"artfsb2\n"
_UNKNOWN = bytes(DIGEST_BYTES)
_HEAD = struct.Struct(">8sQ32s")
_SEAL_BYTES = _HEAD.size + DIGEST_BYTES


class Seal(msgspec.Struct, frozen=True, gc=False):
    """What is behind the content of a sealed file."""

    size_bytes: int
    """Of the content."""
    digests: bytes
    """Of its leaves, one after the other."""
    proof: bytes | None
    """By what the content was proved before it was written; None where it was not."""

    @classmethod
    def of(cls, data: Buffer, proof: bytes | None) -> Self:
        """The seal of content that is right."""
        return cls(len(data), leaf_digests(data), proof)

    @property
    def root(self) -> bytes:
        """The root of the content, if that is a block."""
        return root_of(self.digests)

    def encode(self) -> bytes:
        """The bytes that stand behind the content."""
        head = _HEAD.pack(_MAGIC, self.size_bytes, self.proof or _UNKNOWN)
        return self.digests + head + blake3(self.digests + head).digest()

    def proves(self, first: int, data: Buffer) -> bool:
        """Whether `data` are whole leaves of the content, beginning with the leaf `first`."""
        found = leaf_digests(data)
        return self.digests[first * DIGEST_BYTES :][: len(found)] == found


def write_sealed(fd: int, data: Buffer, proof: bytes | None = None) -> Seal:
    """Write `data` and its seal into an empty file. Raises: OSError, also on a short write."""
    seal = Seal.of(data, proof)
    behind = seal.encode()
    # A disk that fills up shows as a short write first.
    if os.writev(fd, [data, behind]) != len(data) + len(behind):
        raise OSError("its disk is full")
    return seal


def _content_bytes(file_bytes: int) -> int:
    """The size of the content of a sealed file; below 0 for a file that is none."""
    rest = file_bytes - _SEAL_BYTES
    return rest - -(-rest // (LEAF_BYTES + DIGEST_BYTES)) * DIGEST_BYTES


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
        behind[-_SEAL_BYTES:-DIGEST_BYTES],
        behind[-DIGEST_BYTES:],
    )
    magic, length, proof = _HEAD.unpack(head)
    if magic != _MAGIC or length != size or told != blake3(digests + head).digest():
        return None
    return Seal(size, digests, None if proof == _UNKNOWN else proof)


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
