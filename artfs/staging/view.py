"""What a staging area shows: its own nodes, and through them the base."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from artfs import forks
from artfs.manifest.directory import Directory
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, SymlinkEntry
from artfs.manifest.tree import LoadDirectory
from artfs.model import Digest
from artfs.staging.checked import row_of
from artfs.staging.index import Index
from artfs.staging.journal import LinkRow, NodeRow
from artfs.staging.nodes import (
    BASE_ID_BIT,
    DIRECTORY_MODE,
    EXECUTABLE_MODE,
    FILE_MODE,
    ROOT_ID,
    FileNode,
    StagedDirectory,
    StagedNode,
    SymlinkNode,
)
from artfs.staging.plain import PlainFiles

_LISTED_AT_ONCE = 256
_LOOKUP_COST = 20
"""A lookup by name decodes this many entries of a directory object."""


class Owner(msgspec.Struct, frozen=True):
    """To whom everything belongs that the base brought, and since when."""

    uid: int
    gid: int
    created_at_ns: int


class TreeView:
    """Nodes by name. Thread-safe: every method holds `lock`, and most block on nothing else.

    Methods that look into a directory of the base load it, which may block and raise any
    ArtfsError, unless it is in memory already.
    """

    def __init__(
        self,
        index: Index,
        plain: PlainFiles,
        load: LoadDirectory,
        owner: Owner,
        nodes: dict[int, StagedNode],
    ) -> None:
        """`nodes`: what the index says, the root among them (checked.checked_tree)."""
        self.lock = forks.lock()
        self.index = index
        self.plain = plain
        self.owner = owner
        self._load = load
        root = nodes[ROOT_ID]
        assert isinstance(root, StagedDirectory)
        self.root: StagedDirectory = root
        self.nodes = nodes
        self._next_id = 1 + max(node_id for node_id in nodes if not node_id & BASE_ID_BIT)

    # --- looking -----------------------------------------------------------------------------

    def base(self, directory: StagedDirectory) -> Directory | None:
        """The directory of the base that shows through, if there is one."""
        return None if directory.base is None else self._load(directory.base)

    def child(self, parent: StagedDirectory, name: str) -> StagedNode | None:
        """What has this name, or None."""
        with self.lock:
            if name in parent.children:
                return parent.children[name]
            base = self.base(parent)
            entry = None if base is None else base.get(name)
            return None if entry is None else self.from_base(parent, entry)

    def from_base(self, parent: StagedDirectory, entry: Entry) -> StagedNode:
        """The node of an entry of the parent's base that nothing hides."""
        node_id = _base_id(parent.id, entry.name)
        if node_id in self.nodes:
            # Whoever has it was here before, and was renamed or is still in use.
            node_id = self.new_id()
        node = self._node_of(node_id, entry)
        node.add_place(parent, entry.name)
        parent.children[entry.name] = node
        self.nodes[node_id] = node
        return node

    def resolve(self, path: str) -> StagedNode | None:
        """The node at a path below the root, symlinks not followed; the root for no path."""
        node: StagedNode | None = self.root
        for part in filter(None, path.split("/")):
            if not isinstance(node, StagedDirectory):
                return None
            node = self.child(node, part)
        return node

    def is_empty(self, directory: StagedDirectory) -> bool:
        """Whether a directory has no names."""
        with self.lock:
            children = directory.children
            if any(child is not None for child in children.values()):
                return False
            base = self.base(directory)
            return base is None or all(entry.name in children for entry in base.entries())

    def listing(self, directory: StagedDirectory) -> StagedListing:
        """The names of a directory as they are now."""
        with self.lock:
            base = self.base(directory)
            changed = [
                name
                for name, child in directory.children.items()
                if child is not None and child.persisted
            ]
            if base is not None and changed:
                if len(changed) * _LOOKUP_COST < len(base):
                    changed = [name for name in changed if base.position(name) is None]
                else:
                    known = {entry.name for entry in base.entries()}
                    changed = [name for name in changed if name not in known]
            return StagedListing(self, directory, base, changed)

    def forget(self, node: StagedNode) -> None:
        """Let go of a node that nobody refers to, unless the index needs it in memory."""
        with self.lock:
            while node.lookups == 0 and node.id != ROOT_ID and node.id in self.nodes:
                if isinstance(node, FileNode) and node.opens:
                    return
                parent = node.parent
                if parent is None:
                    del self.nodes[node.id]
                    if isinstance(node, FileNode) and node.content is None:
                        self.plain.remove(node.id)
                    return
                if node.persisted or (isinstance(node, StagedDirectory) and node.children):
                    return
                del self.nodes[node.id]
                del parent.children[node.name]
                # A directory of the base stays while something in it is known.
                node = parent

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def rows(self) -> tuple[list[NodeRow], list[LinkRow]]:
        """Everything that differs from the base, as the index keeps it."""
        nodes = [row_of(node) for node in self.nodes.values() if node.persisted]
        links: list[LinkRow] = []
        for node in self.nodes.values():
            if isinstance(node, StagedDirectory) and node.persisted:
                for name, child in node.children.items():
                    if child is None:
                        links.append((node.id, name, None))
                    elif child.persisted:
                        links.append((node.id, name, child.id))
        return nodes, links

    def _node_of(self, node_id: int, entry: Entry) -> StagedNode:
        uid, gid, since_ns = self.owner.uid, self.owner.gid, self.owner.created_at_ns
        if isinstance(entry, DirectoryEntry):
            return StagedDirectory(
                node_id, base=entry.sha256, mode=DIRECTORY_MODE, uid=uid, gid=gid, mtime_ns=since_ns
            )
        if isinstance(entry, SymlinkEntry):
            return SymlinkNode(node_id, target=entry.target, uid=uid, gid=gid, mtime_ns=since_ns)
        executable = isinstance(entry, FileEntry) and entry.executable
        return FileNode(
            node_id,
            content=entry,
            mode=EXECUTABLE_MODE if executable else FILE_MODE,
            uid=uid,
            gid=gid,
            mtime_ns=entry.mtime_ns or since_ns,
        )


