"""An object store that is opened when it is first used: most commands never read an object."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock

from artfs.blobs.base import Namespace, ObjectKey, ObjectStore, StoredObject, Transfer
from artfs.model import ByteRange


class DeferredObjectStore:
    """An ObjectStore over the one that `open_store` makes; a forked child makes its own.

    Every method also raises what `open_store` does, which is tried again by the next one.
    """

    def __init__(self, open_store: Callable[[], ObjectStore]) -> None:
        self._open_store = open_store
        self._lock = Lock()
        self._opened: ObjectStore | None = None
        self._pid = 0

    def put(self, key: ObjectKey, source: Path, *, transfer: Transfer) -> None:
        """See ObjectStore."""
        self._inner().put(key, source, transfer=transfer)

    def read(self, key: ObjectKey, span: ByteRange) -> bytes:
        """See ObjectStore."""
        return self._inner().read(key, span)

    def open_local(self, key: ObjectKey) -> int | None:
        """See ObjectStore."""
        return self._inner().open_local(key)

    def size(self, key: ObjectKey) -> int | None:
        """See ObjectStore."""
        return self._inner().size(key)

    def delete(self, key: ObjectKey) -> None:
        """See ObjectStore."""
        self._inner().delete(key)

    def objects(self, namespace: Namespace) -> Iterator[StoredObject]:
        """See ObjectStore."""
        return self._inner().objects(namespace)

    def _inner(self) -> ObjectStore:
        with self._lock:
            # Two processes on one connection would mix up their answers.
            if self._opened is None or self._pid != os.getpid():
                self._opened, self._pid = self._open_store(), os.getpid()
            return self._opened
