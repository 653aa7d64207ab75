"""A directory with some of its names changed: what every new tree is made of.

The names that differ lie over a directory object that shows through where they say nothing. Only
what differs is encoded; drafts of the SDK and staging areas both come here (ADR 0001).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from artfs.errors import InvalidManifest
from artfs.manifest.directory import (
    Directory,
    Edit,
    directory_digest,
    encode_directory,
    totals,
)
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry
from artfs.model import Digest

StoreDirectory = Callable[[Digest, bytes], None]
"""Keeps an encoded directory object under its digest."""

Changes = Mapping[str, Entry | None]
"""Entries by name; None for a name that is gone."""

_MOST_BYTES = 2**63 - 1
"""What a row of the catalog holds."""

_LOOKUP_COST = 20
"""A lookup by name decodes this many entries of a directory object."""


def changed_directory(
    changes: Changes,
    store: StoreDirectory,
    *,
    name: str,
    base: DirectoryEntry | None,
    shown: Directory | None,
) -> DirectoryEntry:
    """The entry called `name` for `shown` with `changes` over it, which is stored if it is new.

    `base` tells of a directory object that need not be stored again: of `shown`, where there is
    one. A file that equals the one that shows through but for its mtime keeps the old
    entry. Raises: InvalidName for a bad name, InvalidManifest.
    """
    if shown is None or len(changes) * _LOOKUP_COST >= len(shown):
        entries = _merged(shown, changes)
        encoded = encode_directory(entries)
        size_bytes, file_count = totals(entries)
    else:
        assert base is not None
        edits, (more_bytes, more_files) = _edits(shown, changes)
        size_bytes, file_count = base.size_bytes + more_bytes, base.file_count + more_files
        if not edits:
            return DirectoryEntry(name, base.sha256, size_bytes, file_count)
        encoded = shown.edited(edits)
    if size_bytes > _MOST_BYTES:
        raise InvalidManifest(
            "one version",
            f"its files and references say that they have {size_bytes:,} bytes, 8 EiB or more",
            hint="divide it",
        )
    digest = directory_digest(encoded)
    if base is None or digest != base.sha256:
        store(digest, encoded)
    return DirectoryEntry(name, digest, size_bytes, file_count)


def is_same_file(old: Entry | None, new: Entry | None) -> bool:
    """Whether these are files that differ in nothing but their name and mtime."""
    return (
        isinstance(old, FileEntry)
        and isinstance(new, FileEntry)
        and old.sha256 == new.sha256
        and old.executable == new.executable
    )


def _merged(shown: Directory | None, changes: Changes) -> list[Entry]:
    """All entries, in no order."""
    added = dict(changes)
    merged: list[Entry] = []
    for old in () if shown is None else shown.entries():
        new = added.pop(old.name, old) if old.name in added else old
        if new is not None:
            merged.append(old if is_same_file(old, new) else new)
    merged.extend(entry for entry in added.values() if entry is not None)
    return merged


def _edits(shown: Directory, changes: Changes) -> tuple[list[Edit], tuple[int, int]]:
    """The edits that make a difference, and what they add to the totals."""
    edits: list[Edit] = []
    removed: list[Entry] = []
    added: list[Entry] = []
    for name in sorted(changes):
        new = changes[name]
        position, old = shown.search(name)
        if old == new or is_same_file(old, new):
            continue
        edits.append(Edit(position, 0 if old is None else 1, new))
        if old is not None:
            removed.append(old)
        if new is not None:
            added.append(new)
    (old_bytes, old_files), (new_bytes, new_files) = totals(removed), totals(added)
    return edits, (new_bytes - old_bytes, new_files - old_files)