class StagedListing:
    """The names of a directory at one moment; what they stand for is told when asked.

    A name has a place: first those of the base in its order, then those that are new. A name that
    is removed meanwhile is left out, and none moves, so a directory can be emptied while listed.
    """

    def __init__(
        self, view: TreeView, directory: StagedDirectory, base: Directory | None, added: list[str]
    ) -> None:
        self._view = view
        self._directory = directory
        self._base = base
        self._base_digest: Digest | None = directory.base
        self._base_count = 0 if base is None else len(base)
        self._added = added

    def entries(self, start: int) -> Iterator[tuple[int, str, StagedNode]]:
        """Names from place `start` on: the place behind each, the name and its node."""
        view, directory = self._view, self._directory
        for place in range(start, self._base_count, _LISTED_AT_ONCE):
            assert self._base is not None
            found = self._base.slice(place, place + _LISTED_AT_ONCE)
            for position, entry in enumerate(found, place):
                node = self._node_of(entry)
                if node is not None:
                    yield position + 1, entry.name, node
        for position in range(max(start - self._base_count, 0), len(self._added)):
            name = self._added[position]
            node = view.child(directory, name)
            if node is not None:
                yield self._base_count + position + 1, name, node

    def _node_of(self, entry: Entry) -> StagedNode | None:
        view, directory = self._view, self._directory
        with view.lock:
            if entry.name in directory.children:
                return directory.children[entry.name]
            if directory.base == self._base_digest:
                return view.from_base(directory, entry)
            # A commit has changed the base since.
            return view.child(directory, entry.name)


def _base_id(parent_id: int, name: str) -> int:
    """The id of an entry of the base: the same whenever it is looked up."""
    place = parent_id.to_bytes(8, "little") + name.encode()
    digest = int.from_bytes(blake2b(place, digest_size=8).digest(), "little")
    return digest & (BASE_ID_BIT - 1) | BASE_ID_BIT
