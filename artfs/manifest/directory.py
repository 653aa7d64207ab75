"""Directory objects: canonical encoding, and random access without decoding the whole.

The encoding is one msgpack array `[version, index, entries]`. `entries` are sorted by the UTF-8
bytes of their names; `index` is a byte string of little-endian uint32, the offset of each entry
from the first one's start. With it, a lookup among a million entries decodes some twenty of
them, and a directory that is held in memory costs its encoded size and nothing more (ADR 0001).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from operator import lt

import msgspec

from artfs.decoding import analysed
from artfs.errors import UNDECODABLE, InvalidManifest, InvalidName
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry
from artfs.model import MAX_ENTRY_NAME_BYTES, Digest, check_entry_name

FORMAT_VERSION = 1
_CHUNK_ENTRIES = 1024
_OFFSET_BYTES = 4
_MAX_BODY_BYTES = 2**32 - 1
_NEVER_NAMES = frozenset({"", ".", ".."})
_LITTLE_ENDIAN = sys.byteorder == "little"


_encoder = msgspec.msgpack.Encoder()
_entry_decoder = msgspec.msgpack.Decoder(analysed(Entry))
_entries_decoder = msgspec.msgpack.Decoder(analysed(list[Entry]))


class _Envelope(msgspec.Struct, array_like=True):
    version: int
    index: bytes
    entries: msgspec.Raw


_envelope_decoder = msgspec.msgpack.Decoder(analysed(_Envelope))


class Edit(msgspec.Struct, frozen=True):
    """A change of a directory: what comes in the place of `count` entries, none or one."""

    position: int
    count: int
    entry: Entry | None


class Directory:
    """A read-only directory object that decodes entries when they are asked for."""

    __slots__ = ("_body", "_encoded", "_offsets")

    def __init__(self, encoded: bytes) -> None:
        """Wrap an encoded directory object.

        Raises: InvalidManifest where it is not one. Entries are only checked when decoded.
        """
        try:
            envelope = _envelope_decoder.decode(encoded)
        except UNDECODABLE as error:
            raise InvalidManifest("directory object", str(error)) from None
        if envelope.version != FORMAT_VERSION:
            raise InvalidManifest(
                "directory object",
                f"format version {envelope.version}",
                hint="a newer artfs may read it",
            )
        self._encoded = encoded
        self._offsets = _read_index(envelope.index)
        self._body = _array_body(memoryview(envelope.entries), len(self._offsets))

    @property
    def encoded(self) -> bytes:
        """The directory object."""
        return self._encoded

    @property
    def encoded_size_bytes(self) -> int:
        """What this directory holds in memory."""
        return len(self._encoded) + len(self._offsets) * _OFFSET_BYTES

    def __len__(self) -> int:
        return len(self._offsets)

    def entry(self, position: int) -> Entry:
        """The entry at `position` in name order.

        Raises: InvalidManifest for one that is malformed; IndexError.
        """
        start, stop = self._span(position)
        try:
            return _checked(_entry_decoder.decode(self._body[start:stop]))
        except UNDECODABLE as error:
            raise InvalidManifest(f"directory entry {position}", str(error)) from None

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """All entries from position `start`, in name order, decoded in chunks."""
        for first in range(start, len(self), _CHUNK_ENTRIES):
            yield from self.slice(first, first + _CHUNK_ENTRIES)

    def slice(self, start: int, stop: int) -> list[Entry]:
        """The entries at positions `start` to `stop`, decoded at once.

        Raises: InvalidManifest.
        """
        stop = min(stop, len(self))
        if start >= stop:
            return []
        first, last = self._span(start)[0], self._span(stop - 1)[1]
        try:
            found = _entries_decoder.decode(_array_header(stop - start) + self._body[first:last])
        except UNDECODABLE as error:
            raise InvalidManifest(f"directory entries {start}..{stop}", str(error)) from None
        names = [entry.name for entry in found]
        if not _are_plain(names):
            for entry in found:
                _checked(entry)
        if not all(map(lt, names, names[1:])):
            raise InvalidManifest("directory object", "entries are not sorted, or stand twice")
        return found

    def position(self, name: str) -> int | None:
        """The position of the entry called `name`, by binary search."""
        position, found = self.search(name)
        return None if found is None else position

    def get(self, name: str) -> Entry | None:
        """The entry called `name`, or None."""
        return self.search(name)[1]

    def search(self, name: str) -> tuple[int, Entry | None]:
        """Where the entry called `name` is, or would be, and that entry; by binary search."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            entry = self.entry(middle)
            if entry.name == name:
                return middle, entry
            if entry.name < name:
                low = middle + 1
            else:
                high = middle
        return low, None

    def edited(self, edits: Sequence[Edit]) -> bytes:
        """The encoding of this directory with some entries replaced, removed or put in.

        Edits come in name order. What stays is copied as it is encoded.
        Raises: InvalidName, InvalidManifest where it grows beyond 4 GiB.
        """
        made = _Encoding()
        position = 0
        for edit in edits:
            self._copy_to(made, start=position, stop=edit.position)
            position = edit.position + edit.count
            if edit.entry is not None:
                check_entry_name(edit.entry.name)
                made.add(_encoder.encode(edit.entry))
        self._copy_to(made, start=position, stop=len(self))
        return made.finish()

    def _copy_to(self, made: _Encoding, *, start: int, stop: int) -> None:
        if start < stop:
            first, last = self._span(start)[0], self._span(stop - 1)[1]
            made.add_all(self._body[first:last], self._offsets[start:stop])

    def _span(self, position: int) -> tuple[int, int]:
        start = self._offsets[position]
        following = position + 1
        stop = self._offsets[following] if following < len(self) else len(self._body)
        return start, stop


