"""Files of a local store: open ones shared by readers, and what was proved of unchanged ones."""

from __future__ import annotations

import time

from cachetools import LRUCache

from artfs import forks
from artfs.blobs.base import ObjectKey, ObjectStore
from artfs.model import block_count
from artfs.system.files import FileState, SharedDescriptor, file_state

_MAX_OPEN_FILES = 256

_TICK_NS = 20_000_000
"""Older kernels know times to the tick: two changes within one look like one."""


class OpenFiles:
    """A bounded pool of open objects. Thread-safe."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._files: LRUCache[ObjectKey, SharedDescriptor] = LRUCache(_MAX_OPEN_FILES)
        self._lock = forks.lock()

    def get(self, key: ObjectKey) -> SharedDescriptor | None:
        """The object's open file; None where objects are not local files.

        Blocks: on opening. Raises: BlobNotFound, BackendUnavailable, PermissionDenied.
        """
        with self._lock:
            found = self._files.get(key)
            if found is not None:
                return found
        fd = self._objects.open_local(key)
        if fd is None:
            return None
        opened = SharedDescriptor(fd)
        with self._lock:
            return self._files.setdefault(key, opened)

    def forget(self, key: ObjectKey) -> None:
        """Close the object's file once nobody reads it: it was moved or deleted."""
        with self._lock:
            self._files.pop(key, None)


def state_to_prove(fd: int) -> tuple[FileState, bool]:
    """An open file's state, to be taken before it is read, and whether what is then read of it is
    proved for as long as that state lasts.

    Where it is not, the file changed so lately that another change might look the same.
    Raises: OSError.
    """
    # Before the state: a clock that is read later would take a change from now for an old one.
    now_ns = time.time_ns()
    state = file_state(fd)
    # A little behind the clock or ahead of it: it may have changed between the two calls.
    return state, abs(now_ns - state.ctime_ns) >= _TICK_NS


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
        """A block was found right; `state` is of `state_to_prove`, before the block was read."""
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
