"""A staging area as a mount sees it: nothing here blocks the loop for long.

What is in memory is answered at once. What has to be fetched, copied or synced goes to a thread.
While a version is being made the *gate* is shut: whoever wants to change something waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import msgspec
import trio

from artfs.engine.blocking import Threads, Work
from artfs.engine.reader import Reader
from artfs.model import Buffer
from artfs.staging.area import Area
from artfs.staging.hasher import Background
from artfs.staging.nodes import BaseContent, FileNode, StagedDirectory, StagedNode
from artfs.staging.staged_files import Status, stat_blocks
from artfs.vfs.content_opener import ContentOpener

T = TypeVar("T")

_SLOW_WRITE_S = 0.02
_SLOW_FOR_S = 1.0
"""A write goes into the page cache, for which the way to a thread and back would cost more than
the write itself. When one is slow the kernel is throttling us to the speed of the disk: then
writes go to threads for a while, and others are served meanwhile."""


_THREADS = 16


class ChangeGate:
    """Lets changes pass, or holds them back. State is touched on the loop only."""

    def __init__(self) -> None:
        self._open = trio.Event()
        self._open.set()
        self._inside = 0
        self._left = trio.Event()

    async def wait(self) -> None:
        """Wait until the gate is open; what follows must not await before it is done."""
        while not self._open.is_set():
            await self._open.wait()

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """For a change that awaits: the gate does not shut before it is done."""
        await self.wait()
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._left.set()
            self._left = trio.Event()

    async def shut(self) -> None:
        """Hold back changes, and wait until none is under way."""
        self._open = trio.Event()
        while self._inside:
            await self._left.wait()

    def open(self) -> None:
        """Let changes pass."""
        self._open.set()


class OpenStaged:
    """An open file of a staging area. Implements OpenFile."""

    __slots__ = ("_staged", "content", "node", "reader", "writes")

    def __init__(self, staged: StagedFiles, node: FileNode, *, writes: bool) -> None:
        self._staged = staged
        self.node = node
        self.writes = writes
        self.content: BaseContent | None = None
        """What `reader` reads."""
        self.reader: Reader | None = None

    @property
    def size_is_known(self) -> bool:
        """See OpenFile: what is not known is asked for before a file is opened."""
        return True

    def read(self, offset: int, length: int) -> Coroutine[Any, Any, Buffer]:
        """See OpenFile. Raises: OSError, ArtfsError."""
        # Not one more coroutine: small reads are many.
        return self._staged.read(self, offset, length)


class StagedFiles:
    """The nodes of a staging area, for whoever mounts it."""

    def __init__(
        self,
        area: Area,
        background: Background,
        threads: Threads,
        shown: ContentOpener,
    ) -> None:
        """`shown` is what versions hold that shows through."""
        self.area = area
        self.tree = area.tree
        self.contents = area.contents
        self.gate = ChangeGate()
        self.no_writers = trio.Event()
        """Set, and replaced, whenever the last writer of a file is gone."""
        self._background = background
        self._threads = threads
        self._shown = shown
        self._slow_until_s = 0.0
        self._limiter = trio.CapacityLimiter(_THREADS)
        self._work = Work.DISK if area.repository.info.root is not None else Work.NETWORK

    # --- names -------------------------------------------------------------------------------

    async def load(self, directory: StagedDirectory) -> None:
        """Have what shows through a directory in memory, so that looking into it is quick."""
        digest = directory.base
        repository = self.area.repository
        if digest is not None and repository.directories.get(digest) is None:
            await self._threads.run(self._work, repository.directory, digest)

    async def change(self, *directories: StagedDirectory) -> None:
        """Wait until these may be changed; what follows must not await before it is done."""
        for directory in directories:
            await self.load(directory)
        await self.gate.wait()
        self._background.changed()

    def status(self, node: StagedNode) -> Status:
        """The attributes of a node, as far as they are known by now."""
        found = self.contents.status(node)
        if found.size_is_known:
            return found
        assert isinstance(node, FileNode)
        assert node.content is not None
        size_bytes = self._shown.known_size(node.content)
        if size_bytes is None:
            return found
        return msgspec.structs.replace(
            found, size_bytes=size_bytes, block_count=stat_blocks(size_bytes), size_is_known=True
        )

    def is_unmeasured(self, node: StagedNode) -> bool:
        """Whether only a source can tell the size of a file."""
        if not isinstance(node, FileNode) or node.content is None:
            return False
        return self._shown.known_size(node.content) is None

    async def measure(self, node: StagedNode) -> None:
        """Know the size of a file. Raises: ArtfsError where its source does not tell it."""
        if isinstance(node, FileNode) and node.content is not None:
            await self._shown.size_of(node.content)

    # --- files -------------------------------------------------------------------------------

    async def open(self, node: FileNode, *, write: bool, truncate: bool) -> OpenStaged:
        """Open a file; fetches nothing. Raises: OSError, ArtfsError."""
        if not write:
            self.contents.open(node, write=False)
            return OpenStaged(self, node, writes=False)
        async with self.gate.passed():
            if self.contents.is_busy(node):
                await self._in_thread(partial(self.contents.open, node, write=True))
            else:
                self.contents.open(node, write=True)
            opened = OpenStaged(self, node, writes=True)
            if truncate:
                try:
                    await self._truncate(node, 0)
                except BaseException:
                    self.close(opened)
                    raise
        return opened

    def created(self, node: FileNode) -> OpenStaged:
        """The open file that came with making it."""
        return OpenStaged(self, node, writes=True)

    def close(self, opened: OpenStaged) -> None:
        """Close a file."""
        node = opened.node
        self.contents.close(node, write=opened.writes)
        if opened.writes:
            self._background.closed(node)
            if node.writers == 0:
                self.no_writers.set()
                self.no_writers = trio.Event()

    async def read(self, opened: OpenStaged, offset: int, length: int) -> Buffer:
        """Bytes of a file, fewer than asked for only at its end. Raises: OSError, ArtfsError."""
        node = opened.node
        if node.content is None and node.plain is not None:
            found = _read_now(node.plain.fd, offset, length)
            if found is not None:
                return found
            return await self._in_thread(partial(self.contents.read, node, offset, length))
        if node.content is None:
            return b""
        reader = opened.reader
        if reader is None or opened.content is not node.content:
            content = node.content
            reader = await self._shown.reader(content)
            opened.content, opened.reader = content, reader
        return await reader.read(offset, length)

    async def write(self, opened: OpenStaged, offset: int, data: bytes) -> int:
        """Write into a file; how many bytes. Raises: OSError, ArtfsError."""
        node = opened.node
        if self.contents.needs_copy(node):
            await self._in_thread(partial(self.contents.make_private, node))
        began_s = time.monotonic()
        if began_s < self._slow_until_s:
            return await self._in_thread(partial(self.contents.write, node, offset, data))
        written = self.contents.write(node, offset, data)
        now_s = time.monotonic()
        if now_s - began_s > _SLOW_WRITE_S:
            self._slow_until_s = now_s + _SLOW_FOR_S
        return written

    async def truncate(self, node: FileNode, size_bytes: int) -> None:
        """Cut or extend a file. Raises: OSError, ArtfsError."""
        async with self.gate.passed():
            await self._truncate(node, size_bytes)
        if not node.writers:
            self._background.closed(node)

    async def sync(self, opened: OpenStaged | None = None) -> None:
        """Make a file, or else only names, survive the host. Raises: OSError, ArtfsError."""
        if opened is None:
            await self._in_thread(self.area.sync)
        else:
            await self._in_thread(partial(self.area.sync_file, opened.node))

    async def _truncate(self, node: FileNode, size_bytes: int) -> None:
        if not self.contents.try_truncate(node, size_bytes):
            await self._in_thread(partial(self.contents.truncate, node, size_bytes))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Never abandoned: what is half done to a file must be finished before it is closed.
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _read_now(fd: int, offset: int, length: int) -> Buffer | None:
    """The bytes if they are in memory; None otherwise."""
    data = bytearray(length)
    try:
        count = os.preadv(fd, [data], offset, os.RWF_NOWAIT)
    except OSError:
        return None
    if count < length and offset + count < os.fstat(fd).st_size:
        return None
    return data[:count]
