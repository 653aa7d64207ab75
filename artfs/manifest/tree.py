"""Reading trees: find one path, walk them all. Directories come through a callable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush

from artfs.errors import PathNotFound
from artfs.manifest.directory import Directory
from artfs.manifest.entries import DirectoryEntry, Entry
from artfs.model import Digest, split_entry_path

LoadDirectory = Callable[[Digest], Directory]
"""Returns the verified directory object of a digest; it may block and raise any ArtfsError."""


def find(load: LoadDirectory, root: Digest, path: str) -> Entry:
    """The entry at `path`, which is not empty. Symlinks are not followed.

    Raises: PathNotFound, InvalidName.
    """
    directory = root
    parts = split_entry_path(path)
    for depth, part in enumerate(parts):
        entry = load(directory).get(part)
        if entry is None:
            break
        if depth == len(parts) - 1:
            return entry
        if not isinstance(entry, DirectoryEntry):
            break
        directory = entry.sha256
    raise PathNotFound(path, "no such file or directory in this version")


def walk(load: LoadDirectory, root: Digest) -> Iterator[tuple[str, Entry]]:
    """Every entry below `root` with its path, directories before what they hold.

    Files come in the order of a W&B manifest, which sorts whole paths by code point: `a.b`
    stands before `a/b`, although the name `a` sorts before `a.b`. Holds one directory per level.
    """
    stack = [("", _manifest_order(load(root).entries()))]
    while stack:
        prefix, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        path = prefix + entry.name
        yield path, entry
        if isinstance(entry, DirectoryEntry):
            stack.append((path + "/", _manifest_order(load(entry.sha256).entries())))


def _manifest_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    # In a whole path a directory's name is followed by a slash: it waits for the names between.
    waiting: list[tuple[str, DirectoryEntry]] = []
    for entry in entries:
        while waiting and waiting[0][0] < entry.name:
            yield heappop(waiting)[1]
        if isinstance(entry, DirectoryEntry):
            heappush(waiting, (entry.name + "/", entry))
        else:
            yield entry
    while waiting:
        yield heappop(waiting)[1]
