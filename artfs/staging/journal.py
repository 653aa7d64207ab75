"""The journal of a staging area's index: changes that its SQLite file does not have yet.

A journal is a file of records, one after the other, with zeros behind the last one:

    length, 4 bytes, little-endian; CRC-32 of the body, 4 bytes; the body, msgpack

A journal that follows another one begins with the length of that one, a number. The host may die
when it has written more of the later one: what was changed last must not be there without what
was changed before it.

Appending a change is one write(2) into space that is there already. It costs a tenth of what a
transaction of SQLite costs, and works on a full disk: files can still be removed there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Annotated, Any
from zlib import crc32

import msgspec

from artfs.decoding import analysed
from artfs.errors import UNDECODABLE, StoreFormatError
from artfs.system.files import pwrite_full

if TYPE_CHECKING:
    from artfs.staging.nodes import StagedNode

NodeId = Annotated[int, msgspec.Meta(ge=1, lt=1 << 60)]
_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
NodeRow = tuple[int, str, int, int, int, int, int, bytes | str | None]
LinkRow = tuple[int, str, int | None]
Record = tuple[list[int], list[tuple[int, str]], list[int], list[NodeRow], list[LinkRow]]
"""Vanished directories, removed links, gone nodes, nodes, links: see Changes; in this order."""
_StoredRow = tuple[NodeId, str, _Number, _Number, _Number, _Number, _Number, Any]
_StoredRecord = tuple[
    list[NodeId],
    list[tuple[NodeId, str]],
    list[NodeId],
    list[_StoredRow],
    list[tuple[NodeId, str, NodeId | None]],
]

RESERVE_BYTES = 2 * 1024 * 1024
_PREFIX = "journal-"
_HEAD = Struct("<II")
_encode = msgspec.msgpack.Encoder().encode
# The content of a node's row may be text or bytes, which no typed decoder can tell apart.
_decode = msgspec.msgpack.Decoder(analysed(_StoredRecord | int)).decode


class Changes:
    """What one operation changes; applied whole or not at all."""

    __slots__ = ("gone", "links", "newly_persisted", "nodes", "removed_links", "vanished")

    def __init__(self) -> None:
        self.nodes: list[NodeRow] = []
        self.links: list[LinkRow] = []
        self.removed_links: list[tuple[int, str]] = []
        self.gone: list[int] = []
        """Nodes that have no name any more; or in `nodes` still, but need no plain file."""
        self.vanished: list[int] = []
        """Directories whose names all go with them."""
        self.newly_persisted: list[StagedNode] = []

    def record(self) -> Record:
        """What the index has to know."""
        return self.vanished, self.removed_links, self.gone, self.nodes, self.links


def merged(records: Iterable[Record]) -> Record:
    """One record that does what all of these do, one after the other.

    Making 10,000 files in a directory changes the directory's row 10,000 times.
    """
    vanished: dict[int, None] = {}
    nodes: dict[int, NodeRow | None] = {}
    links: dict[int, dict[str, LinkRow | None]] = {}
    for vanishing, removed_links, gone, put_nodes, put_links in records:
        for parent in vanishing:
            vanished[parent] = None
            links.pop(parent, None)
        for parent, name in removed_links:
            links.setdefault(parent, {})[name] = None
        nodes.update(dict.fromkeys(gone))
        for row in put_nodes:
            nodes[row[0]] = row
        for link in put_links:
            links.setdefault(link[0], {})[link[1]] = link
    return (
        list(vanished),
        [
            (parent, name)
            for parent, names in links.items()
            for name, link in names.items()
            if link is None
        ],
        [node_id for node_id, row in nodes.items() if row is None],
        [row for row in nodes.values() if row is not None],
        [link for names in links.values() for link in names.values() if link is not None],
    )


class Journal:
    """A journal that is appended to. Not thread-safe, except for `sync`. Methods raise OSError."""

    def __init__(self, directory: Path, number: int) -> None:
        """Make journal `number`; it survives the host once the directory is synced."""
        self.path = directory / f"{_PREFIX}{number:08d}"
        self.number = number
        self.size_bytes = 0
        self._first_bytes = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = -1
        self._fd = os.open(self.path, flags, 0o600)

    def __del__(self) -> None:
        # A thread may still sync it when everything in it has been applied.
        if self._fd >= 0:
            os.close(self._fd)

    def reserve(self) -> None:
        """Make room for changes, so that appending them works on a disk that is full by then."""
        os.posix_fallocate(self._fd, 0, RESERVE_BYTES)

    def follow(self, journal: Journal) -> None:
        """Note the end of the journal before this one, which grows no more; call it first."""
        self._append(journal.size_bytes)
        self._first_bytes = self.size_bytes

    @property
    def is_empty(self) -> bool:
        """Whether there is no change in it."""
        return self.size_bytes == self._first_bytes

    def append(self, record: Record) -> None:
        """Append a change; it survives this process from here on. One that fails leaves nothing."""
        self._append(record)

    def _append(self, value: Record | int) -> None:
        body = _encode(value)
        pwrite_full(self._fd, _HEAD.pack(len(body), crc32(body)) + body, self.size_bytes)
        self.size_bytes += _HEAD.size + len(body)

    def sync(self) -> None:
        """Make what was appended survive the host. Blocks: disk."""
        os.fsync(self._fd)


def journals(directory: Path) -> list[tuple[int, Path]]:
    """The journals that are there, oldest first. Raises: OSError."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX):
                with suppress(ValueError):
                    found.append((int(entry.name.removeprefix(_PREFIX)), Path(entry.path)))
    return sorted(found)


def read_journals(paths: Iterable[Path]) -> Iterator[Record]:
    """The records of journals, oldest first, up to where a host that died left them.

    Raises: OSError.
    """
    end_before: int | None = None
    for path in paths:
        end = 0
        for end_of_value, value in _values(path.read_bytes()):
            end = end_of_value
            if not isinstance(value, int):
                yield value
            elif end_before not in {None, value}:
                return
        end_before = end


def _values(data: bytes) -> Iterator[tuple[int, Record | int]]:
    """What is in a journal, with the place behind it."""
    position = 0
    while position + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, position)
        position += _HEAD.size
        body = data[position : position + length]
        if length == 0 or len(body) < length or crc32(body) != checksum:
            return
        position += length
        try:
            value = _decode(body)
            _check_contents(value)
        except (TypeError, *UNDECODABLE) as error:
            # Its checksum is right: it was not cut by a crash, but written so.
            raise StoreFormatError("journal", f"a record is damaged ({error})") from None
        yield position, value


def _check_contents(value: Record | int) -> None:
    if not isinstance(value, int):
        for row in value[3]:
            if not isinstance(row[7], bytes | str | None):
                raise TypeError("a node with content that is none")


def unneeded(records: Iterable[Record]) -> list[int]:
    """The nodes whose plain files may be removed, after records done one after the other."""
    found: dict[int, None] = {}
    for _, _, gone, put_nodes, _ in records:
        found.update(dict.fromkeys(gone))
        for row in put_nodes:
            if has_plain_file(row):
                found.pop(row[0], None)
    return list(found)


def has_plain_file(row: NodeRow) -> bool:
    """Whether the row is that of a file with content of its own."""
    return row[1] == "f" and row[7] is None
