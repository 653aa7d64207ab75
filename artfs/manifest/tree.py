"""Reading trees: find one path, walk them all. Directories come through a callable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from artfs.errors import PathNotFound
from artfs.manifest.directory import Directory
from artfs.manifest.entries import DirectoryEntry, Entry
from artfs.model import Digest, split_entry_path

_CHUNK_ENTRIES = 1024
_DIRECTORIES = frozenset({DirectoryEntry})

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
    for prefix, run in walk_runs(load, root):
        for entry in run:
            yield prefix + entry.name, entry


def walk_runs(load: LoadDirectory, root: Digest) -> Iterator[tuple[str, list[Entry]]]:
    """What `walk` gives, in runs of entries that share a prefix: faster for whole trees.

    A directory ends its run, and what it holds follows.
    """
    stack = [("", _runs(load(root)))]
    while stack:
        prefix, runs = stack[-1]
        run = next(runs, None)
        if run is None:
            stack.pop()
            continue
        yield prefix, run
        last = run[-1]
        if isinstance(last, DirectoryEntry):
            stack.append((f"{prefix}{last.name}/", _runs(load(last.sha256))))


def _runs(directory: Directory) -> Iterator[list[Entry]]:
    # In a whole path a directory's name is followed by a slash: it waits for the names between.
    waiting: list[tuple[str, DirectoryEntry]] = []
    for start in range(0, len(directory), _CHUNK_ENTRIES):
        chunk = directory.slice(start, start + _CHUNK_ENTRIES)
        if not waiting and _DIRECTORIES.isdisjoint(map(type, chunk)):
            yield chunk
            continue
        run: list[Entry] = []
        for entry in chunk:
            while waiting and waiting[0][0] < entry.name:
                run.append(heappop(waiting)[1])
                yield run
                run = []
            if isinstance(entry, DirectoryEntry):
                heappush(waiting, (entry.name + "/", entry))
            else:
                run.append(entry)
        if run:
            yield run
    while waiting:
        yield [heappop(waiting)[1]]
