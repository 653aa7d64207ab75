"""The inside of a version: directories, files and symlinks that never change."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import msgspec

from artfs.catalog.records import VersionRecord
from artfs.encoding import json_text
from artfs.engine.prefetch import FilePattern
from artfs.errors import ArtfsError, InvalidManifest, PathNotFound, Unsupported
from artfs.manifest.directory import Directory
from artfs.manifest.entries import (
    DirectoryEntry,
    Entry,
    FileEntry,
    LeafEntry,
    ReferenceEntry,
    SymlinkEntry,
)
from artfs.model import BLOCK_SIZE_BYTES, Digest
from artfs.vfs.content_opener import opens_offline
from artfs.vfs.service import Service, TreeFile
from artfs.vfs.tree import (
    FOREVER_S,
    Attributes,
    ListedName,
    Lookup,
    Node,
    OpenFile,
    identity_in,
    key_of,
    number_of,
)

MAX_AHEAD_BYTES = 16 * 1024 * 1024

# As plain files have them: copies of them can be changed and removed. That the mount is `ro`
# protects it (promise R7).
DIRECTORY_MODE = stat.S_IFDIR | 0o755
DIRECTORY_SIZE_BYTES = 4096
_SYMLINK_MODE = stat.S_IFLNK | 0o777
_FILE_MODE = stat.S_IFREG | 0o644
_EXECUTABLE_MODE = stat.S_IFREG | 0o755
_LISTED_AT_ONCE = 256
_LOCATED_AT_ONCE = 512
_MAX_SIZE_BYTES = 2**62
_MAX_TARGET_BYTES = 4095
_MAX_TIME_NS = 2**63 - 1


class Neighbours:
    """What of one directory is read, and what is loaded ahead. For the loop only."""

    __slots__ = ("_ahead", "_digest", "_locate", "_pattern", "_service")

    def __init__(self, service: Service, digest: Digest, locate: Callable[[int], None]) -> None:
        """`locate` finds out, in a reader's thread, where the files around a position are."""
        self._service = service
        self._digest = digest
        self._locate = locate
        self._pattern = FilePattern()
        # The first position that no window has covered yet.
        self._ahead = 0

    def note_read(self, position: int) -> None:
        """The file at this position is read for the first time since it was opened."""
        window = self._pattern.observe(position)
        if not window:
            self._ahead = position + 1
            return
        start, stop = max(self._ahead, position + 1), position + 1 + window
        if start < stop:
            self._ahead = self._load(start, stop)

    def _load(self, start: int, stop: int) -> int:
        """Start to load these, as far as there is room; the first position that was left."""
        directory = self._service.directory_at_hand(self._digest)
        if directory is None:
            return start
        ahead_bytes = 0
        for position, entry in enumerate(directory.slice(start, stop), start):
            if not (
                isinstance(entry, ReferenceEntry) and entry.size_bytes and opens_offline(entry)
            ):
                continue
            ahead_bytes += min(entry.size_bytes, BLOCK_SIZE_BYTES)
            if ahead_bytes > MAX_AHEAD_BYTES:
                return position
            locate = partial(self._locate, position)
            if not self._service.contents.load_ahead(entry, locate):
                return position
        return stop


