"""Making trees: from nothing, or by changing some paths of a base tree.

Only directories that are touched are loaded, and only those that differ are encoded again: the
cost of a new tree is the cost of what changed.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from artfs.errors import (
    BlobNotFound,
    IntegrityError,
    InvalidManifest,
    InvalidName,
    PathNotFound,
)
from artfs.manifest.changes import StoreDirectory, changed_directory, is_same_file
from artfs.manifest.directory import Directory
from artfs.manifest.entries import DirectoryEntry, Entry, LeafEntry
from artfs.manifest.tree import LoadDirectory
from artfs.model import split_entry_path


class _PendingDirectory:
    """A directory under construction: names that were changed, over those that show through."""

    __slots__ = ("base", "changes", "count", "shown")

    def __init__(self, base: DirectoryEntry | None = None, shown: Directory | None = None) -> None:
        self.base = base
        """A directory object that need not be stored again."""
        self.shown = shown
        """The same, where it shows through."""
        self.changes: dict[str, Entry | _PendingDirectory | None] = {}
        """None for a name that is gone."""
        self.count = 0 if shown is None else len(shown)
        """How many names there are."""

    def get(self, name: str) -> Entry | _PendingDirectory | None:
        """What has this name."""
        if self.shown is None or name in self.changes:
            return self.changes.get(name)
        return self.shown.get(name)

    def put(self, name: str, child: Entry | _PendingDirectory, *, is_new: bool) -> None:
        """Give a name, which may be new here, to something else."""
        self.count += is_new
        self.changes[name] = child

    def remove(self, name: str) -> None:
        """Take a name away that is there."""
        self.count -= 1
        if self.shown is None:
            del self.changes[name]
        else:
            self.changes[name] = None


class TreeBuilder:
    """A tree under construction. Not thread-safe."""

    def __init__(self, load: LoadDirectory, base: DirectoryEntry | None = None) -> None:
        self._load = load
        self._root = _PendingDirectory() if base is None else self._opened(base)

    def put(self, path: str, entry: LeafEntry) -> None:
        """Put a file, reference or symlink at `path`, replacing one that is there.

        Its name becomes the last part of `path`; missing directories are made. A file that
        equals the base's but for its mtime keeps the base's entry.
        Raises: InvalidName for a bad path, and where a file and a directory would share a name.
        """
        parts = split_entry_path(path)
        node = self._directory(parts[:-1], path)
        name = parts[-1]
        old = node.get(name)
        if isinstance(old, (_PendingDirectory, DirectoryEntry)):
            raise InvalidName(path, "a directory of this name is there already")
        if entry.name != name:
            entry = msgspec.structs.replace(entry, name=name)
        node.put(name, entry, is_new=old is None)

    def make_directory(self, path: str) -> None:
        """Make sure that there is a directory at `path`; it may stay empty.

        Raises: InvalidName for a bad path, and where a file has that name.
        """
        self._directory(split_entry_path(path), path)

    def adopt(self, base: DirectoryEntry) -> None:
        """Keep the base's entry for each file that differs in nothing but its mtime.

        So directories in which nothing changed keep their digest, and are not stored again: the
        base version must protect them until the commit. What of the base is lost or damaged is
        stored again. Blocks: loads the directories that both trees have.
        """
        stack = [(self._root, base)]
        while stack:
            node, known = stack.pop()
            try:
                found = list(self._load(known.sha256).entries())
            except (BlobNotFound, IntegrityError, InvalidManifest):
                continue
            node.base = known
            for old in found:
                new = node.changes.get(old.name)
                if isinstance(old, DirectoryEntry):
                    if isinstance(new, _PendingDirectory):
                        stack.append((new, old))
                elif not isinstance(new, _PendingDirectory) and is_same_file(old, new):
                    node.changes[old.name] = old

    def get(self, path: str) -> LeafEntry | None:
        """The file, reference or symlink at `path`; None for nothing or a directory."""
        parts = split_entry_path(path)
        node: _PendingDirectory | None = self._root
        for part in parts[:-1]:
            node = None if node is None else self._existing(node, part)
        found = None if node is None else node.get(parts[-1])
        return None if isinstance(found, (_PendingDirectory, DirectoryEntry)) else found

    def remove(self, path: str) -> None:
        """Remove what is at `path`, and every directory that becomes empty by it.

        Raises: PathNotFound, InvalidName.
        """
        parts = split_entry_path(path)
        trail = [self._root]
        for part in parts[:-1]:
            node = self._existing(trail[-1], part)
            if node is None:
                raise PathNotFound(path, "no such file or directory")
            trail.append(node)
        if trail[-1].get(parts[-1]) is None:
            raise PathNotFound(path, "no such file or directory")
        for node, part in zip(reversed(trail), reversed(parts), strict=True):
            node.remove(part)
            if node.count:
                break

    def build(self, store: StoreDirectory) -> DirectoryEntry:
        """Store the directory objects that are new, bottom-up, and return the root's entry.

        The builder can be used on, and built again, afterwards.
        """
        built: dict[int, DirectoryEntry] = {}
        for name, node in reversed(list(_parents_first(self._root))):
            changes = {
                child_name: built[id(child)] if isinstance(child, _PendingDirectory) else child
                for child_name, child in node.changes.items()
            }
            built[id(node)] = changed_directory(
                changes, store, name=name, base=node.base, shown=node.shown
            )
        return built[id(self._root)]

    def _directory(self, parts: list[str], path: str) -> _PendingDirectory:
        """The directory at some parts of a path, made where it is missing."""
        node = self._root
        for part in parts:
            child = self._existing(node, part)
            if child is None:
                if node.get(part) is not None:
                    raise InvalidName(path, f"{part!r} is a file, not a directory")
                child = _PendingDirectory()
                node.put(part, child, is_new=True)
            node = child
        return node

    def _existing(self, node: _PendingDirectory, name: str) -> _PendingDirectory | None:
        """The directory of this name, opened; None where it is none."""
        child = node.get(name)
        if isinstance(child, DirectoryEntry):
            child = self._opened(child)
            node.put(name, child, is_new=False)
        return child if isinstance(child, _PendingDirectory) else None

    def _opened(self, base: DirectoryEntry) -> _PendingDirectory:
        return _PendingDirectory(base, self._load(base.sha256))


def _parents_first(root: _PendingDirectory) -> Iterator[tuple[str, _PendingDirectory]]:
    stack = [("", root)]
    while stack:
        name, node = stack.pop()
        yield name, node
        stack.extend(
            (child_name, child)
            for child_name, child in node.changes.items()
            if isinstance(child, _PendingDirectory)
        )
