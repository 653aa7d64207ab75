"""Reading large local blobs past the page cache.

A mount's pages are kept by the kernel already. Reading blobs through the page cache as well would
hold everything twice, and cost a stream a quarter of its CPU time in copies and page faults.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

from artfs.system.files import OpenFile, fill_buffer

_ALIGNMENT_BYTES = 4096


class DirectFile:
    """A local file, read into buffers of huge pages; from the page cache only what is there."""

    def __init__(self, opened: OpenFile) -> None:
        self.opened = opened
        self._direct: OpenFile | None = None
        with suppress(OSError):
            # The file may have no name any more; its descriptor always has one.
            flags = os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC
            self._direct = OpenFile(os.open(f"/proc/self/fd/{opened.fd}", flags))

    def read(self, length: int, offset: int) -> memoryview:
        """`length` bytes from `offset`, fewer only where the file ends.

        Blocks: on disk. Raises: OSError.
        """
        space = -(-length // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        pages = mmap.mmap(-1, space, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
        buffer = memoryview(pages)
        if self._direct is not None and offset % _ALIGNMENT_BYTES == 0 and not self._has(offset):
            # Not every file system that opens a file so also reads it so.
            with suppress(OSError):
                count = os.preadv(self._direct.fd, [buffer], offset)
                if count >= length:
                    return buffer[:length]
        return buffer[: fill_buffer(self.opened.fd, buffer[:length], offset)]

    def _has(self, offset: int) -> bool:
        """Whether the page cache has the byte at `offset`, and so likely those behind it."""
        try:
            return os.preadv(self.opened.fd, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
        except OSError:
            return False
