"""Files that prove by themselves that they are whole: bytes, then their length and SHA-256."""

from __future__ import annotations

import os
import struct
from hashlib import sha256

from artfs.model import Buffer
from artfs.system.direct_io import DirectFile
from artfs.system.files import OpenFile, pread_full

_TRAILER = struct.Struct(">8sQ32s")
_MAGIC = b"artfsb1\n"


def write_sealed(fd: int, data: Buffer) -> None:
    """Write `data` and its seal into an empty file. Raises: OSError, also on a short write."""
    trailer = _TRAILER.pack(_MAGIC, len(data), sha256(data).digest())
    # A disk that fills up shows as a short write first.
    if os.writev(fd, [data, trailer]) != len(data) + len(trailer):
        raise OSError("its disk is full")


def read_sealed(fd: int, expected: bytes | None = None) -> bytes | None:
    """The data of a sealed file; None where they are not those that were written.

    `expected` is a SHA-256 that the data must have, whatever the seal says. Raises: OSError.
    """
    size = os.fstat(fd).st_size - _TRAILER.size
    if size < 0:
        return None
    data = pread_full(fd, size, 0)
    trailer = pread_full(fd, _TRAILER.size, size)
    return data if _is_whole(data, trailer, size, expected) else None


def read_sealed_directly(opened: OpenFile, expected: bytes | None = None) -> memoryview | None:
    """As `read_sealed`, past the page cache where the file is not in it: for large files."""
    size = os.fstat(opened.fd).st_size - _TRAILER.size
    if size < 0:
        return None
    found = DirectFile(opened).read(size + _TRAILER.size, 0)
    data, trailer = found[:size], found[size:]
    return data if _is_whole(data, trailer, size, expected) else None


def _is_whole(
    data: bytes | memoryview, trailer: bytes | memoryview, size: int, expected: bytes | None
) -> bool:
    if len(data) != size or len(trailer) != _TRAILER.size:
        return False
    magic, length, written = _TRAILER.unpack(trailer)
    if magic != _MAGIC or length != size:
        return False
    return bool(sha256(data).digest() == (expected or written))