class TreeDirectory:
    """A directory of a version. Implements DirectoryNode."""

    __slots__ = (
        "_attributes",
        "_key",
        "_located",
        "_name",
        "_neighbours",
        "_parent",
        "_parent_number",
        "_service",
        "digest",
        "version",
    )

    def __init__(
        self,
        service: Service,
        version: VersionRecord,
        digest: Digest,
        attributes: Attributes,
        *,
        parent_number: int,
        parent: TreeDirectory | None = None,
        name: str = "",
        place: int | None = None,
    ) -> None:
        """`place` is the identity of its place, where it is not shown there but at the top."""
        self._service = service
        self.version = version
        self.digest = digest
        self._attributes = attributes
        self._key = key_of(attributes.identity if place is None else place)
        self._parent_number = parent_number
        self._parent = parent
        self._name = name
        self._located: set[int] = set()
        self._neighbours: Neighbours | None = None

    @property
    def attributes(self) -> Attributes:
        """See Node."""
        return self._attributes

    @property
    def parent_number(self) -> int:
        """See DirectoryNode."""
        return self._parent_number

    @property
    def path(self) -> str:
        """The path inside the version; empty for its root."""
        if self._parent is None:
            return ""
        above = self._parent.path
        return f"{above}/{self._name}" if above else self._name

    def xattrs(self) -> Mapping[str, bytes]:
        """See Node: what the version is, and where in it this directory."""
        version = self.version
        found = {"sha256": self.digest.hex(), "version": version.path, "path": self.path}
        if self._parent is None:
            found |= {
                "digest": version.digest,
                "aliases": ",".join(version.aliases),
                "type": version.type,
                "metadata": json_text(version.metadata),
            }
        return {name: value.encode() for name, value in found.items()}

    def open(self) -> OpenFile:
        """See Node."""
        raise Unsupported("directory", "it has no content")

    def readlink(self) -> str:
        """See Node."""
        raise Unsupported("directory", "it is no symlink")

    async def lookup(self, name: str) -> Lookup:
        """See DirectoryNode."""
        directory = await self._service.directory(self.digest)
        position = directory.position(name)
        if position is None:
            return Lookup(None, FOREVER_S)
        return Lookup(self._found(directory.entry(position), position), FOREVER_S)

    async def listing(self) -> TreeListing:
        """See DirectoryNode."""
        return TreeListing(self, await self._service.directory(self.digest))

    async def child(self, position: int) -> Node:
        """See DirectoryNode."""
        directory = await self._service.directory(self.digest)
        if position >= len(directory):
            raise PathNotFound(str(position), "no such position in this directory")
        entry = directory.entry(position)
        if isinstance(entry, DirectoryEntry):
            return self._subdirectory(entry)
        return TreeLeaf(self._service, self, position, entry)

    def leaf_attributes(self, entry: LeafEntry) -> Attributes:
        """What stat says of a file, reference or symlink of this directory."""
        identity = identity_in(self._key, entry.name)
        if isinstance(entry, FileEntry):
            return _file(entry, identity)
        mtime_ns = self._attributes.mtime_ns
        if isinstance(entry, SymlinkEntry):
            return _symlink(entry, identity, mtime_ns)
        return _reference(entry, identity, mtime_ns)

    def found(self, entries: list[Entry], start: int) -> list[ListedName]:
        """What `entries`, which stand here from position `start` on, look like."""
        return [self._found(entry, position) for position, entry in enumerate(entries, start)]

    def locate_neighbours(self, position: int) -> None:
        """Find out where the files around `position` are, once; blocks, in a reader's thread."""
        chunk = position // _LOCATED_AT_ONCE
        if chunk in self._located:
            return
        # Without it each file is located by itself, and whether that works is told there.
        with suppress(ArtfsError):
            repository = self._service.repository
            start = chunk * _LOCATED_AT_ONCE
            directory = repository.directory(self.digest)
            repository.prepare(directory.slice(start, start + _LOCATED_AT_ONCE))
            self._located.add(chunk)

    def note_read(self, position: int) -> None:
        """A reference at this position is read: others may be on their way before they are."""
        if self._neighbours is None:
            self._neighbours = Neighbours(self._service, self.digest, self.locate_neighbours)
        self._neighbours.note_read(position)

    def _found(self, entry: Entry, position: int) -> ListedName:
        if isinstance(entry, DirectoryEntry):
            node = self._subdirectory(entry)
            return ListedName(entry.name, node.attributes, position, node)
        return ListedName(entry.name, self.leaf_attributes(entry), position)

    def _subdirectory(self, entry: DirectoryEntry) -> TreeDirectory:
        identity = identity_in(self._key, entry.name)
        attributes = Attributes(
            identity, DIRECTORY_MODE, DIRECTORY_SIZE_BYTES, self._attributes.mtime_ns
        )
        return TreeDirectory(
            self._service,
            self.version,
            entry.sha256,
            attributes,
            parent_number=number_of(self._attributes.identity),
            parent=self,
            name=entry.name,
        )


