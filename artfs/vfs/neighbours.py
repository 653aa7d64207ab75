"""Files that are read one after the other: the next ones are on their way before anybody asks.

Small objects of a server cost a round trip each, whatever their size. Who copies or packs a
directory, or learns from it in order, would wait for one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from artfs.engine.prefetch import FilePattern
from artfs.manifest.entries import ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES, Digest
from artfs.vfs.contents import opens_offline
from artfs.vfs.service import Service

MAX_AHEAD_BYTES = 16 * 1024 * 1024


class Neighbours:
    """What of one directory is read, and what is loaded ahead. For the loop only."""

    __slots__ = ("_ahead", "_digest", "_locate", "_pattern", "_service")

    def __init__(self, service: Service, digest: Digest, locate: Callable[[int], None]) -> None:
        """`locate` finds out, in a reader's thread, where the files around a position are."""
        self._service = service
        self._digest = digest
        self._locate = locate
        self._pattern = FilePattern()
        # The first position that no window has covered yet.
        self._ahead = 0

    def note_read(self, position: int) -> None:
        """The file at this position is read for the first time since it was opened."""
        window = self._pattern.observe(position)
        if not window:
            self._ahead = position + 1
            return
        start, stop = max(self._ahead, position + 1), position + 1 + window
        if start < stop:
            self._ahead = self._load(start, stop)

    def _load(self, start: int, stop: int) -> int:
        """Start to load these, as far as there is room; the first position that was left."""
        directory = self._service.directory_at_hand(self._digest)
        if directory is None:
            return start
        ahead_bytes = 0
        for position, entry in enumerate(directory.slice(start, stop), start):
            if not (
                isinstance(entry, ReferenceEntry) and entry.size_bytes and opens_offline(entry)
            ):
                continue
            ahead_bytes += min(entry.size_bytes, BLOCK_SIZE_BYTES)
            if ahead_bytes > MAX_AHEAD_BYTES:
                return position
            locate = partial(self._locate, position)
            if not self._service.contents.load_ahead(entry, locate):
                return position
        return stop
