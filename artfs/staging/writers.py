"""Which files of a staging area are open for writing, noted so that a killed process leaves word.

The note is a file of slots, mapped into memory: a node's id is in one from the first open for
writing to the last close. That is a store into memory, and no system call; it survives the
process as a written page does, and the host once it is synced.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from artfs.staging.nodes import FileNode, StagedNode
from artfs.system.oserrors import translate_os_errors

logger = logging.getLogger(__name__)

_SLOT = struct.Struct("<Q")
_FREE = 0
_NOWHERE = -1
_SIZE_BYTES = 4096


class Writers:
    """The files that are open for writing, and those that were when an earlier process ended.

    Whoever calls holds the tree's lock, but for `sync`.
    """

    def __init__(self, path: Path) -> None:
        """Open the note, or make it. Raises: OutOfSpace, PermissionDenied, BackendUnavailable."""
        with translate_os_errors(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            size_bytes = max(os.fstat(self._fd).st_size, _SIZE_BYTES)
            self._slots = self._mapped(size_bytes - size_bytes % _SIZE_BYTES)
        self._open: dict[FileNode, int] = {}
        self._left: dict[FileNode, int] = {}
        self._free: list[int] = []
        self._is_synced = True

    def restore(self, nodes: Mapping[int, StagedNode]) -> None:
        """Find out what an earlier process left; once, before anything else."""
        for at in reversed(range(0, len(self._slots), _SLOT.size)):
            (node_id,) = _SLOT.unpack_from(self._slots, at)
            node = nodes.get(node_id)
            # What shows content of a version was not written, whoever had it open.
            if isinstance(node, FileNode) and node.content is None:
                self._left[node] = at
            else:
                self._clear(at)

    def __iter__(self) -> Iterator[FileNode]:
        """The files that are open for writing."""
        return iter(self._open)

    def add(self, node: FileNode) -> None:
        """It is open for writing."""
        if node in self._open:
            return
        at = self._left.pop(node, None)
        self._open[node] = self._note(node) if at is None else at

    def discard(self, node: FileNode) -> None:
        """Nobody has it open for writing any more."""
        at = self._open.pop(node, None)
        if at is not None:
            self._clear(at)

    def unfinished(self) -> list[FileNode]:
        """Files that were open when an earlier process ended, and that nobody wrote since."""
        return [node for node in self._left if node.link_count]

    def add_unfinished(self, node: FileNode) -> None:
        """Its content was lost: it is as if it had been left open."""
        if node not in self._left:
            self._left[node] = self._note(node)

    def accept_unfinished(self) -> None:
        """Take them for finished."""
        while self._left:
            self._clear(self._left.popitem()[1])

    def sync(self) -> None:
        """Make the note survive the host, where it has changed. Blocks: disk. Raises: OSError."""
        if self._is_synced:
            return
        self._is_synced = True
        try:
            os.fsync(self._fd)
        except OSError:
            self._is_synced = False
            raise

    def close(self) -> None:
        """Close the file; the note stays."""
        self._slots.close()
        os.close(self._fd)

    def _note(self, node: FileNode) -> int:
        if not self._free:
            self._grow()
        if not self._free:
            return _NOWHERE
        at = self._free.pop()
        _SLOT.pack_into(self._slots, at, node.id)
        self._is_synced = False
        return at

    def _clear(self, at: int) -> None:
        if at != _NOWHERE:
            _SLOT.pack_into(self._slots, at, _FREE)
            self._free.append(at)
            self._is_synced = False

    def _grow(self) -> None:
        old_bytes = len(self._slots)
        try:
            larger = self._mapped(2 * old_bytes)
        except OSError as error:
            # No reason not to open a file: it goes without a note.
            logger.warning("no room to note which files are open for writing: %s", error)
            return
        self._slots.close()
        self._slots = larger
        self._free.extend(reversed(range(old_bytes, 2 * old_bytes, _SLOT.size)))

    def _mapped(self, size_bytes: int) -> mmap.mmap:
        # With blocks of its own: a store into a hole would end the process on a full disk.
        os.posix_fallocate(self._fd, 0, size_bytes)
        return mmap.mmap(self._fd, size_bytes)
