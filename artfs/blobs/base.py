"""The blob port: immutable objects, named by namespace and SHA-256.

An adapter stores whole objects and reads ranges of them. What an object *means* (a blob, or a
pack of small ones) and whether its bytes are right is decided above; an adapter never verifies.

Beside them it keeps recovery records: small objects with names of their own, from which a lost
catalog is rebuilt.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from artfs.errors import BackendUnavailable
from artfs.model import ByteRange, Digest


class Namespace(StrEnum):
    """The two kinds of stored objects (docs/design.md, format)."""

    BLOBS = "blobs"
    PACKS = "packs"


class Transfer(StrEnum):
    """How a file's bytes get into a store on the same disk."""

    COPY = "copy"
    """Reflinked where the file system can, else copied."""
    LINK = "link"
    """Hard-linked where that can be, else copied; a linked source becomes read-only, for it
    now is the store's copy."""
    MOVE = "move"
    """The source is given away: moved where that saves a copy, and gone in any case."""


class ObjectKey(msgspec.Struct, frozen=True):
    """The name of a stored object: `<namespace>/<first 2 hex digits>/<other 62>`."""

    namespace: Namespace
    sha256: Digest

    def __str__(self) -> str:
        text = self.sha256.hex()
        return f"{self.namespace.value}/{text[:2]}/{text[2:]}"


class StoredObject(msgspec.Struct, frozen=True):
    """What a listing says of one object."""

    key: ObjectKey
    size_bytes: int
    stored_s: float
    """When it was last put, in seconds since the Unix epoch."""


class ObjectStore(Protocol):
    """Immutable objects. Every method blocks and is safe to call from many threads.

    Every method may raise BackendUnavailable, PermissionDenied and, when it writes, OutOfSpace.
    """

    def put(self, key: ObjectKey, source: Path, *, transfer: Transfer) -> None:
        """Store the file `source` under `key`, durably and atomically, before returning.

        Storing a key that exists writes no bytes (same key, same bytes).
        """
        ...

    def read(self, key: ObjectKey, span: ByteRange) -> bytes:
        """Return exactly the bytes of `span`, unverified.

        Raises: BlobNotFound; IntegrityError where the object ends before `span` does.
        """
        ...

    def stream(self, key: ObjectKey, span: ByteRange, *, piece_bytes: int) -> Generator[bytes]:
        """The bytes of `span`, unverified, as they come: pieces of that size, the last one shorter.

        Whoever stops before the end closes the generator. Raises: as `read`, at each piece.
        """
        ...

    def open_local(self, key: ObjectKey) -> int | None:
        """Return a new read-only file descriptor of the object where it is a local file.

        The caller closes it. None where objects are not local files. Raises: BlobNotFound.
        """
        ...

    def size(self, key: ObjectKey) -> int | None:
        """Return the object's size in bytes, or None where it does not exist."""
        ...

    def delete(self, key: ObjectKey) -> None:
        """Remove the object; one that does not exist is no error."""
        ...

    def objects(self, namespace: Namespace) -> Iterator[StoredObject]:
        """List a namespace, in no particular order."""
        ...


class RecordKind(StrEnum):
    """The two kinds of recovery records (artfs/repository/recovery.py)."""

    COMMITS = "commits"
    CHECKPOINTS = "checkpoints"


RECORD_NAME = re.compile(r"[0-9a-z]{1,64}")
"""What a recovery record may be called; a listing leaves out anything else."""


class StoredRecord(msgspec.Struct, frozen=True):
    """What a listing says of one recovery record."""

    name: str
    size_bytes: int
    stored_s: float
    """When it was last put, in seconds since the Unix epoch."""


class RecordStore(Protocol):
    """Small objects beside the blobs, at `<kind>/<name>`. Blocks, thread-safe, raises as above."""

    def put_record(self, kind: RecordKind, name: str, data: bytes) -> None:
        """Store `data` durably and atomically; over what has the name already."""
        ...

    def read_record(self, kind: RecordKind, name: str) -> bytes:
        """Return all of a record, unverified. Raises: BlobNotFound."""
        ...

    def records(self, kind: RecordKind) -> Iterator[StoredRecord]:
        """List a kind, in no particular order; nothing where none was ever stored."""
        ...

    def delete_record(self, kind: RecordKind, name: str) -> None:
        """Remove a record; one that does not exist is no error."""
        ...


class Store(ObjectStore, RecordStore, Protocol):
    """All that is beside a catalog: what versions hold, and what is left for its recovery."""


def not_mounted(directory: Path) -> BackendUnavailable:
    """A directory of a store is gone: its disk may be, and must not look like an empty store."""
    return BackendUnavailable(
        str(directory), "is not there", hint="is the store's file system mounted?"
    )
