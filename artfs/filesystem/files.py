"""An open file of a version, as libraries read it: with a position, a buffer and verified bytes."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from artfs.content.base import Content, read_blocks
from artfs.errors import ArtfsError, ConfigError, InvalidName, StoreNotFound
from artfs.filesystem.infos import Info
from artfs.model import BLOCK_SIZE_BYTES, Buffer, ByteRange
from artfs.system.errnos import errno_of

_BUFFER_BYTES = 128 * 1024


@contextmanager
def as_os_errors(path: str) -> Generator[None]:
    """Errors of names, contents and connections become those that libraries expect of a file
    system, with the artfs error as their cause. Those of the store as a whole stay.
    """
    try:
        yield
    except (ConfigError, StoreNotFound):
        raise
    except ArtfsError as error:
        if isinstance(error, OSError):
            raise
        # Where nothing can have such a name, nothing is there.
        number = errno.ENOENT if isinstance(error, InvalidName) else errno_of(error)
        raise OSError(number, str(error), path) from error


class RangeReader:
    """Reads verified ranges of a content, and keeps the last block that it verified.

    Many small reads would verify a block each time otherwise, where the page cache cannot tell at
    once what is right. Threads may use it at once.
    """

    def __init__(self, content: Content) -> None:
        self.content = content
        # One object: threads replace it.
        self._last: tuple[int, Buffer] | None = None

    def read_into(self, target: memoryview, offset: int) -> int:
        """Fill `target` with the bytes from `offset` on; how many there are.

        Blocks and raises: as Content.load_block.
        """
        length = max(0, min(len(target), self.content.size_bytes - offset))
        if not length:
            return 0
        quick = self.content.try_read(ByteRange(offset, length))
        if quick is not None:
            target[:length] = quick
            return length
        first, last = offset // BLOCK_SIZE_BYTES, (offset + length - 1) // BLOCK_SIZE_BYTES
        index = first
        for block in self._blocks(first, last):
            start = index * BLOCK_SIZE_BYTES
            begin, end = max(offset, start), min(offset + length, start + len(block))
            target[begin - offset : end - offset] = memoryview(block)[begin - start : end - start]
            self._last = (index, block)
            index += 1
        return length

    def _blocks(self, first: int, last: int) -> Generator[Buffer]:
        kept = self._last
        if kept is not None and kept[0] == first:
            yield kept[1]
            first += 1
        if first <= last:
            yield from read_blocks(self.content, first, last - first + 1)


class _RawFile(io.RawIOBase):
    """The file below the buffer."""

    mode = "rb"

    def __init__(self, content: Content, path: str) -> None:
        self.name = path
        self._reader = RangeReader(content)
        self._size = content.size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._check_open()
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        if whence not in starts:
            raise ValueError(f"whence {whence!r} is not 0, 1 or 2")
        position = starts[whence] + offset
        if position < 0:
            raise ValueError(f"negative position {position}")
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        self._check_open()
        with memoryview(buffer) as view, view.cast("B") as target, as_os_errors(self.name):
            count = self._reader.read_into(target, self._position)
        self._position += count
        return count

    def readall(self) -> bytes:
        data = bytearray(max(0, self._size - self._position))
        return bytes(memoryview(data)[: self.readinto(data)])

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")


class ArtfsFile(io.BufferedReader):
    """What `open` gives. It can be pickled: the copy goes on where this one is, in the same
    version.
    """

    def __init__(self, fs: Any, place: OpenedPlace) -> None:
        super().__init__(_RawFile(place.content, place.path), _BUFFER_BYTES)
        self.fs = fs
        self.path = place.path
        self.size = place.content.size_bytes
        self.blocksize = BLOCK_SIZE_BYTES
        self._place = place

    @property
    def details(self) -> Info:
        """See `info`."""
        return self.info()

    @property
    def full_name(self) -> str:
        """The address, with its scheme."""
        return str(self.fs.unstrip_protocol(self.path))

    @property
    def loc(self) -> int:
        """The position, in bytes."""
        return self.tell()

    def info(self) -> Info:
        """What the file system said of it when it was opened."""
        return dict(self._place.info)

    def __reduce_ex__(self, protocol: Any) -> tuple[Callable[..., ArtfsFile], tuple[Any, ...]]:
        return _reopen, (self.fs, self._place.exact_address, self.tell())

    def __reduce__(self) -> tuple[Callable[..., ArtfsFile], tuple[Any, ...]]:
        return self.__reduce_ex__(2)

    def __repr__(self) -> str:
        return f"<ArtfsFile {self.path!r}>"


class OpenedPlace:
    """What a file is opened with."""

    __slots__ = ("content", "exact_address", "info", "path")

    def __init__(self, content: Content, path: str, exact_address: str, info: Info) -> None:
        self.content = content
        self.path = path
        self.exact_address = exact_address
        self.info = info


def _reopen(fs: Any, address: str, position: int) -> ArtfsFile:
    file: ArtfsFile = fs.open(address)
    file.seek(position)
    return file
