"""What versions hold, found by path, by page and by md5: clients know content by nothing else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec
from cachetools import TTLCache

from artfs import forks
from artfs.catalog.records import VersionRecord
from artfs.catalog.serving_records import ContentRecord
from artfs.errors import EntryNotFound, InvalidName, NotFound
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.manifest.tree import walk
from artfs.model import VersionState
from artfs.repository.facade import Repository

_FILES_KEPT = 100_000
"""Entries that are kept in memory, of all versions together: some 50 MiB."""

_HELD_AT_ONCE = 10_000
"""The files of a version that has no more are kept as soon as one is asked for: clients ask for
them one by one."""

_BATCH = 5_000

_NEIGHBOURS = 256
"""Files whose places are found together: who asks for one asks for the next ones, too."""

_VERSIONS = 1024
_REACHED_S = 1.0
"""How long it is remembered through what a version is reached. It can be read as long after it was
deleted, as by whoever has an address of it."""

PathEntry = tuple[str, FileEntry | ReferenceEntry]


class _Held(msgspec.Struct, frozen=True):
    """The files of one version, in the order of its manifest."""

    files: list[PathEntry]
    positions: dict[bytes, int]
    """Of each md5 the place in `files`."""
    located: set[int]
    """Which groups of neighbours were prepared."""


class VersionContents:
    """Looks into versions. Thread-safe; blocks on the store. What it keeps can be found anew."""

    def __init__(self, repository: Repository, *, read_only: bool) -> None:
        """With `read_only` nothing of what is found is noted in the catalog."""
        self._repository = repository
        self._read_only = read_only
        self._lock = forks.lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._reached: TTLCache[str, tuple[VersionRecord, ...]] = TTLCache(_VERSIONS, _REACHED_S)

    def page(self, version: VersionRecord, start: int, count: int) -> list[PathEntry]:
        """Files `start` to `start + count` of a version, in path order, references among them."""
        held = self._files_of(version)
        if held is not None:
            return held.files[start : start + count]
        return list(islice(self._walk(version), start, start + count))

    def named(self, version: VersionRecord, names: Iterable[str]) -> list[PathEntry]:
        """The files at these paths, as far as there are any."""
        found: list[PathEntry] = []
        for name in dict.fromkeys(names):
            try:
                entry = self._repository.find(version.tree, name)
            except (NotFound, InvalidName):
                continue
            if isinstance(entry, FileEntry | ReferenceEntry):
                found.append((name, entry))
        return found

    def content(self, version: VersionRecord, md5: bytes, *, beside: bool) -> ContentRecord:
        """What of a version's content has this md5; with `beside` of its whole project's.

        Raises: EntryNotFound.
        """
        with self._lock:
            held = self._held.get(version.id)
        if held is None and version.file_count <= _HELD_AT_ONCE:
            held = self._files_of(version)
        entry = None if held is None else self._in_held(held, md5)
        if entry is not None:
            return as_record(entry)
        if beside:
            known = self._repository.catalog.serving.known(version.source_project, [md5])
            if md5 in known:
                return known[md5][0]
        if held is None:
            held = self._files_of(version)
            entry = self._search(version, md5) if held is None else self._in_held(held, md5)
        if entry is None:
            raise EntryNotFound(f"content with md5 {md5.hex()}", f"{version.path} has none")
        return as_record(entry)

    def _in_held(self, held: _Held, md5: bytes) -> FileEntry | None:
        position = held.positions.get(md5)
        if position is None:
            return None
        group = position // _NEIGHBOURS
        if group not in held.located:
            start = group * _NEIGHBOURS
            self._repository.prepare(entry for _, entry in held.files[start : start + _NEIGHBOURS])
            held.located.add(group)
        entry = held.files[position][1]
        assert isinstance(entry, FileEntry)
        return entry

    def reached(self, version_id: str) -> tuple[VersionRecord, ...]:
        """A committed version as seen through all that hold it, its own artifact first.

        Empty where it is not committed. `version_id` may be the key of its commit, too.
        Raises: VersionNotFound.
        """
        with self._lock:
            found = self._reached.get(version_id)
        if found is None:
            catalog = self._repository.catalog
            version = catalog.version_by_id(catalog.committed_with(version_id) or version_id)
            committed = version.state is VersionState.COMMITTED
            found = tuple(catalog.memberships(version.id)) if committed else ()
            with self._lock:
                self._reached[version_id] = found
        return found

    def forget(self) -> None:
        """Something was deleted or unlinked here: it is not reached any more."""
        with self._lock:
            self._reached.clear()

    def known(
        self, project: str, md5s: list[bytes], *, latest: VersionRecord | None
    ) -> dict[bytes, tuple[ContentRecord, str]]:
        """Content of a project that need not be sent again, and a version that holds it.

        Content of `latest` is found whoever made that one.
        """
        found = self._repository.catalog.serving.known(project, md5s)
        if latest is not None and len(found) < len(set(md5s)):
            held = self._files_of(latest)
            if held is None:
                self._note(latest)
                found = self._repository.catalog.serving.known(project, md5s)
            else:
                for md5 in md5s:
                    if md5 not in found and (entry := self._in_held(held, md5)) is not None:
                        found[md5] = (as_record(entry), latest.id)
        return found

    def _files_of(self, version: VersionRecord) -> _Held | None:
        """The files of a version; None for one that has too many to be kept in memory."""
        with self._lock:
            held = self._held.get(version.id)
            if held is not None:
                self._held.move_to_end(version.id)
                return held
        if version.file_count > _FILES_KEPT:
            return None
        files = list(self._walk(version))
        positions = {
            entry.md5: position
            for position, (_, entry) in enumerate(files)
            if isinstance(entry, FileEntry)
        }
        held = _Held(files, positions, set())
        with self._lock:
            self._held[version.id] = held
            while sum(len(each.files) for each in self._held.values()) > _FILES_KEPT:
                self._held.popitem(last=False)
        return held

    def _walk(self, version: VersionRecord) -> Iterator[PathEntry]:
        for path, entry in walk(self._repository.directory, version.tree):
            if isinstance(entry, FileEntry | ReferenceEntry):
                yield path, entry

    def _search(self, version: VersionRecord, md5: bytes) -> FileEntry | None:
        if not self._read_only:
            self._note(version)
        files = (entry for _, entry in self._walk(version) if isinstance(entry, FileEntry))
        return next((entry for entry in files if entry.md5 == md5), None)

    def _note(self, version: VersionRecord) -> None:
        """Let the catalog know by md5 what a large version holds: it is found fast from then on."""
        files = self._walk(version)
        while some := list(islice(files, _BATCH)):
            contents = [as_record(entry) for _, entry in some if isinstance(entry, FileEntry)]
            self._repository.catalog.serving.remember(version.id, contents)


def as_record(entry: FileEntry) -> ContentRecord:
    """What is known of a file's content."""
    return ContentRecord(entry.md5, entry.sha256, entry.size_bytes, entry.blocks)
