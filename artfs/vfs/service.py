"""Directories and bytes for the nodes of a mount."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from artfs.content.base import Content
from artfs.engine.fetch import Fetcher, Source
from artfs.engine.flights import Flights
from artfs.engine.origins import Origin, server_of
from artfs.engine.reader import Reader
from artfs.engine.threads import Threads, Work
from artfs.errors import ArtfsError
from artfs.manifest.directory import Directory
from artfs.manifest.entries import FileEntry, Pin, ReferenceEntry
from artfs.model import Buffer, Digest
from artfs.references.artifact import is_artifact_reference
from artfs.repository.facade import Repository
from artfs.vfs.identity import file_key, reference_key

logger = logging.getLogger(__name__)

ContentEntry = FileEntry | ReferenceEntry

_SAMPLED_ENTRIES = 16
"""Directories with references mostly have nothing else."""


class Service:
    """What all nodes of a mount need to get directories and bytes."""

    def __init__(
        self,
        repository: Repository,
        threads: Threads,
        fetcher: Fetcher,
        nursery: trio.Nursery,
        *,
        flight_timeout_s: float,
        read_timeout_s: float,
    ) -> None:
        self.repository = repository
        self.threads = threads
        self.work = Work.DISK if repository.info.root is not None else Work.NETWORK
        self._fetcher = fetcher
        self._read_timeout_s = read_timeout_s
        self._directories: Flights[Directory] = Flights(nursery, timeout_s=flight_timeout_s)
        self._contents: Flights[Content] = Flights(nursery, timeout_s=flight_timeout_s)
        # Sizes that sources told: they hold for the life of the mount.
        self._sizes: dict[bytes, int] = {}
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

    async def reader(self, entry: ContentEntry, locate: Callable[[], None]) -> Reader:
        """A reader of a file's content.

        `locate` is called in a thread before the content is first opened. Only a reference that
        does not say its size is opened here.
        """
        source = self._source(entry, await self.size_of(entry, locate), locate)
        return Reader(self._fetcher, source, timeout_s=self._read_timeout_s)

    def load_ahead(self, entry: ReferenceEntry, locate: Callable[[], None]) -> bool:
        """Start to load the first block of what nobody waits for; False for want of room."""
        assert entry.size_bytes
        return bool(self._fetcher.prefetch(self._source(entry, entry.size_bytes, locate), 0, 1))

    def _source(self, entry: ContentEntry, size_bytes: int, locate: Callable[[], None]) -> Source:
        key, work, open_content = self._about(entry, locate)
        return self._fetcher.source(
            key,
            lambda: Source(
                key,
                size_bytes,
                work,
                open_content,
                origin=self._origin(entry),
                opens_offline=opens_offline(entry),
            ),
        )

    def _origin(self, entry: ContentEntry) -> Origin | None:
        """The server of a reference; the store's own content may use all that there is."""
        if isinstance(entry, FileEntry):
            return None
        return self._fetcher.origins.get(server_of(entry.uri))

    async def size_of(self, entry: ContentEntry, locate: Callable[[], None]) -> int:
        """The size of a file's content; of a reference that does not say it, by opening it once."""
        if entry.size_bytes is not None:
            return entry.size_bytes
        key, work, open_content = self._about(entry, locate)
        known = self._sizes.get(key)
        if known is None:
            origin = self._origin(entry)
            assert origin is not None
            opening = partial(origin.run, self.threads, work, open_content)
            content = await self._contents.join(key, opening).landed()
            known = self._sizes[key] = content.size_bytes
        return known

    def _about(
        self, entry: ContentEntry, locate: Callable[[], None]
    ) -> tuple[bytes, Work, Callable[[], Content]]:
        def open_content() -> Content:
            locate()
            return self.repository.content(entry)

        if isinstance(entry, FileEntry):
            return b"f" + file_key(entry), self.work, open_content
        return b"r" + reference_key(entry), Work.NETWORK, open_content


async def _ahead(work: Callable[[], Awaitable[object]]) -> None:
    """Do what nobody waits for: it never ends the mount, whatever becomes of it."""
    try:
        await work()
    except ArtfsError:
        # Whoever reads is told.
        return
    except Exception:
        logger.exception("what was to be done ahead failed")


def opens_offline(entry: ContentEntry) -> bool:
    """Whether opening this content asks nobody: neither a server, nor a disk, nor the catalog."""
    return (
        isinstance(entry, ReferenceEntry)
        and entry.size_bytes is not None
        and entry.pin != Pin()
        and not entry.uri.startswith("file:")
        and not is_artifact_reference(entry.uri)
    )


class TreeFile:
    """An open file of a version. Implements OpenFile.

    The reader is made by the first read: most files that are opened again are never read again,
    for the kernel has their pages.
    """

    __slots__ = ("_entry", "_locate", "_note_read", "_reader", "_service")

    def __init__(
        self,
        service: Service,
        entry: ContentEntry,
        locate: Callable[[], None],
        note_read: Callable[[], None],
    ) -> None:
        """`note_read` is told that the file is read."""
        self._service = service
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
            self._reader = await self._service.reader(self._entry, self._locate)
            self._note_read()
        return await self._reader.read(offset, length)
