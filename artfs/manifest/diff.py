"""What changed between two trees; equal subtrees are not even loaded."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, LeafEntry, ReferenceEntry
from artfs.manifest.tree import LoadDirectory, walk
from artfs.model import Digest


class ChangeKind(StrEnum):
    """How a path differs."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"


class Change(msgspec.Struct, frozen=True):
    """One file, reference or symlink that differs between two trees."""

    kind: ChangeKind
    path: str
    before: LeafEntry | None
    after: LeafEntry | None


def diff_trees(load: LoadDirectory, before: Digest, after: Digest) -> Iterator[Change]:
    """Changes from one tree to another, by directory and name. Times do not count."""
    stack = [("", before, after)]
    while stack:
        prefix, old_root, new_root = stack.pop()
        if old_root == new_root:
            continue
        for old, new in _paired(load, old_root, new_root):
            if isinstance(old, DirectoryEntry) and isinstance(new, DirectoryEntry):
                stack.append((f"{prefix}{new.name}/", old.sha256, new.sha256))
                continue
            yield from _changes(load, prefix, old, new)


def _paired(
    load: LoadDirectory, before: Digest, after: Digest
) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Entries of two directories side by side, by name."""
    old_entries, new_entries = load(before).entries(), load(after).entries()
    old, new = next(old_entries, None), next(new_entries, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.name < new.name):
            yield old, None
            old = next(old_entries, None)
        elif old is None or new.name < old.name:
            yield None, new
            new = next(new_entries, None)
        else:
            yield old, new
            old, new = next(old_entries, None), next(new_entries, None)


def _changes(
    load: LoadDirectory, prefix: str, old: Entry | None, new: Entry | None
) -> Iterator[Change]:
    if (
        old is not None
        and new is not None
        and not isinstance(old, DirectoryEntry)
        and not isinstance(new, DirectoryEntry)
    ):
        if not _same_content(old, new):
            yield Change(ChangeKind.MODIFIED, prefix + new.name, old, new)
        return
    if old is not None:
        for path, leaf in _leaves(load, prefix, old):
            yield Change(ChangeKind.REMOVED, path, leaf, None)
    if new is not None:
        for path, leaf in _leaves(load, prefix, new):
            yield Change(ChangeKind.ADDED, path, None, leaf)


def _leaves(load: LoadDirectory, prefix: str, entry: Entry) -> Iterator[tuple[str, LeafEntry]]:
    if not isinstance(entry, DirectoryEntry):
        yield prefix + entry.name, entry
        return
    for path, child in walk(load, entry.sha256):
        if not isinstance(child, DirectoryEntry):
            yield f"{prefix}{entry.name}/{path}", child


def _same_content(old: LeafEntry, new: LeafEntry) -> bool:
    if isinstance(old, FileEntry) and isinstance(new, FileEntry):
        return old.sha256 == new.sha256 and old.executable == new.executable
    if isinstance(old, ReferenceEntry) and isinstance(new, ReferenceEntry):
        if old.is_server_file and new.is_server_file:
            return (old.digest, old.size_bytes) == (new.digest, new.size_bytes)
        # On a W&B server references have the time of their version.
        return msgspec.structs.replace(old, mtime_ns=0) == msgspec.structs.replace(new, mtime_ns=0)
    return old == new
