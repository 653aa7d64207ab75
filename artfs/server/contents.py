"""What versions hold, found by path, by page and by md5: clients know content by nothing else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from artfs import forks
from artfs.catalog.records import VersionRecord
from artfs.catalog.serving_records import ContentRecord
from artfs.errors import EntryNotFound, InvalidName, NotFound
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.manifest.tree import walk
from artfs.repository.facade import Repository

_FILES_KEPT = 100_000
"""Entries that are kept in memory, of all versions together: some 50 MiB."""

_BATCH = 5_000

PathEntry = tuple[str, FileEntry | ReferenceEntry]


class _Held(msgspec.Struct, frozen=True):
    """The files of one version, in the order of its manifest."""

    files: list[PathEntry]
    by_md5: dict[bytes, FileEntry]


class VersionContents:
    """Looks into versions. Thread-safe; blocks on the store. What it keeps can be found anew."""

    def __init__(self, repository: Repository, *, read_only: bool) -> None:
        """With `read_only` nothing of what is found is noted in the catalog."""
        self._repository = repository
        self._read_only = read_only
        self._lock = forks.lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()

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
        if held is None and beside:
            known = self._repository.catalog.serving.known(version.source_project, [md5])
            if md5 in known:
                return known[md5][0]
        if held is None:
            held = self._files_of(version)
        entry = self._search(version, md5) if held is None else held.by_md5.get(md5)
        if entry is None:
            raise EntryNotFound(f"content with md5 {md5.hex()}", f"{version.path} has none")
        return as_record(entry)

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
                    if md5 not in found and (entry := held.by_md5.get(md5)) is not None:
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
        held = _Held(
            files, {entry.md5: entry for _, entry in files if isinstance(entry, FileEntry)}
        )
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
