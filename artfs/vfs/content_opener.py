"""The bytes of entries, for whichever mount shows them: the one way from a node to content.

Sizes that only a source can tell are asked for here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from artfs.content.base import Content
from artfs.engine.blocking import Threads, Work
from artfs.engine.fetch import BlockSource, Fetcher
from artfs.engine.flights import Flights
from artfs.engine.origins import Origin, server_of
from artfs.engine.reader import Reader
from artfs.manifest.entries import FileEntry, Pin, ReferenceEntry
from artfs.references.artifact import is_artifact_reference
from artfs.repository.facade import Repository

ContentEntry = FileEntry | ReferenceEntry


def file_key(entry: FileEntry) -> bytes:
    """What tells a file's content from all others.

    Size and block list follow from the SHA-256, but in an entry that lies: it must not share
    anything with the one that does not.
    """
    size = entry.size_bytes.to_bytes(16, "little", signed=True)
    return b"".join((b"f", entry.sha256, size, entry.blocks or b""))


def reference_key(entry: ReferenceEntry) -> bytes:
    """What tells a reference's content from all others."""
    about = repr((entry.digest, entry.uri, entry.size_bytes, entry.pin))
    return b"r" + about.encode(errors="surrogatepass")


def opens_offline(entry: ContentEntry) -> bool:
    """Whether opening this content asks nobody: neither a server, nor a disk, nor the catalog."""
    return (
        isinstance(entry, ReferenceEntry)
        and entry.size_bytes is not None
        and entry.pin != Pin()
        and not entry.uri.startswith("file:")
        and not is_artifact_reference(entry.uri)
    )


class ContentOpener:
    """Sizes and readers of a mount's contents. State is touched on the loop only."""

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
        self._repository = repository
        self._threads = threads
        self._fetcher = fetcher
        self._read_timeout_s = read_timeout_s
        self._work = Work.DISK if repository.info.root is not None else Work.NETWORK
        self._opening: Flights[Content] = Flights(nursery, timeout_s=flight_timeout_s)
        # Sizes that sources told: they hold for the life of the mount.
        self._sizes: dict[bytes, int] = {}

    async def reader(self, entry: ContentEntry, locate: Callable[[], None] | None = None) -> Reader:
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

    def known_size(self, entry: ContentEntry) -> int | None:
        """The size of a file's content as far as it is known by now."""
        if entry.size_bytes is not None:
            return entry.size_bytes
        return self._sizes.get(_key(entry))

    async def size_of(self, entry: ContentEntry, locate: Callable[[], None] | None = None) -> int:
        """The size of a file's content; of a reference that does not say it, by opening it once.

        Raises: Unsupported where nobody can know it; what Repository.content does.
        """
        known = self.known_size(entry)
        if known is None:
            origin = self._origin(entry)
            assert origin is not None
            key, open_content = _key(entry), partial(self._open, entry, locate)
            opening = partial(origin.run, self._threads, Work.NETWORK, open_content)
            content = await self._opening.join(key, opening).landed()
            known = self._sizes[key] = content.size_bytes
        return known

    def _source(
        self, entry: ContentEntry, size_bytes: int, locate: Callable[[], None] | None
    ) -> BlockSource:
        key = _key(entry)
        return self._fetcher.source(
            key,
            lambda: BlockSource(
                key,
                size_bytes,
                self._work if isinstance(entry, FileEntry) else Work.NETWORK,
                partial(self._open, entry, locate),
                origin=self._origin(entry),
                opens_offline=opens_offline(entry),
            ),
        )

    def _origin(self, entry: ContentEntry) -> Origin | None:
        """The server of a reference; the store's own content may use all that there is."""
        if isinstance(entry, FileEntry):
            return None
        return self._fetcher.origins.get(server_of(entry.uri))

    def _open(self, entry: ContentEntry, locate: Callable[[], None] | None) -> Content:
        if locate is not None:
            locate()
        return self._repository.content(entry)


def _key(entry: ContentEntry) -> bytes:
    return file_key(entry) if isinstance(entry, FileEntry) else reference_key(entry)
