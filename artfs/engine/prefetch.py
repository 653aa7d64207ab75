"""Telling streams from random reads: in one open file, and from one file to the next."""

from __future__ import annotations

from artfs.model import BLOCK_SIZE_BYTES

MAX_WINDOW_BLOCKS = 8
MAX_DISTANT_WINDOW_BLOCKS = 16
"""Of content that is elsewhere: room for four requests of RUN_BLOCKS side by side."""
TOLERANCE_BYTES = 8 * 1024 * 1024
"""How far from the expected place a large request may be and still belong to the stream: the
kernel reads ahead by some MiB, with several requests at once that arrive in any order."""

_STEP_BYTES = 1024 * 1024
"""As much as one request where root has tuned the mount, and eight of 128 KiB elsewhere."""

_NO_STREAM_BYTES = _STEP_BYTES + 256 * 1024
"""One read of a MiB is no stream, though the kernel reads ahead behind it: 128 KiB of its own
accord, and as much again when its pages are asked for in another order."""

STREAMING_BYTES = 64 * 1024
"""Requests of this size come from the kernel's read-ahead, which has seen a stream itself."""


class ReadPattern:
    """Watches the reads of one handle; says how many blocks to load ahead of them.

    The window opens when large requests of a stream have gone on for more than a MiB, doubles
    with each further one, and closes when a read lands elsewhere. Small reads in a row open it
    where they enter a block; small reads here and there never do.
    """

    __slots__ = ("_began", "_end", "_streamed_bytes", "_window")

    def __init__(self) -> None:
        self._began = 0
        self._end = -1
        self._streamed_bytes = 0
        self._window = 0

    def observe(self, offset: int, length: int, *, most: int = MAX_WINDOW_BLOCKS) -> int:
        """Take note of one read; return the window: blocks to have ready behind the last read.

        It has `most` blocks at the most.
        """
        stop = offset + length
        large = length >= STREAMING_BYTES
        near = abs(offset - self._end) <= TOLERANCE_BYTES
        if self._end < 0 or not (offset == self._end or (large and near)):
            self._began, self._end = offset, stop
            self._streamed_bytes = length if large else 0
            self._window = 0
        elif stop > self._end:
            entered = (stop - 1) // BLOCK_SIZE_BYTES > (self._end - 1) // BLOCK_SIZE_BYTES
            self._streamed_bytes += stop - self._end if large else 0
            self._end = stop
            enough_bytes = _STEP_BYTES if self._window else _NO_STREAM_BYTES + 1
            if self._streamed_bytes >= enough_bytes or (entered and not large):
                self._streamed_bytes = 0
                self._window = min(self._window * 2 or 1, most)
        return self._window

    @property
    def is_scattered(self) -> bool:
        """Whether the last read belongs to those that began somewhere within the content."""
        return self._began > 0


MAX_FILES_AHEAD = 16
_FILES_IN_A_ROW = 3


class FilePattern:
    """Watches which files of a directory are read; says how many behind the last to load ahead.

    The window opens when some were read one soon after the other in their order, doubles with
    each further one, and closes when a read lands elsewhere. Several readers that share the work
    may be a little out of order.
    """

    __slots__ = ("_in_a_row", "_last", "_window")

    def __init__(self) -> None:
        self._last = -1
        self._in_a_row = 0
        self._window = 0

    def observe(self, position: int) -> int:
        """Take note of the first read of the file at `position`; return the window."""
        step = position - self._last
        if self._last < 0 or abs(step) > MAX_FILES_AHEAD:
            self._last, self._in_a_row, self._window = position, 1, 0
        elif step > 0:
            self._last = position
            self._in_a_row += 1
            if self._in_a_row >= _FILES_IN_A_ROW:
                self._window = min(self._window * 2 or 1, MAX_FILES_AHEAD)
        return self._window
