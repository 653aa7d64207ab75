"""One tree on its way from a store to another: what the other one has not, verified as it comes.

Directories are gone through one by one, however deep they are, one held for each level. What
the version before has at the same place is passed over; of the rest the target's catalog is
asked, some thousand entries at a time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from threading import BoundedSemaphore, Event
from typing import Protocol

import msgspec

from artfs.blobs.base import Transfer
from artfs.blobs.blocklists import ListLayout
from artfs.blobs.hashing import ContentHash, StreamHash, hash_bytes
from artfs.catalog.base import Catalog
from artfs.content.base import Content, read_blocks
from artfs.errors import BlobNotFound, IntegrityError, InvalidManifest, ReferenceChanged
from artfs.manifest.directory import Directory, directory_digest, encode_directory, totals
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry
from artfs.manifest.tree import LoadDirectory
from artfs.model import BLOCK_SIZE_BYTES, SMALL_BLOB_LIMIT_BYTES, Digest
from artfs.references.artifact import SCHEME
from artfs.repository.facade import Repository
from artfs.repository.ingest import Ingest, StoredContent
from artfs.system.files import state_of
from artfs.system.oserrors import translate_os_errors
from artfs.system.progress import ProgressMeter, Stopped
from artfs.system.threads import Workers

_CHUNK_ENTRIES = 4096
_LARGE_AT_ONCE = 4
"""Large files under way: each needs its size in the target's workspace."""

Leaf = FileEntry | ReferenceEntry
Wanted = Sequence[tuple[str, Leaf]]
"""Entries of which the content is missing, with their paths."""


class Receiver(Protocol):
    """What takes a tree in, or only looks what of it is missing."""

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """Those that the target has not. Blocks: on its catalog."""
        ...

    def take(self, wanted: Wanted) -> list[FileEntry]:
        """Take contents in; files of them, in their order. Blocks: on both stores."""
        ...

    def add_directory(self, digest: Digest, encoded: bytes) -> None:
        """Take a directory object in."""
        ...


class Base(msgspec.Struct, frozen=True):
    """A tree that the target has, and will have when the commit is made."""

    tree: Digest
    load: LoadDirectory

    def directory(self, digest: Digest) -> Directory | None:
        """One of its directories; None for one that cannot be read: then it is no help."""
        try:
            return self.load(digest)
        except (BlobNotFound, IntegrityError, InvalidManifest):
            return None


class _Frame:
    """A directory that is gone through."""

    __slots__ = ("base", "below", "changes", "directory", "entry", "path", "position")

    def __init__(
        self, entry: DirectoryEntry, path: str, directory: Directory, base: Directory | None
    ) -> None:
        self.entry = entry
        self.path = path
        """With a slash at its end; empty for the root."""
        self.directory = directory
        self.base = base
        self.position = 0
        self.below: deque[DirectoryEntry] = deque()
        self.changes: dict[str, Entry] = {}


