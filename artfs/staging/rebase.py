"""Letting a staging area go on upon the version that was just made of it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import msgspec

from artfs.catalog.records import VersionRecord
from artfs.manifest.directory import Directory
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry, SymlinkEntry
from artfs.repository.ignore import IsIgnored
from artfs.staging.area import Area
from artfs.staging.meta import AreaState
from artfs.staging.nodes import (
    DIRECTORY_MODE,
    EXECUTABLE_MODE,
    FILE_MODE,
    FileNode,
    StagedDirectory,
    StagedNode,
)
from artfs.system.oserrors import reach_step

_LOOKUP_COST = 20


def rebase(area: Area, version: VersionRecord, is_ignored: IsIgnored) -> None:
    """Let `version`, which has the area's content, show through in place of the old base.

    What the version does not keep, as full modes and files that it leaves out, stays in the area.
    Blocks: on directories of the version, disk.
    Raises: ArtfsError; the area then is as it was.
    """
    with area.tree.lock:
        change = _Rebase(area, is_ignored)
        try:
            change.apply(version)
            meta = msgspec.structs.replace(
                area.meta,
                base_id=version.id,
                base_version=version.version,
                base_tree=version.tree,
                expect=None if area.meta.expect is None else version.id,
                commits=area.meta.commits + 1,
                state=AreaState.STAGING,
                error=None,
            )
            area.replace_index(meta, unneeded=[file.id for file in change.stored])
        except BaseException:
            change.undo()
            raise
    reach_step("staging-commit.rebased", area.path)
    for file in change.stored:
        area.plain.remove(file.id)
    with area.tree.lock:
        for node in change.unneeded:
            area.tree.forget(node)


class _Rebase:
    """A change of many nodes that can be taken back until the index has it."""

    def __init__(self, area: Area, is_ignored: IsIgnored) -> None:
        self._area = area
        self._is_ignored = is_ignored
        self._undo: list[tuple[Any, str, Any]] = []
        self.stored: list[FileNode] = []
        """Files whose plain file is needed no more."""
        self.unneeded: list[StagedNode] = []
        """Nodes that are now exactly what the version says."""

    def apply(self, version: VersionRecord) -> None:
        """Change the nodes in memory."""
        root = self._area.tree.root
        self._set(root, "base", version.tree)
        order = [(root, "")]
        for directory, path in order:
            order.extend(self._rebase_children(directory, path))
        for directory, _ in reversed(order[1:]):
            if not any(_is_kept(child) for child in directory.children.values()):
                self._release(directory, DIRECTORY_MODE)

    def undo(self) -> None:
        """Take everything back."""
        for target, name, value in reversed(self._undo):
            if isinstance(target, MutableMapping):
                target[name] = value
            else:
                setattr(target, name, value)

    def _rebase_children(
        self, directory: StagedDirectory, path: str
    ) -> list[tuple[StagedDirectory, str]]:
        """Rebase what a directory holds; its subdirectories that are to be looked into."""
        new = self._area.tree.base(directory)
        assert new is not None
        changed = [(name, child) for name, child in directory.children.items() if _is_kept(child)]
        entries = _entries(new, [name for name, _ in changed])
        below = []
        for name, child in changed:
            child_path = f"{path}/{name}" if path else name
            entry = entries.get(name)
            if child is None:
                if entry is None:
                    self._undo.append((directory.children, name, None))
                    del directory.children[name]
            elif self._is_ignored(child_path, isinstance(child, StagedDirectory)):
                continue
            elif isinstance(child, StagedDirectory):
                assert isinstance(entry, DirectoryEntry)
                self._set(child, "base", entry.sha256)
                below.append((child, child_path))
            else:
                self._rebase_leaf(child, entry)
        return below

    def _rebase_leaf(self, node: StagedNode, entry: Entry | None) -> None:
        if isinstance(node, FileNode):
            assert isinstance(entry, (FileEntry, ReferenceEntry))
            if node.content is None:
                self._set(node, "mtime_ns", self._area.contents.status(node).mtime_ns)
                self.stored.append(node)
            self._set(node, "content", entry)
            executable = isinstance(entry, FileEntry) and entry.executable
            if node.mtime_ns == entry.mtime_ns:
                self._release(node, EXECUTABLE_MODE if executable else FILE_MODE)
        else:
            assert isinstance(entry, SymlinkEntry)
            self._release(node, node.mode)

    def _release(self, node: StagedNode, mode: int) -> None:
        """Let the index forget a node that has nothing of its own."""
        owner = self._area.tree.owner
        if (
            node.mode == mode
            and node.uid == owner.uid
            and node.gid == owner.gid
            and node.link_count == 1
        ):
            self._set(node, "persisted", False)
            self.unneeded.append(node)

    def _set(self, node: StagedNode, name: str, value: object) -> None:
        self._undo.append((node, name, getattr(node, name)))
        setattr(node, name, value)


def _is_kept(child: StagedNode | None) -> bool:
    """Whether the index needs it: a name of the base that was removed, or what differs."""
    return child is None or child.persisted


def _entries(directory: Directory, names: list[str]) -> dict[str, Entry]:
    """The entries of these names; in one pass where they are many."""
    if len(names) * _LOOKUP_COST < len(directory):
        found = ((name, directory.get(name)) for name in names)
        return {name: entry for name, entry in found if entry is not None}
    wanted = set(names)
    return {entry.name: entry for entry in directory.entries() if entry.name in wanted}
