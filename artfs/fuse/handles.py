"""Open files and directories by handle: reads and listings are told nothing else."""

from __future__ import annotations

from typing import Generic, TypeVar

from artfs.vfs.tree import DirectoryNode, Found, Listing

T = TypeVar("T")


class Handles(Generic[T]):
    """Open things by number."""

    def __init__(self) -> None:
        self._open: dict[int, T] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, opened: T) -> int:
        """Give a handle to something that was opened."""
        self._last += 1
        self._open[self._last] = opened
        return self._last

    def get(self, handle: int) -> T:
        """What was opened. Raises: KeyError."""
        return self._open[handle]

    def remove(self, handle: int) -> None:
        """Forget what was closed."""
        self._open.pop(handle, None)


class OpenDirectory:
    """A directory that is being listed: its names as of the last rewind."""

    __slots__ = ("_chunk", "_listing", "_start", "directory", "number")

    def __init__(self, number: int, directory: DirectoryNode) -> None:
        self.number = number
        self.directory = directory
        self._listing: Listing | None = None
        self._chunk: list[Found] = []
        self._start = 0

    async def rewind(self) -> None:
        """Take the names as they are now."""
        self._listing = await self.directory.listing()
        self._chunk, self._start = [], 0

    async def ttl_s(self) -> float:
        """For how long the names hold, from now."""
        return (await self._names()).ttl_s()

    async def names(self, start: int) -> list[Found]:
        """Some names from place `start` on; empty at the end."""
        offset = start - self._start
        if not 0 <= offset < len(self._chunk):
            # One request takes fewer names than a chunk has: the rest waits for the next one.
            self._chunk = await (await self._names()).chunk(start)
            self._start, offset = start, 0
        return self._chunk[offset:] if offset else self._chunk

    async def _names(self) -> Listing:
        if self._listing is None:
            await self.rewind()
        assert self._listing is not None
        return self._listing