class TreeSender:
    """Sends one tree. For one thread, which starts others."""

    def __init__(self, source: Repository, receiver: Receiver, meter: ProgressMeter) -> None:
        self._source = source
        self._receiver = receiver
        self._meter = meter
        self._done: dict[Digest, DirectoryEntry] = {}
        self.referred: set[str] = set()
        """The ids of versions that the tree refers to."""

    def send(self, root: DirectoryEntry, base: Base | None) -> DirectoryEntry:
        """The root of the tree as it is in the target.

        It is the same but where the source shows files as references.
        Blocks: on both stores. Raises: as both do; IntegrityError for what is not what it was said
        to be.
        """
        stack = [self._opened(root, "", base, None if base is None else base.tree)]
        while True:
            frame = stack[-1]
            if frame.below:
                child = frame.below.popleft()
                known = None if frame.base is None else frame.base.get(child.name)
                same = known.sha256 if isinstance(known, DirectoryEntry) else None
                if same == child.sha256 and base is not None:
                    self._pass_over(child)
                elif (done := self._done.get(child.sha256)) is not None:
                    self._pass_over(child)
                    _note(frame, child, done)
                else:
                    stack.append(self._opened(child, f"{frame.path}{child.name}/", base, same))
            elif frame.position < len(frame.directory):
                self._send_some(frame)
            else:
                stack.pop()
                done = self._finished(frame)
                if not stack:
                    return done
                _note(stack[-1], frame.entry, done)

    def _opened(
        self, entry: DirectoryEntry, path: str, base: Base | None, same: Digest | None
    ) -> _Frame:
        directory = self._source.directory(entry.sha256)
        known = None if base is None or same is None else base.directory(same)
        return _Frame(entry, path, directory, known)

    def _pass_over(self, entry: DirectoryEntry) -> None:
        self._meter.advance(files=entry.file_count, size_bytes=entry.size_bytes)

    def _send_some(self, frame: _Frame) -> None:
        """Send the next entries of a directory, but for directories."""
        start, frame.position = frame.position, frame.position + _CHUNK_ENTRIES
        files: list[FileEntry] = []
        own: list[ReferenceEntry] = []
        passed_files = passed_bytes = 0
        for entry in frame.directory.slice(start, frame.position):
            if isinstance(entry, DirectoryEntry):
                frame.below.append(entry)
                continue
            known = None if frame.base is None else frame.base.get(entry.name)
            if isinstance(entry, FileEntry):
                if not _is_same(entry, known):
                    files.append(entry)
                    continue
            elif isinstance(entry, ReferenceEntry):
                self._note_reference(entry)
                if self._source.is_server and entry.is_server_file:
                    if not _is_same(entry, known):
                        own.append(entry)
                        continue
                    assert isinstance(known, FileEntry)
                    frame.changes[entry.name] = msgspec.structs.replace(
                        known, mtime_ns=entry.mtime_ns
                    )
            else:
                continue
            passed_files += 1
            passed_bytes += entry.size_bytes or 0
        wanted = self._missing(files)
        passed_files += len(files) - len(wanted)
        passed_bytes += sum(entry.size_bytes for entry in files)
        passed_bytes -= sum(entry.size_bytes for entry in wanted)
        self._meter.advance(files=passed_files, size_bytes=passed_bytes)
        both: list[Leaf] = [*wanted, *own]
        taken = self._receiver.take([(frame.path + each.name, each) for each in both])
        for entry in taken[len(wanted) :]:
            frame.changes[entry.name] = entry

    def _missing(self, files: list[FileEntry]) -> list[FileEntry]:
        """One file for each content that is not in the target."""
        missing = set(self._receiver.missing(digest for each in files for digest in each.blobs))
        wanted = {
            (each.sha256, each.blocks): each for each in files if not missing.isdisjoint(each.blobs)
        }
        return list(wanted.values())

    def _note_reference(self, entry: ReferenceEntry) -> None:
        scheme, _, rest = entry.uri.partition("://")
        if scheme.lower() == SCHEME:
            self.referred.add(rest.partition("/")[0])

    def _finished(self, frame: _Frame) -> DirectoryEntry:
        """Send the directory itself."""
        entry, encoded = frame.entry, frame.directory.encoded
        if frame.changes:
            entries = [frame.changes.get(each.name, each) for each in frame.directory.entries()]
            encoded = encode_directory(entries)
            entry = DirectoryEntry(entry.name, directory_digest(encoded), *totals(entries))
        self._receiver.add_directory(entry.sha256, encoded)
        self._done[frame.entry.sha256] = entry
        return entry


def _note(frame: _Frame, old: DirectoryEntry, new: DirectoryEntry) -> None:
    """Let a directory have one below it as it is in the target."""
    if new.sha256 != old.sha256:
        frame.changes[old.name] = msgspec.structs.replace(new, name=old.name)


def _is_same(entry: Leaf, known: Entry | None) -> bool:
    """Whether the target has the content of an entry at the same place of the base."""
    if not isinstance(known, FileEntry):
        return False
    if isinstance(entry, FileEntry):
        return (entry.sha256, entry.blocks) == (known.sha256, known.blocks)
    # Its server knows no other name of the content.
    return (entry.digest, entry.size_bytes) == (known.digest, known.size_bytes)