class TreeListing:
    """The names of a directory of a version. Implements Listing."""

    __slots__ = ("_directory", "_node")

    def __init__(self, node: TreeDirectory, directory: Directory) -> None:
        self._node = node
        self._directory = directory

    def ttl_s(self) -> float:
        """See Listing."""
        return FOREVER_S

    async def chunk(self, start: int) -> list[ListedName]:
        """See Listing."""
        entries = self._directory.slice(start, start + _LISTED_AT_ONCE)
        return self._node.found(entries, start)


class TreeLeaf:
    """A file, reference or symlink of a version. Implements MeasurableNode."""

    __slots__ = ("_directory", "_entry", "_position", "_service")

    def __init__(
        self, service: Service, directory: TreeDirectory, position: int, entry: LeafEntry
    ) -> None:
        self._service = service
        self._directory = directory
        self._position = position
        self._entry = entry

    @property
    def attributes(self) -> Attributes:
        """See Node."""
        return self._directory.leaf_attributes(self._entry)

    def xattrs(self) -> Mapping[str, bytes]:
        """See Node."""
        entry = self._entry
        if isinstance(entry, FileEntry):
            return {"digest": entry.digest.encode(), "sha256": entry.sha256.hex().encode()}
        if isinstance(entry, ReferenceEntry):
            return {
                "digest": entry.digest.encode(),
                "reference": entry.uri.encode(),
                "pinned": entry.pin.proof.encode(),
            }
        return {}

    def open(self) -> OpenFile:
        """See Node."""
        if isinstance(self._entry, SymlinkEntry):
            raise Unsupported("symlink", "it has no content")
        return TreeFile(self._service.contents, self._entry, self._locate, self._note_read)

    async def measured(self) -> Attributes:
        """See MeasurableNode."""
        attributes = self.attributes
        if isinstance(self._entry, ReferenceEntry):
            # What cannot be read at all is still listed, and tells why when it is read.
            with suppress(Unsupported):
                size_bytes = await self._service.contents.size_of(self._entry, self._locate)
                return msgspec.structs.replace(
                    attributes, size_bytes=size_bytes, size_is_known=True
                )
        return attributes

    def _locate(self) -> None:
        self._directory.locate_neighbours(self._position)

    def _note_read(self) -> None:
        if isinstance(self._entry, ReferenceEntry):
            self._directory.note_read(self._position)

    def readlink(self) -> str:
        """See Node."""
        if not isinstance(self._entry, SymlinkEntry):
            raise Unsupported("file", "it is no symlink")
        return self._entry.target


def _file(entry: FileEntry, identity: int) -> Attributes:
    _check_numbers(entry, entry.size_bytes)
    mode = _EXECUTABLE_MODE if entry.executable else _FILE_MODE
    return Attributes(identity, mode, entry.size_bytes, entry.mtime_ns)


def _symlink(entry: SymlinkEntry, identity: int, mtime_ns: int) -> Attributes:
    target = entry.target.encode(errors="surrogatepass")
    if not 0 < len(target) <= _MAX_TARGET_BYTES or b"\0" in target:
        raise InvalidManifest(repr(entry.name), "its target is no path")
    return Attributes(identity, _SYMLINK_MODE, len(target), mtime_ns)


def _reference(entry: ReferenceEntry, identity: int, mtime_ns: int) -> Attributes:
    size_bytes = entry.size_bytes or 0
    _check_numbers(entry, size_bytes)
    is_known = entry.size_bytes is not None
    return Attributes(identity, _FILE_MODE, size_bytes, entry.mtime_ns or mtime_ns, is_known)


def _check_numbers(entry: FileEntry | ReferenceEntry, size_bytes: int) -> None:
    if not 0 <= size_bytes <= _MAX_SIZE_BYTES or abs(entry.mtime_ns) > _MAX_TIME_NS:
        raise InvalidManifest(repr(entry.name), "its size or mtime is out of range")
