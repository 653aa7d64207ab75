"""Directory objects of a store, kept in memory up to a number of bytes."""

from __future__ import annotations

from typing import Protocol

from cachetools import LRUCache

from artfs import forks
from artfs.manifest.directory import Directory
from artfs.model import Digest

DIRECTORY_CACHE_BYTES = 64 * 1024 * 1024


class DirectorySource(Protocol):
    """Where directory objects come from: blobs, mostly."""

    def read(self, digest: Digest) -> bytes:
        """An encoded directory object; blocks and raises as BlobReader.read does."""
        ...


class DirectoryCache:
    """Verified directory objects by digest. Thread-safe; least recently used ones go first."""

    def __init__(self, source: DirectorySource, limit_bytes: int = DIRECTORY_CACHE_BYTES) -> None:
        self._source = source
        self._lock = forks.lock()
        self._cached: LRUCache[Digest, Directory] = LRUCache(
            limit_bytes, getsizeof=lambda directory: directory.encoded_size_bytes
        )
        # One directory larger than the whole cache is still kept, or a walk would load it for
        # each of its entries.
        self._giant: tuple[Digest, Directory] | None = None

    def get(self, digest: Digest) -> Directory | None:
        """The directory if it is in memory; never blocks on I/O."""
        with self._lock:
            if self._giant is not None and self._giant[0] == digest:
                return self._giant[1]
            return self._cached.get(digest)

    def load(self, digest: Digest) -> Directory:
        """The directory, from memory or the store.

        Blocks: on catalog, disk or network. Raises: BlobNotFound, IntegrityError,
        InvalidManifest, BackendUnavailable, PermissionDenied.
        """
        found = self.get(digest)
        if found is not None:
            return found
        directory = Directory(self._source.read(digest))
        with self._lock:
            if directory.encoded_size_bytes > self._cached.maxsize:
                self._giant = (digest, directory)
            else:
                self._cached[digest] = directory
        return directory
