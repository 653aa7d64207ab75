"""An object store that is opened when it is first used: most commands never read an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from artfs.blobs.base import (
    Namespace,
    ObjectKey,
    RecordKind,
    Store,
    StoredObject,
    StoredRecord,
    Transfer,
)
from artfs.model import ByteRange
from artfs.system.lazy import Once


class DeferredObjectStore:
    """A Store over the one that `open_store` makes; a forked child makes its own.

    Every method also raises what `open_store` does, which is tried again by the next one.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._inner = Once(open_store)

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

    def put_record(self, kind: RecordKind, name: str, data: bytes) -> None:
        """See RecordStore."""
        self._inner().put_record(kind, name, data)

    def read_record(self, kind: RecordKind, name: str) -> bytes:
        """See RecordStore."""
        return self._inner().read_record(kind, name)

    def records(self, kind: RecordKind) -> Iterator[StoredRecord]:
        """See RecordStore."""
        return self._inner().records(kind)

    def delete_record(self, kind: RecordKind, name: str) -> None:
        """See RecordStore."""
        self._inner().delete_record(kind, name)
