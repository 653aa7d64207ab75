"""Which paths of a version are meant: those of a path or pattern, included and not excluded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import translate

from artfs.errors import InvalidArgument, PathNotFound
from artfs.manifest.entries import DirectoryEntry, LeafEntry
from artfs.manifest.tree import LoadDirectory, find, walk
from artfs.model import Digest
from artfs.repository.ignore import matches_patterns

_PATTERN_CHARACTERS = frozenset("*?[")
_MAX_PATTERN_CHARS = 4096


def is_pattern(text: str) -> bool:
    """Whether a text may match several names."""
    return not _PATTERN_CHARACTERS.isdisjoint(text)


class PathFilter:
    """Says of paths, relative to a root, whether they are meant."""

    def __init__(
        self, path: str = "", *, include: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> None:
        """`path` is what is meant with all that is below it; in a pattern `*` also matches slashes.

        Of that, where there are any `include`s, only what matches one of them, and nothing that
        matches an `exclude`: both have the syntax of .gitignore. Raises: InvalidArgument.
        """
        self.path = path
        self.takes_all = not (path or include or exclude)
        self._is_below = _below(path)
        self._included = matches_patterns(include) if include else None
        self._excluded = matches_patterns(exclude) if exclude else None

    def takes(self, path: str) -> bool:
        """Whether a file or link is meant."""
        return (
            self._is_below(path)
            and (self._included is None or self._included(path, False))
            and (self._excluded is None or not self._excluded(path, False))
        )

    def may_hold(self, directory: str) -> bool:
        """Whether something that is meant may be below a directory."""
        if self._excluded is not None and self._excluded(directory, True):
            return False
        if not self.path or is_pattern(self.path):
            return True
        return self._is_below(directory) or self.path.startswith(f"{directory}/")

    def select(self, load: LoadDirectory, tree: Digest) -> Iterator[tuple[str, LeafEntry]]:
        """The entries of a tree that are meant, with their paths.

        Blocks: on the store. Raises: PathNotFound where there is none; InvalidName, and what
        loading raises.
        """
        count = 0
        for path, entry in self._walk(load, tree):
            count += 1
            yield path, entry
        if not count and not self.takes_all:
            raise PathNotFound(self.path or "--include and --exclude", "nothing matches")

    def _walk(self, load: LoadDirectory, tree: Digest) -> Iterator[tuple[str, LeafEntry]]:
        prefix = ""
        if self.path and not is_pattern(self.path):
            entry = find(load, tree, self.path)
            if not isinstance(entry, DirectoryEntry):
                if self.takes(self.path):
                    yield self.path, entry
                return
            tree, prefix = entry.sha256, f"{self.path}/"
        for path, entry in walk(load, tree):
            if not isinstance(entry, DirectoryEntry) and self.takes(prefix + path):
                yield prefix + path, entry


def _below(path: str) -> Callable[[str], bool]:
    if not path:
        return lambda _: True
    if not is_pattern(path):
        return lambda found: found == path or found.startswith(f"{path}/")
    if len(path) > _MAX_PATTERN_CHARS:
        raise InvalidArgument(f"{path[:60]}…", f"has more than {_MAX_PATTERN_CHARS} characters")
    # What is matched may also be a directory, with all that is below it.
    whole = re.compile(rf"(?:{translate(path)[:-2]})(?:/.*)?\Z", re.DOTALL)
    return lambda found: whole.match(found) is not None
