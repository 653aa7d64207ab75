"""What was proved of a file holds while the file stays as it was.

Blocks are compared with their digest once, and served from the page cache afterwards. Whoever has
the rights can change a file in place all the same, through any of its names; then its status
changes, and everything is proved anew. Our own chmod and link change it, too: another proof it is.
"""

from __future__ import annotations

import time

from artfs.model import block_count
from artfs.system.files import FileState, file_state

_TICK_NS = 20_000_000
"""Older kernels know times to the tick: two changes within one look like one."""


class ProvenBlocks:
    """Which blocks of one content have been proved, in which file. Thread-safe, without a lock:
    of two changes at once one may be lost, and its block is proved once more.
    """

    __slots__ = ("_count", "_known")

    def __init__(self, size_bytes: int) -> None:
        self._count = block_count(size_bytes)
        # One object: who looks at it sees blocks and state that belong together.
        self._known: tuple[FileState | None, bytearray] = (None, bytearray(self._count))

    def prove(self, index: int, state: FileState) -> None:
        """A block was found right; `state` is the file's, from before the block was read."""
        if 0 <= time.time_ns() - state.ctime_ns < _TICK_NS:
            return
        known = self._known
        if known[0] == state:
            known[1][index] = 1
            return
        proved = bytearray(self._count)
        proved[index] = 1
        self._known = (state, proved)

    def drop(self, index: int) -> None:
        """A block was found wrong."""
        self._known[1][index] = 0

    def seem_proved(self, first: int, last: int) -> bool:
        """Whether these blocks were proved, in whatever file: worth reading them."""
        return all(self._known[1][first : last + 1])

    def are_proved(self, first: int, last: int, fd: int) -> bool:
        """Whether what was read of these blocks is right; the file is asked after the read.

        Never blocks. Raises: OSError.
        """
        state, proved = self._known
        return all(proved[first : last + 1]) and file_state(fd) == state