class Taking:
    """Takes a tree into the target; implements Receiver."""

    def __init__(
        self, source: Repository, target: Repository, ingest: Ingest, meter: ProgressMeter
    ) -> None:
        self._source = source
        self._target = target
        self._ingest = ingest
        self._meter = meter
        self._stopped = Event()
        self._large = BoundedSemaphore(_LARGE_AT_ONCE)

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """See Receiver."""
        return self._ingest.missing(digests)

    def add_directory(self, digest: Digest, encoded: bytes) -> None:
        """See Receiver."""
        self._ingest.add_directory(digest, encoded)

    def take(self, wanted: Wanted) -> list[FileEntry]:
        """See Receiver."""
        self._source.prepare(entry for _, entry in wanted)
        taken: dict[int, FileEntry] = {}

        def job(number: int) -> None:
            path, entry = wanted[number]
            try:
                taken[number] = self._take(path, entry)
            except (IntegrityError, BlobNotFound) as error:
                if error.subject == path:
                    raise
                raise type(error)(path, error.reason, hint=error.hint) from error

        if wanted:
            workers = Workers("artfs-copy")
            workers.run(job, range(len(wanted)), on_failure=self._stopped.set)
            self._ingest.record(self._target.require_objects)
        return [taken[number] for number in range(len(wanted))]

    def _take(self, path: str, entry: Leaf) -> FileEntry:
        if isinstance(entry, FileEntry) and entry.size_bytes < SMALL_BLOB_LIMIT_BYTES:
            return self._small(path, entry, self._source.blobs.read(entry.sha256))
        content = self._source.content(entry)
        if content.size_bytes < SMALL_BLOB_LIMIT_BYTES:
            return self._small(path, entry, b"".join(read_blocks(content)))
        with self._large:
            return self._take_large(path, entry, content)

    def _small(self, path: str, entry: Leaf, data: bytes) -> FileEntry:
        self._check_stopped()
        _check(path, entry, hash_bytes(data))
        stored = self._ingest.add_bytes(data)
        self._meter.advance(files=1, size_bytes=len(data))
        return _file(entry, stored)

    def _take_large(self, path: str, entry: Leaf, content: Content) -> FileEntry:
        place = self._target.workspace.temporaries.new("copy")
        try:
            with translate_os_errors(place):
                fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                hashed = self._written(fd, content)
                state = state_of(os.fstat(fd))
            finally:
                os.close(fd)
            _check(path, entry, hashed)
            stored, _ = self._ingest.add_file(
                place, transfer=Transfer.MOVE, hashed=hashed, state=state
            )
        finally:
            place.unlink(missing_ok=True)
        self._ingest.record(self._target.require_objects)
        self._meter.advance(files=1)
        return _file(entry, stored)

    def _written(self, fd: int, content: Content) -> ContentHash:
        hasher = StreamHash(fd)
        try:
            for block in read_blocks(content):
                self._check_stopped()
                hasher.feed(block)
                self._meter.advance_bytes(len(block))
            return hasher.finish()
        finally:
            hasher.close()

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise Stopped


class Looking:
    """Counts what of trees is not in the target; implements Receiver."""

    def __init__(self, target: Catalog | None, meter: ProgressMeter) -> None:
        self._target = target
        self._meter = meter
        self._seen: set[Digest] = set()
        self.blobs = self.size_bytes = 0

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """See Receiver."""
        wanted = [each for each in dict.fromkeys(digests) if each not in self._seen]
        self._seen.update(wanted)
        known = {} if self._target is None else self._target.locate(wanted)
        return [each for each in wanted if each not in known]

    def take(self, wanted: Wanted) -> list[FileEntry]:
        """See Receiver; the entries are of no use."""
        found: list[FileEntry] = []
        for _, entry in wanted:
            size_bytes = entry.size_bytes or 0
            self._count(size_bytes)
            if size_bytes > BLOCK_SIZE_BYTES:
                self._count(ListLayout(size_bytes).list_bytes)
            self._meter.advance(files=1, size_bytes=size_bytes)
            digest = Digest(b"\0" * 32)
            found.append(FileEntry(entry.name, digest, size_bytes, b"\0" * 16, None, False, 0))
        return found

    def add_directory(self, digest: Digest, encoded: bytes) -> None:
        """See Receiver."""
        if self.missing([digest]):
            self._count(len(encoded))

    def _count(self, size_bytes: int) -> None:
        self.blobs += 1
        self.size_bytes += size_bytes


def _check(path: str, entry: Leaf, hashed: ContentHash) -> None:
    """Raises: IntegrityError, ReferenceChanged for what is not what it was said to be."""
    if isinstance(entry, ReferenceEntry):
        found = FileEntry("", hashed.sha256, hashed.size_bytes, hashed.md5, None, False, 0)
        if (found.digest, found.size_bytes) != (entry.digest, entry.size_bytes or 0):
            raise ReferenceChanged(path, "what came is not what its digest says")
        return
    known = (hashed.sha256, hashed.size_bytes, hashed.md5, hashed.blocks)
    if known != (entry.sha256, entry.size_bytes, entry.md5, entry.blocks):
        raise IntegrityError(path, "what came is not what its digests say")


def _file(entry: Leaf, stored: StoredContent) -> FileEntry:
    return FileEntry(
        name=entry.name,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        md5=stored.md5,
        blocks=stored.blocks,
        executable=isinstance(entry, FileEntry) and entry.executable,
        mtime_ns=entry.mtime_ns,
    )
