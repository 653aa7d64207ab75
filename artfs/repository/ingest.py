"""Content on its way into a store: written, hashed, durable, and invisible until a commit.

Small content goes into packs in the order in which it comes; large content becomes objects of
its own. What the store has already is not written again, unless its object turns out to
be lost. Nothing is in the catalog before
`Repository.commit` but a lease, which is taken before the first object: gc leaves what may be
stored or found here. A crash leaves only orphans, which gc removes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from artfs import forks
from artfs.blobs.base import Namespace, ObjectKey, ObjectStore, Transfer
from artfs.blobs.hashing import ContentHash, hash_bytes, hash_file
from artfs.catalog.base import Catalog
from artfs.catalog.blob_port import BlobsGone, Confirm, Lease
from artfs.catalog.records import BlobRecord, LeaseKind, PackRecord
from artfs.content.blobs import stored_object
from artfs.errors import ArtfsError, BlobNotFound, OutOfSpace, SourceChanged
from artfs.manifest.directory import Directory
from artfs.manifest.entries import ReferenceEntry
from artfs.manifest.tree import LoadDirectory
from artfs.model import SMALL_BLOB_LIMIT_BYTES, BlockList, Digest, block_list_name
from artfs.references.artifact import OWN_SCHEME, SCHEME, is_artifact_reference
from artfs.repository.openpack import OpenPack, Workspace
from artfs.repository.presence import Presence
from artfs.system.files import FileState, read_whole, state_of
from artfs.system.oserrors import reach_step, translate_os_errors
from artfs.system.paths import path_of

_BATCH_BLOBS = 1024
_BATCH_BYTES = 16 * 1024 * 1024
_LINKS = (f"{SCHEME}:".encode(), f"{OWN_SCHEME}:".encode())
"""What an encoded directory holds that refers to other versions."""
ReportBytes = Callable[[int], None]
"""Told how many more bytes were read; may come from any thread."""


class StoredContent(msgspec.Struct, frozen=True):
    """What an entry needs to know of content that was taken in."""

    sha256: Digest
    md5: bytes
    size_bytes: int
    blocks: BlockList | None


class IngestResult(msgspec.Struct, frozen=True):
    """What a commit has to tell the catalog."""

    packs: tuple[PackRecord, ...]
    blobs: tuple[BlobRecord, ...]
    reused: tuple[Digest, ...]
    lost: Mapping[Digest, Digest | None] = {}
    """See VersionCommit."""


class Ingest:
    """Takes content in. Thread-safe; large files may be added from several threads at once."""

    def __init__(
        self,
        catalog: Catalog,
        objects: ObjectStore,
        workspace: Workspace,
        *,
        presence: Presence | None = None,
    ) -> None:
        """Without `presence` what the catalog knows is taken to be there."""
        self._catalog = catalog
        self._objects = objects
        self._workspace = workspace
        self._presence = presence
        self._lock = forks.lock()
        self._seen: set[Digest] = set()
        self._waiting: list[tuple[Digest, bytes]] = []
        self._waiting_bytes = 0
        self._pack = OpenPack(workspace)
        self._packs: list[PackRecord] = []
        self._blobs: list[BlobRecord] = []
        self._reused: list[Digest] = []
        self._forgotten = 0
        """How many of those are not in `_directories` any more."""
        self.stored_blobs = self.stored_bytes = 0
        """What was stored; of packs only what is in them."""
        self._lost: dict[Digest, Digest | None] = {}
        self._directories: dict[Digest, Directory] = {}
        self._linking: list[Directory] = []
        self._lease: Lease | None = None
        # Once something could not be stored, what was taken in is no longer whole.
        self._failure: ArtfsError | None = None
        forks.before_fork(self._pack.write_out)
        forks.in_child(self._leave_pack_to_parent)

    def add_file(
        self,
        path: str | os.PathLike[str],
        *,
        directory_fd: int | None = None,
        subject: str | None = None,
        transfer: Transfer = Transfer.COPY,
        hashed: ContentHash | None = None,
        state: FileState | None = None,
        on_bytes: ReportBytes | None = None,
    ) -> tuple[StoredContent, os.stat_result]:
        """Take in a regular file; the status is of the moment when it was read.

        With `directory_fd`, an open directory, `path` is a name in it, and `subject` what errors
        call the file.
        `hashed` is for who computed the digests of a large file before, `state` that of the file
        at that time: where it has another one now it is hashed again.
        Raises: PathNotFound, PermissionDenied, SourceChanged, OutOfSpace, BackendUnavailable.
        """
        named = path if subject is None else subject
        place: Path | None = None
        with translate_os_errors(named):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory_fd)
        try:
            reach_step("put.file-opened", named)
            status = os.fstat(fd)
            if status.st_size < SMALL_BLOB_LIMIT_BYTES:
                content = self._add_small(fd, named, status, on_bytes)
            else:
                place = Path(path) if directory_fd is None else path_of(path, directory_fd)
                if hashed is None or state_of(status) != state:
                    content = self._add_large(fd, place, transfer, on_bytes)
                else:
                    content = self._add_hashed(place, transfer, hashed)
        except ArtfsError as error:
            if isinstance(error, SourceChanged) or error.subject == str(place):
                # What the system calls it, users do not.
                raise type(error)(str(named), error.reason, hint=error.hint) from error
            raise
        finally:
            os.close(fd)
        if transfer is Transfer.MOVE:
            with suppress(FileNotFoundError):
                os.unlink(path, dir_fd=directory_fd)
        return content, status

    def add_bytes(self, data: bytes) -> StoredContent:
        """Take in bytes that are in memory. Raises: OutOfSpace, BackendUnavailable."""
        if len(data) < SMALL_BLOB_LIMIT_BYTES:
            return self._keep_small(data)
        path = self._workspace.temporaries.new("bytes")
        with translate_os_errors(path):
            path.write_bytes(data)
        return self.add_file(path, transfer=Transfer.MOVE)[0]

    def add_directory(self, digest: Digest, encoded: bytes) -> None:
        """Take in a directory object; it goes into a pack, whatever its size."""
        self._directories[digest] = directory = Directory(encoded)
        if any(link in encoded for link in _LINKS):
            self._linking.append(directory)
        self._keep(digest, encoded)

    def reuse(self, digests: Sequence[Digest]) -> None:
        """Rely on blobs that the store has, until the commit. Raises: BlobNotFound."""
        wanted = list(dict.fromkeys(digests))
        with self._lock:
            known = self._known(wanted)
            if missing := next((each for each in wanted if each not in known), None):
                raise BlobNotFound(f"blob {missing.hex()[:12]}", "the store does not have it")
            self._seen.update(wanted)
            self._reused.extend(wanted)

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """Rely on what the store has of these until the commit; those that it has not.

        Blocks: on the catalog. Raises: BackendUnavailable, PermissionDenied.
        """
        with self._lock:
            wanted = [each for each in dict.fromkeys(digests) if each not in self._seen]
            known = self._known(wanted)
            self._seen.update(known)
            self._reused.extend(known)
            return [each for each in wanted if each not in known]

    def record(self, confirm: Confirm) -> None:
        """Tell the catalog what is stored by now, so that an intake after one that was killed
        finds it, and forget it here, but for its digest.

        Blocks: on the catalog and the store. Raises: BackendUnavailable, PermissionDenied,
        OutOfSpace.
        """
        with self._lock:
            stored = [blob for blob in self._blobs if blob.sha256 not in self._lost]
            if stored:
                named = {blob.pack for blob in stored}
                packs = [pack for pack in self._packs if pack.sha256 in named]
                reach_step("put.recording", "blobs")
                try:
                    self._catalog.add_blobs(packs, stored, confirm=confirm)
                except BlobsGone:
                    # The commit says so, and what to do.
                    return
                self._blobs = [blob for blob in self._blobs if blob.sha256 in self._lost]
                kept = {blob.pack for blob in self._blobs}
                self._packs = [pack for pack in self._packs if pack.sha256 in kept]
                self._reused.extend(blob.sha256 for blob in stored)
            # What the store has need not be in memory.
            for digest in self._reused[self._forgotten :]:
                self._directories.pop(digest, None)
            self._forgotten = len(self._reused)

    def linking_entries(self) -> Iterator[ReferenceEntry]:
        """The references to other versions in the directories that were taken in here."""
        for directory in self._linking:
            for entry in directory.entries():
                if isinstance(entry, ReferenceEntry) and is_artifact_reference(entry.uri):
                    yield entry

    def directory_loader(self, load: LoadDirectory) -> LoadDirectory:
        """A loader that also knows the directories taken in here, which are not stored yet."""

        def load_either(digest: Digest) -> Directory:
            return found if (found := self._directories.get(digest)) is not None else load(digest)

        return load_either

    def finish(self) -> IngestResult:
        """Make everything durable. More may be added, and `finish` called again, afterwards.

        Raises: OutOfSpace, BackendUnavailable; also when storing anything failed before.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            with self._noting_failure():
                self._flush()
                self._store_pack()
            return IngestResult(
                tuple(self._packs),
                tuple(self._blobs),
                tuple(self._reused),
                dict(self._lost),
            )

    def release(self) -> None:
        """Leave what was stored to gc, but for what a commit has named. Blocks: on the catalog."""
        with self._lock:
            lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def discard(self) -> None:
        """Remove what is still in the workspace; objects that are stored are left to gc.

        Blocks: on the catalog.
        """
        with self._lock:
            self._pack.discard()
        self.release()

    def abandon(self) -> None:
        """As `discard`, from anywhere, such as a finalizer: it waits for nothing."""
        self._pack.discard()
        if self._lease is not None:
            self._lease.abandon()

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except ArtfsError as error:
            with self._lock:
                self._failure = error
                self._pack.discard()
            raise

    def _add_small(
        self,
        fd: int,
        path: str | os.PathLike[str],
        status: os.stat_result,
        on_bytes: ReportBytes | None,
    ) -> StoredContent:
        with translate_os_errors(path):
            data = read_whole(fd, status)
        if on_bytes is not None:
            on_bytes(len(data))
        return self._keep_small(data)

    def _keep_small(self, data: bytes) -> StoredContent:
        hashed = hash_bytes(data)
        self._keep(hashed.sha256, data)
        return StoredContent(hashed.sha256, hashed.md5, hashed.size_bytes, None)

    def _add_large(
        self, fd: int, path: Path, transfer: Transfer, on_bytes: ReportBytes | None
    ) -> StoredContent:
        source = path
        if transfer is Transfer.COPY:
            source = self._workspace.temporaries.new("large")
        try:
            hashed = self._hash_large(fd, path, source, on_bytes)
            reach_step("put.large-hashed", path)
            blocks = self._keep_block_list(hashed)
            if self._is_new(hashed.sha256):
                kept = Transfer.MOVE if transfer is Transfer.COPY else transfer
                self._store_large(hashed, source, kept)
        finally:
            if transfer is Transfer.COPY:
                source.unlink(missing_ok=True)
        return StoredContent(hashed.sha256, hashed.md5, hashed.size_bytes, blocks)

    def _add_hashed(self, path: Path, transfer: Transfer, hashed: ContentHash) -> StoredContent:
        blocks = self._keep_block_list(hashed)
        if self._is_new(hashed.sha256):
            self._store_large(hashed, path, transfer)
        return StoredContent(hashed.sha256, hashed.md5, hashed.size_bytes, blocks)

    def _store_large(self, hashed: ContentHash, source: Path, transfer: Transfer) -> None:
        key = ObjectKey(Namespace.BLOBS, hashed.sha256)
        with self._noting_failure():
            self._objects.put(key, source, transfer=transfer)
            reach_step("put.large-stored", key)
        with self._lock:
            self._blobs.append(BlobRecord(hashed.sha256, hashed.size_bytes, None, 0))
            self.stored_blobs += 1
            self.stored_bytes += hashed.size_bytes

    def _hash_large(
        self, fd: int, path: Path, source: Path, on_bytes: ReportBytes | None
    ) -> ContentHash:
        with translate_os_errors(path):
            if source == path:
                return hash_file(fd, on_bytes=on_bytes)
            copy = os.open(source, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                return hash_file(fd, copy_to=copy, on_bytes=on_bytes)
            finally:
                os.close(copy)

    def _keep_block_list(self, hashed: ContentHash) -> BlockList | None:
        blocks = hashed.blocks
        if blocks is not None and hashed.block_list is not None:
            self._keep(block_list_name(blocks), hashed.block_list)
        return blocks

    def _keep(self, digest: Digest, data: bytes) -> None:
        with self._lock:
            if digest in self._seen:
                return
            self._seen.add(digest)
            self._waiting.append((digest, data))
            self._waiting_bytes += len(data)
            if len(self._waiting) >= _BATCH_BLOBS or self._waiting_bytes >= _BATCH_BYTES:
                with self._noting_failure():
                    self._flush()

    def _is_new(self, digest: Digest) -> bool:
        with self._lock:
            if digest in self._seen:
                return False
            self._seen.add(digest)
        with self._lock:
            if digest in self._known([digest]):
                self._reused.append(digest)
                return False
        return True

    def _known(
        self, wanted: Sequence[Digest], *, packs: Sequence[Digest] = ()
    ) -> dict[Digest, BlobRecord]:
        """What the store has of this, to be relied upon; the lock is held."""
        if self._lease is None:
            self._lease = self._catalog.lease(LeaseKind.INTAKE)
        reserved = self._catalog.reserve(wanted, packs=packs)
        if reserved.doomed:
            # What gc has begun to delete must be gone before it can be stored again.
            self._catalog.sweep(self._delete, only=reserved.doomed)
        return self._without_lost(reserved.found)

    def _delete(self, record: BlobRecord | PackRecord) -> None:
        self._objects.delete(stored_object(record))

    def _without_lost(self, known: dict[Digest, BlobRecord]) -> dict[Digest, BlobRecord]:
        """What is there of what the catalog knows; the lock is held."""
        lost = self._presence.lost(known.values()) if self._presence is not None else set()
        for digest in lost:
            self._lost[digest] = known.pop(digest).pack
        return known

    def _flush(self) -> None:
        """Write the waiting blobs that the store does not have; the lock is held."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not waiting:
            return
        known = self._known([digest for digest, _ in waiting])
        for digest, data in waiting:
            if digest in known:
                self._reused.append(digest)
            else:
                self._pack.writer().add(digest, data)
                if self._pack.is_full:
                    self._store_pack()

    def _store_pack(self) -> None:
        pack = self._pack.take()
        if pack is None:
            return
        try:
            finished = pack.finish()
            reach_step("put.pack-written", pack.path)
            # The same pack may be there, and be about to go.
            self._known([], packs=[finished.sha256])
            key = ObjectKey(Namespace.PACKS, finished.sha256)
            self._objects.put(key, pack.path, transfer=Transfer.MOVE)
            reach_step("put.pack-stored", key)
        finally:
            pack.discard()
        self._packs.append(PackRecord(finished.sha256, finished.size_bytes))
        self.stored_blobs += len(finished.blobs)
        self.stored_bytes += sum(blob.size_bytes for blob in finished.blobs)
        self._blobs.extend(
            BlobRecord(blob.sha256, blob.size_bytes, finished.sha256, blob.offset)
            for blob in finished.blobs
        )

    def _leave_pack_to_parent(self) -> None:
        try:
            self._pack.leave_to_parent()
        except OutOfSpace as error:
            self._failure = error
