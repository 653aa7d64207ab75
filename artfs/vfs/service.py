"""Directories and bytes for the nodes of a read-only mount."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from artfs.engine.blocking import Threads, Work
from artfs.engine.flights import Flights
from artfs.engine.reader import Reader
from artfs.errors import ArtfsError
from artfs.manifest.directory import Directory
from artfs.manifest.entries import ReferenceEntry
from artfs.model import Buffer, Digest
from artfs.repository.facade import Repository
from artfs.vfs.content_opener import ContentEntry, ContentOpener

logger = logging.getLogger(__name__)

_SAMPLED_ENTRIES = 16
"""Directories with references mostly have nothing else."""


class Service:
    """What all nodes of a mount need to get directories and bytes."""

    def __init__(
        self,
        repository: Repository,
        threads: Threads,
        contents: ContentOpener,
        nursery: trio.Nursery,
        *,
        flight_timeout_s: float,
    ) -> None:
        self.repository = repository
        self.threads = threads
        self.contents = contents
        self.work = Work.DISK if repository.info.root is not None else Work.NETWORK
        self._directories: Flights[Directory] = Flights(nursery, timeout_s=flight_timeout_s)
        self._nursery = nursery
        self._prepared: set[str] = set()
        """Schemes of references whose handlers are ready, or about to be."""

    async def directory(self, digest: Digest) -> Directory:
        """A directory object: at once where it is in memory."""
        found = self.directory_at_hand(digest)
        if found is None:
            load = partial(self.threads.run, self.work, self.repository.directory, digest)
            found = await self._directories.join(digest, load).landed()
            self._prepare_references(found)
        return found

    def directory_at_hand(self, digest: Digest) -> Directory | None:
        """A directory object if it is in memory."""
        return self.repository.directories.get(digest)

    async def prepare(self, digest: Digest) -> None:
        """Get ready for a directory that will most likely be asked for."""
        await _ahead(partial(self.directory, digest))

    def _prepare_references(self, directory: Directory) -> None:
        """Have clients for what a directory refers to when the first of it is read.

        To import and make one takes as long as some hundred requests.
        """
        for entry in directory.slice(0, _SAMPLED_ENTRIES):
            if isinstance(entry, ReferenceEntry):
                scheme = entry.uri.partition(":")[0]
                if scheme not in self._prepared:
                    self._prepared.add(scheme)
                    self._nursery.start_soon(self._prepare_handler, entry.uri)

    async def _prepare_handler(self, uri: str) -> None:
        prepare = self.repository.references.prepare
        await _ahead(partial(self.threads.run, Work.NETWORK, prepare, uri))


async def _ahead(work: Callable[[], Awaitable[object]]) -> None:
    """Do what nobody waits for: it never ends the mount, whatever becomes of it."""
    try:
        await work()
    except ArtfsError:
        # Whoever reads is told.
        return
    except Exception:
        logger.exception("what was to be done ahead failed")


class TreeFile:
    """An open file of a version. Implements OpenFile.

    The reader is made by the first read: most files that are opened again are never read again,
    for the kernel has their pages.
    """

    __slots__ = ("_contents", "_entry", "_locate", "_note_read", "_reader")

    def __init__(
        self,
        contents: ContentOpener,
        entry: ContentEntry,
        locate: Callable[[], None],
        note_read: Callable[[], None],
    ) -> None:
        """`note_read` is told that the file is read."""
        self._contents = contents
        self._entry = entry
        self._locate = locate
        self._note_read = note_read
        self._reader: Reader | None = None

    @property
    def size_is_known(self) -> bool:
        """See OpenFile: a reference may not say its size."""
        return self._entry.size_bytes is not None

    async def read(self, offset: int, length: int) -> Buffer:
        """See OpenFile."""
        if self._reader is None:
            self._reader = await self._contents.reader(self._entry, self._locate)
            self._note_read()
        return await self._reader.read(offset, length)
