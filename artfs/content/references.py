"""Reading references: through the block cache, or in place where they are local files."""

from __future__ import annotations

import os
import secrets
from hashlib import sha256
from weakref import WeakValueDictionary

import msgspec
from cachetools import LRUCache

from artfs import forks
from artfs.blobs.cache import BlockCache
from artfs.content.base import Content
from artfs.content.local_files import state_to_prove
from artfs.content.remote import CachedContent
from artfs.content.streams import SourceBlocks, measure
from artfs.content.whole import ContentToCheck, WholeCheck
from artfs.decoding import analysed
from artfs.errors import ArtfsError, BackendUnavailable, ReferenceChanged
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.model import Buffer, ByteRange, Digest, block_range
from artfs.references.base import Observed, Source
from artfs.references.registry import References
from artfs.references.retry import RetryPolicy, retrying
from artfs.system.files import FileState, SharedDescriptor, file_state, pread_full
from artfs.system.oserrors import translate_os_errors

_MAX_OBSERVED = 65_536


class ReferenceReader:
    """Makes the content of reference entries. Thread-safe.

    What an entry leaves open (a size, any pin at all) is asked for once, and holds from then on:
    for this process's life, and in the cache for times when the source does not answer.
    """

    def __init__(
        self, references: References, cache: BlockCache, *, policy: RetryPolicy | None = None
    ) -> None:
        self._references = references
        self._cache = cache
        self._policy = policy or RetryPolicy.standard()
        self._lock = forks.lock()
        self._observed: LRUCache[Digest, Observed] = LRUCache(_MAX_OBSERVED)
        self._contents: WeakValueDictionary[Digest, CachedContent] = WeakValueDictionary()

    def content(self, entry: ReferenceEntry) -> Content:
        """The content of an entry that is no reference to another version.

        Blocks: on the source, where size or pin are not known yet, or where it is a local file.
        Raises: Unsupported, InvalidArgument, ReferenceChanged, BackendUnavailable,
        PermissionDenied.
        """
        source = self._references.open(entry)
        fd = source.open_local()
        if fd is not None:
            return LocalContent(entry, SharedDescriptor(fd), self._cache)
        if entry.size_bytes is None or entry.pin == Pin():
            entry = self._completed(entry, source)
            source = self._references.open(entry)
        assert entry.size_bytes is not None
        key = _key(b"content", entry)
        with self._lock:
            found = self._contents.get(key)
            if found is None:
                found = self._contents[key] = self._cached(key, entry, source)
            return found

    def _cached(self, key: Digest, entry: ReferenceEntry, source: Source) -> CachedContent:
        size_bytes = entry.size_bytes or 0
        whole = None
        if entry.pin.md5 is not None:
            content = ContentToCheck(
                entry.uri, size_bytes, lambda index: self._cache.read(key, index)
            )
            whole = WholeCheck(self._cache, key, entry.pin.md5, content)
        blocks = SourceBlocks(source, entry.uri, size_bytes, policy=self._policy)
        return CachedContent(self._cache, key, size_bytes, blocks, whole=whole)

    def _completed(self, entry: ReferenceEntry, source: Source) -> ReferenceEntry:
        """The entry with the size and pin that its source told when it was first asked."""
        key = _key(b"observed", entry)
        with self._lock:
            observed = self._observed.get(key)
        if observed is None:
            observed = self._observe(key, entry, source)
            with self._lock:
                observed = self._observed.setdefault(key, observed)
        return _with(entry, observed)

    def _observe(self, key: Digest, entry: ReferenceEntry, source: Source) -> Observed:
        try:
            observed = retrying(
                self._policy, lambda deadline: source.observe(timeout_s=deadline.step_s)
            )
            if observed.size_bytes is None and entry.size_bytes is None:
                observed = self._measured(entry, observed)
        except BackendUnavailable:
            note = self._cache.read_note(key)
            if note is None:
                raise
            return msgspec.msgpack.decode(note, type=analysed(Observed))
        self._cache.write_note(key, msgspec.msgpack.encode(observed))
        return observed

    def _measured(self, entry: ReferenceEntry, observed: Observed) -> Observed:
        """Read everything for its size, and keep it, so that it is not read a second time."""
        pinned = _with(entry, observed)
        # Of nothing else, until the size is known, which is part of what stands for content.
        key = Digest(secrets.token_bytes(32))
        size_bytes = count = 0
        source = self._references.open(pinned)
        try:
            for index, data in measure(source, entry.uri, policy=self._policy):
                self._cache.put(key, index, data)
                size_bytes, count = size_bytes + len(data), index + 1
        except ArtfsError:
            for index in range(count):
                self._cache.drop(key, index)
            raise
        found = Observed(size_bytes, observed.pin)
        for index in range(count):
            self._cache.rename(key, index, to=_key(b"content", _with(entry, found)))
        return found


