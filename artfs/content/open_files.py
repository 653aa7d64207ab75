"""Open files of a local object store, shared by all readers and closed when unused."""

from __future__ import annotations

from cachetools import LRUCache

from artfs.blobs.base import ObjectKey, ObjectStore
from artfs.system import forks
from artfs.system.files import OpenFile

_MAX_OPEN_FILES = 256


class OpenFiles:
    """A bounded pool of open objects. Thread-safe."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._files: LRUCache[ObjectKey, OpenFile] = LRUCache(_MAX_OPEN_FILES)
        self._lock = forks.lock()

    def get(self, key: ObjectKey) -> OpenFile | None:
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
        opened = OpenFile(fd)
        with self._lock:
            return self._files.setdefault(key, opened)

    def forget(self, key: ObjectKey) -> None:
        """Close the object's file once nobody reads it: it was moved or deleted."""
        with self._lock:
            self._files.pop(key, None)
