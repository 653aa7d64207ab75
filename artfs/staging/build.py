"""The directory objects of a version, from a staging area: only those that differ are encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from artfs.content.base import read_range
from artfs.errors import BlobNotFound
from artfs.manifest.changes import changed_directory
from artfs.manifest.directory import totals
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, SymlinkEntry
from artfs.model import ByteRange, Digest, storable_time_ns
from artfs.repository.ignore import (
    IGNORE_FILE,
    MAX_IGNORE_BYTES,
    IsIgnored,
    ignore_rules,
    own_names_ignored,
)
from artfs.repository.ingest import Ingest, StoredContent
from artfs.staging.area import Area
from artfs.staging.nodes import FileNode, StagedDirectory, StagedNode, SymlinkNode
from artfs.system.oserrors import translate_os_errors

_OWNER_MAY_EXECUTE = 0o100


def area_ignore_rules(area: Area) -> IsIgnored:
    """The rules of an area's own ignore file; without one only names of artfs are.

    Raises: ArtfsError. Blocks: to read the file.
    """
    tree = area.tree
    node = tree.child(tree.root, IGNORE_FILE)
    if not isinstance(node, FileNode):
        return own_names_ignored
    if node.content is None:
        path = Path(tree.plain.path(node.id))
        with translate_os_errors(path), path.open("rb") as file:
            return ignore_rules(file.read(MAX_IGNORE_BYTES))
    content = area.repository.content(node.content)
    return ignore_rules(read_range(content, ByteRange(0, MAX_IGNORE_BYTES)))


class Builder:
    """Builds the tree of a version. Nobody may change the area meanwhile."""

    def __init__(
        self,
        area: Area,
        ingest: Ingest,
        stored: Callable[[FileNode], StoredContent],
        is_ignored: IsIgnored,
    ) -> None:
        self._area = area
        self._ingest = ingest
        self._stored = stored
        self._is_ignored = is_ignored
        self._relied_on: dict[Digest, str] = {}
        """What the index says of contents that the store has, and where."""

    def build(self) -> DirectoryEntry:
        """Take in the directory objects that are new, bottom-up; the root's entry.

        Blocks: on directories of the base. Raises: ArtfsError.
        """
        built: dict[int, DirectoryEntry] = {}
        for directory, path in reversed(list(self._parents_first())):
            built[directory.id] = self._entry(directory, path, built)
        for lost in self._ingest.missing(self._relied_on):
            raise BlobNotFound(
                self._relied_on[lost],
                "the store does not have its content",
                hint="write it again, or remove it, and commit again",
            )
        return built[self._area.tree.root.id]

    def _parents_first(self) -> Iterator[tuple[StagedDirectory, str]]:
        stack = [(self._area.tree.root, "")]
        while stack:
            directory, path = stack.pop()
            yield directory, path
            for name, child in directory.children.items():
                if isinstance(child, StagedDirectory) and child.persisted:
                    child_path = f"{path}/{name}" if path else name
                    if not self._is_ignored(child_path, True):
                        stack.append((child, child_path))

    def _entry(
        self, directory: StagedDirectory, path: str, built: dict[int, DirectoryEntry]
    ) -> DirectoryEntry:
        prefix = f"{path}/" if path else ""
        changes: dict[str, Entry | None] = {}
        for name, child in directory.children.items():
            if child is None:
                changes[name] = None
            elif child.persisted:
                is_left_out = self._is_ignored(prefix + name, isinstance(child, StagedDirectory))
                changes[name] = (
                    None if is_left_out else self._child_entry(child, prefix + name, built)
                )
        shown = self._area.tree.base(directory)
        base = None
        if shown is not None and directory.base is not None:
            base = DirectoryEntry("", directory.base, *totals(shown.entries()))
        return changed_directory(
            changes,
            self._ingest.add_directory,
            name=path.rpartition("/")[2],
            base=base,
            shown=shown,
        )

    def _child_entry(self, child: StagedNode, path: str, built: dict[int, DirectoryEntry]) -> Entry:
        if isinstance(child, StagedDirectory):
            return built[child.id]
        name = path.rpartition("/")[2]
        if isinstance(child, SymlinkNode):
            return SymlinkEntry(name, child.target)
        assert isinstance(child, FileNode)
        if isinstance(child.content, FileEntry):
            self._relied_on |= dict.fromkeys(child.content.blobs, path)
        return self._file_entry(child, name)

    def _file_entry(self, node: FileNode, name: str) -> Entry:
        executable = bool(node.mode & _OWNER_MAY_EXECUTE)
        content = node.content
        if content is None:
            stored = self._stored(node)
            return FileEntry(
                name,
                stored.sha256,
                stored.size_bytes,
                stored.md5,
                stored.blocks,
                executable,
                storable_time_ns(self._area.contents.status(node).mtime_ns),
            )
        if isinstance(content, FileEntry):
            return msgspec.structs.replace(content, name=name, executable=executable)
        return msgspec.structs.replace(content, name=name)