def encode_directory(entries: Sequence[Entry]) -> bytes:
    """The canonical encoding of `entries`, which may come in any order.

    Raises: InvalidName for a name that is invalid or stands twice.
    """
    ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        check_entry_name(entry.name)
    for before, after in pairwise(ordered):
        if before.name == after.name:
            raise InvalidName(repr(before.name), "stands twice in one directory")
    made = _Encoding()
    for entry in ordered:
        made.add(_encoder.encode(entry))
    return made.finish()


def directory_digest(encoded: bytes) -> Digest:
    """The key under which an encoded directory object is stored."""
    return Digest(sha256(encoded).digest())


def totals(entries: Iterable[Entry]) -> tuple[int, int]:
    """The bytes, and the number, of the files and references that entries stand for."""
    size_bytes = file_count = 0
    for entry in entries:
        if isinstance(entry, FileEntry):
            size_bytes += entry.size_bytes
            file_count += 1
        elif isinstance(entry, ReferenceEntry):
            size_bytes += entry.size_bytes or 0
            file_count += 1
        elif isinstance(entry, DirectoryEntry):
            size_bytes += entry.size_bytes
            file_count += entry.file_count
    return size_bytes, file_count


class _Encoding:
    """A directory object that is being put together from encoded entries."""

    __slots__ = ("_offsets", "_pieces", "_size_bytes")

    def __init__(self) -> None:
        self._pieces: list[bytes | memoryview] = []
        self._offsets = array("I")
        self._size_bytes = 0

    def add(self, entry: bytes) -> None:
        """Put one entry behind the others."""
        self._check_size()
        self._offsets.append(self._size_bytes)
        self._pieces.append(entry)
        self._size_bytes += len(entry)

    def add_all(self, body: memoryview, offsets: array[int]) -> None:
        """Put entries of another directory object there, with their offsets in that."""
        shift = self._size_bytes - offsets[0]
        self._size_bytes += len(body)
        self._check_size()
        if shift:
            offsets = array("I", [offset + shift for offset in offsets])
        self._offsets.extend(offsets)
        self._pieces.append(body)

    def finish(self) -> bytes:
        """The encoding. Raises: InvalidManifest where it exceeds 4 GiB."""
        self._check_size()
        count = len(self._offsets)
        if not _LITTLE_ENDIAN:
            self._offsets.byteswap()
        head = b"\x93" + _encoder.encode(FORMAT_VERSION) + _encoder.encode(self._offsets.tobytes())
        return b"".join((head, _array_header(count), *self._pieces))

    def _check_size(self) -> None:
        if self._size_bytes > _MAX_BODY_BYTES:
            raise InvalidManifest(
                "one directory",
                "has so many entries that its object exceeds 4 GiB",
                hint="spread them over several directories",
            )


def _are_plain(names: Sequence[str]) -> bool:
    """Whether names are valid at first sight, without a look at each one."""
    joined = "\n".join(names)
    return (
        joined.isascii()
        and "/" not in joined
        and "\0" not in joined
        and _NEVER_NAMES.isdisjoint(names)
        and max(map(len, names), default=0) <= MAX_ENTRY_NAME_BYTES
    )


def _checked(entry: Entry) -> Entry:
    # Names come from whoever wrote the store: they are checked when read, not only when written.
    try:
        check_entry_name(entry.name)
    except InvalidName as error:
        raise InvalidManifest("directory entry", f"{error.subject} is {error.reason}") from None
    return entry


def _read_index(raw: bytes) -> array[int]:
    if len(raw) % _OFFSET_BYTES:
        raise InvalidManifest("directory object", "its index is cut short")
    offsets = array("I")
    offsets.frombytes(raw)
    if not _LITTLE_ENDIAN:
        offsets.byteswap()
    return offsets


def _array_body(encoded: memoryview, count: int) -> memoryview:
    """The bytes of a msgpack array behind its header, which must announce `count` elements."""
    header = _array_header(count)
    if bytes(encoded[: len(header)]) != header:
        raise InvalidManifest("directory object", "its index and its entries do not agree")
    return encoded[len(header) :]


def _array_header(count: int) -> bytes:
    # https://github.com/msgpack/msgpack/blob/master/spec.md, "array format family"
    if count < 16:
        return bytes([0x90 | count])
    if count < 2**16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")
