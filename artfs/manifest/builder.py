"""Making trees: from nothing, or by changing some paths of a base tree.

Only directories that are touched are loaded, and only those that differ are encoded again: the
cost of a new tree is the cost of what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from artfs.errors import InvalidName, PathNotFound
from artfs.manifest.directory import directory_digest, directory_entry, encode_directory
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, LeafEntry
from artfs.manifest.tree import LoadDirectory
from artfs.model import Digest, split_entry_path

StoreDirectory = Callable[[Digest, bytes], None]
"""Keeps an encoded directory object under its digest."""


class _Node:
    """A directory under construction: the entries of a base that was loaded, plus changes."""

    __slots__ = ("base", "children")

    def __init__(self, base: Digest | None, children: dict[str, Entry | _Node]) -> None:
        self.base = base
        self.children = children


class TreeBuilder:
    """A tree under construction. Not thread-safe."""

    def __init__(self, load: LoadDirectory, base: Digest | None = None) -> None:
        self._load = load
        if base is None:
            self._root = _Node(None, {})
        else:
            self._root = self._opened(base)

    def put(self, path: str, entry: LeafEntry) -> None:
        """Put a file, reference or symlink at `path`, replacing one that is there.

        Its name becomes the last part of `path`; missing directories are made. A file that
        equals the old one but for its mtime keeps the old entry.
        Raises: InvalidName for a bad path, and where a file and a directory would share a name.
        """
        parts = split_entry_path(path)
        node = self._directory(parts[:-1], path)
        name = parts[-1]
        old = node.children.get(name)
        if isinstance(old, (_Node, DirectoryEntry)):
            raise InvalidName(path, "a directory of this name is there already")
        if entry.name != name:
            entry = msgspec.structs.replace(entry, name=name)
        if isinstance(old, FileEntry) and isinstance(entry, FileEntry) and _same_file(old, entry):
            return
        node.children[name] = entry

    def make_directory(self, path: str) -> None:
        """Make sure that there is a directory at `path`; it may stay empty.

        Raises: InvalidName for a bad path, and where a file has that name.
        """
        self._directory(split_entry_path(path), path)

    def put_tree(self, path: str, tree: DirectoryEntry) -> None:
        """Put a whole stored directory at `path`, replacing what is there.

        Raises: InvalidName for a bad path.
        """
        parts = split_entry_path(path)
        node = self._directory(parts[:-1], path)
        node.children[parts[-1]] = msgspec.structs.replace(tree, name=parts[-1])

    def adopt(self, base: Digest) -> None:
        """Keep the base's entry for each file that differs in nothing but its mtime.

        So directories in which nothing changed keep their digest, and are not stored again: the
        base version must protect them until the commit. Blocks: loads the directories that both
        trees have.
        """
        stack = [(self._root, base)]
        while stack:
            node, digest = stack.pop()
            node.base = digest
            for old in self._load(digest).entries():
                new = node.children.get(old.name)
                if isinstance(old, FileEntry) and isinstance(new, FileEntry):
                    if _same_file(old, new):
                        node.children[old.name] = old
                elif isinstance(old, DirectoryEntry) and isinstance(new, _Node):
                    stack.append((new, old.sha256))

    def get(self, path: str) -> LeafEntry | None:
        """The file, reference or symlink at `path`; None for nothing or a directory."""
        parts = split_entry_path(path)
        node = self._root
        for part in parts[:-1]:
            child = node.children.get(part)
            if isinstance(child, DirectoryEntry):
                child = node.children[part] = self._opened(child.sha256)
            if not isinstance(child, _Node):
                return None
            node = child
        found = node.children.get(parts[-1])
        return None if isinstance(found, (_Node, DirectoryEntry)) else found

    def remove(self, path: str) -> None:
        """Remove what is at `path`, and every directory that becomes empty by it.

        Raises: PathNotFound, InvalidName.
        """
        parts = split_entry_path(path)
        trail = [self._root]
        for part in parts[:-1]:
            child = trail[-1].children.get(part)
            if isinstance(child, DirectoryEntry):
                child = trail[-1].children[part] = self._opened(child.sha256)
            if not isinstance(child, _Node):
                raise PathNotFound(path, "no such file or directory")
            trail.append(child)
        if parts[-1] not in trail[-1].children:
            raise PathNotFound(path, "no such file or directory")
        for node, part in zip(reversed(trail), reversed(parts), strict=True):
            del node.children[part]
            if node.children:
                break

    def build(self, store: StoreDirectory) -> DirectoryEntry:
        """Store the directory objects that are new, bottom-up, and return the root's entry.

        The builder can be used on, and built again, afterwards.
        """
        order = list(_parents_first(self._root))
        built: dict[int, DirectoryEntry] = {}
        for name, node in reversed(order):
            entries = [
                built[id(child)] if isinstance(child, _Node) else child
                for child in node.children.values()
            ]
            built[id(node)] = _stored(name, node, entries, store)
        return built[id(self._root)]

    def _directory(self, parts: list[str], path: str) -> _Node:
        node = self._root
        for part in parts:
            child = node.children.get(part)
            if child is None:
                child = node.children[part] = _Node(None, {})
            elif isinstance(child, DirectoryEntry):
                child = node.children[part] = self._opened(child.sha256)
            elif not isinstance(child, _Node):
                raise InvalidName(path, f"{part!r} is a file, not a directory")
            node = child
        return node

    def _opened(self, base: Digest) -> _Node:
        return _Node(base, {child.name: child for child in self._load(base).entries()})


def _parents_first(root: _Node) -> Iterator[tuple[str, _Node]]:
    stack = [("", root)]
    while stack:
        name, node = stack.pop()
        yield name, node
        stack.extend(
            (child_name, child)
            for child_name, child in node.children.items()
            if isinstance(child, _Node)
        )


def _stored(name: str, node: _Node, entries: list[Entry], store: StoreDirectory) -> DirectoryEntry:
    encoded = encode_directory(entries)
    digest = directory_digest(encoded)
    if digest != node.base:
        store(digest, encoded)
    return directory_entry(name, digest, entries)


def _same_file(old: FileEntry, new: FileEntry) -> bool:
    return old.sha256 == new.sha256 and old.executable == new.executable