class _Proof(msgspec.Struct, frozen=True):
    """What was compared with the md5, and in which state of the file."""

    state: FileState
    lasts: bool
    """See `state_to_prove`."""
    whole: WholeCheck


class LocalContent(Content):
    """The bytes of a local file that is referred to, read in place.

    It stays with the file that it opened: one that takes its place under the same name is
    another one. Each read checks afterwards that size and mtime are what they were. What an md5
    proved holds while nothing else about the file changes either.
    """

    __slots__ = ("_cache", "_entry", "_file", "_pinned", "_proof", "_size", "_uri")

    def __init__(self, entry: ReferenceEntry, file: SharedDescriptor, cache: BlockCache) -> None:
        self._entry = entry
        self._uri = entry.uri
        self._file = file
        self._cache = cache
        with translate_os_errors(entry.uri):
            state, lasts = state_to_prove(file.fd)
        self._pinned = _pinned(state)
        self._size = state.size_bytes
        # One object: threads replace it.
        self._proof: _Proof | None = None
        if entry.pin.md5 is not None:
            self._proof = self._new_proof(entry.pin.md5, state, lasts=lasts)

    @property
    def size_bytes(self) -> int:
        """See Content."""
        return self._size

    @property
    def file_mode(self) -> int:
        """See Content."""
        return os.fstat(self._file.fd).st_mode & 0o777

    def try_read(self, span: ByteRange) -> Buffer | None:
        """See Content."""
        proof = self._proof
        if proof is not None and not (proof.lasts and proof.whole.has_seen(span)):
            return None
        data = bytearray(span.length)
        try:
            count = os.preadv(self._file.fd, [data], span.start, os.RWF_NOWAIT)
            state = file_state(self._file.fd)
        except OSError:
            return None
        is_right = _pinned(state) == self._pinned if proof is None else state == proof.state
        return data if is_right and count == span.length else None

    def load_block(self, index: int) -> bytes:
        """See Content."""
        with translate_os_errors(self._uri):
            # Before the read: of what comes after it, this would not have seen anything.
            state, lasts = state_to_prove(self._file.fd)
        data = self._read(index)
        proof = self._proof
        if proof is not None:
            if proof.state != state or (proof.whole.is_done and not proof.lasts):
                assert self._entry.pin.md5 is not None
                proof = self._proof = self._new_proof(self._entry.pin.md5, state, lasts=lasts)
            proof.whole.seen(index, data)
        return data

    def _new_proof(self, expected: bytes, state: FileState, *, lasts: bool) -> _Proof:
        """What compares all of the file, in this state, with its md5."""
        content = ContentToCheck(self._uri, self._size, self._read)
        key = _key(b"content", self._entry)
        told = msgspec.msgpack.encode(state)
        whole = WholeCheck(self._cache, key, expected, content, state=told, lasts=lasts)
        return _Proof(state, lasts, whole)

    def _read(self, index: int) -> bytes:
        """A block of the file, which has its size and mtime afterwards."""
        span = block_range(index, self._size)
        with translate_os_errors(self._uri):
            data = pread_full(self._file.fd, span.length, span.start)
            state = file_state(self._file.fd)
        if _pinned(state) != self._pinned or len(data) != span.length:
            raise ReferenceChanged(
                self._uri,
                f"(bytes, mtime in ns) was {self._pinned}, it now is {_pinned(state)}",
            )
        return data


def _pinned(state: FileState) -> tuple[int, int]:
    """What a reference to a file is pinned to."""
    return state.size_bytes, state.mtime_ns


def _with(entry: ReferenceEntry, observed: Observed) -> ReferenceEntry:
    """The entry with what it left open filled in."""
    size_bytes = observed.size_bytes if entry.size_bytes is None else entry.size_bytes
    pin = observed.pin if entry.pin == Pin() else entry.pin
    return msgspec.structs.replace(entry, size_bytes=size_bytes, pin=pin)


def _key(kind: bytes, entry: ReferenceEntry) -> Digest:
    """What stands for some pinned content in the cache, whatever it is called in a version.

    Its size is part of that: of some sources only the size tells apart what changed in a second.
    """
    identity = (kind, entry.place, entry.pin, entry.size_bytes)
    return Digest(sha256(msgspec.msgpack.encode(identity, order="deterministic")).digest())
