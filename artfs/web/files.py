"""Pages of what a version holds: directories, in pages, and one file."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from artfs.catalog.records import VersionRecord
from artfs.errors import ArtfsError
from artfs.manifest.entries import (
    DirectoryEntry,
    Entry,
    FileEntry,
    LeafEntry,
    ReferenceEntry,
    SymlinkEntry,
)
from artfs.model import Digest
from artfs.web.addresses import files_url, raw_url
from artfs.web.context import Asked
from artfs.web.names import pager
from artfs.web.previews import preview

ENTRIES_PER_PAGE = 200


class Row(msgspec.Struct, frozen=True):
    """An entry of a directory as a page lists it."""

    name: str
    url: str
    kind: str
    """directory, file, reference or link."""
    size_bytes: int | None
    note: str
    mtime_ns: int | None


def crumbs(version: VersionRecord, path: str) -> list[tuple[str, str]]:
    """Each part of a path with its address."""
    parts = path.split("/") if path else []
    return [
        (part, files_url(version, "/".join(parts[: depth + 1]))) for depth, part in enumerate(parts)
    ]


def directory_page(asked: Asked, version: VersionRecord, path: str, tree: Digest) -> Response:
    """A directory, from the position or the name on that is asked for."""
    directory = asked.repository.directory(tree)
    wanted = asked.text("at")
    start = directory.search(wanted)[0] if wanted else asked.number("from", 0)
    start = min(start, max(0, len(directory) - 1))
    entries = directory.slice(start, start + ENTRIES_PER_PAGE)
    return asked.page(
        "directory.html",
        version=version,
        path=path,
        crumbs=crumbs(version, path),
        rows=[_row(version, path, each) for each in entries],
        wanted=wanted,
        is_long=len(directory) > ENTRIES_PER_PAGE,
        pager=pager(
            asked,
            start=start,
            count=len(entries),
            total=len(directory),
            per_page=ENTRIES_PER_PAGE,
        ),
    )


def _row(version: VersionRecord, above: str, entry: Entry) -> Row:
    url = files_url(version, f"{above}/{entry.name}" if above else entry.name)
    if isinstance(entry, DirectoryEntry):
        note = f"{entry.file_count:,} files" if entry.file_count != 1 else "1 file"
        return Row(entry.name, url, "directory", entry.size_bytes, note, None)
    if isinstance(entry, FileEntry):
        note = "executable" if entry.executable else ""
        return Row(entry.name, url, "file", entry.size_bytes, note, entry.mtime_ns)
    if isinstance(entry, ReferenceEntry):
        kind = "file" if entry.is_server_file else "reference"
        note = "" if entry.is_server_file else entry.uri
        return Row(entry.name, url, kind, entry.size_bytes, note, entry.mtime_ns or None)
    return Row(entry.name, url, "link", None, f"→ {entry.target}", None)


def where_bytes_live(asked: Asked, entry: LeafEntry) -> list[tuple[str, str]]:
    """What is known of a leaf's bytes, in words. Blocks: on the catalog."""
    if isinstance(entry, SymlinkEntry):
        return [("leads to", entry.target)]
    if isinstance(entry, ReferenceEntry):
        facts = [("refers to", entry.uri), ("digest", entry.digest or "none")]
        if not entry.is_server_file:
            proof = entry.pin.proof
            facts.append(("pinned by", "nothing: unverified" if proof == "none" else proof))
        return facts
    facts = [("sha256", entry.sha256.hex()), ("W&B digest", entry.digest)]
    record = asked.repository.catalog.locate([entry.sha256]).get(entry.sha256)
    if record is None:
        where = "nowhere: the store has lost it" if entry.size_bytes else "in the store"
    elif record.pack is None:
        where = "in the store, an object of its own"
    else:
        where = f"in the store, at {record.offset:,} of the pack {record.pack.hex()[:12]}…"
    facts.append(("kept", where))
    return facts


def file_page(asked: Asked, version: VersionRecord, path: str, entry: LeafEntry) -> Response:
    """A file: what is known of it, and what it looks like."""
    shown, problem = None, None
    if not isinstance(entry, SymlinkEntry):
        try:
            shown = preview(asked, version, path, entry)
        except ArtfsError as error:
            problem = error
    return asked.page(
        "file.html",
        version=version,
        path=path,
        crumbs=crumbs(version, path),
        entry=entry,
        size_bytes=None if isinstance(entry, SymlinkEntry) else entry.size_bytes,
        preview=shown,
        problem=problem,
        raw=None if shown is None else raw_url(version, path),
        facts=where_bytes_live(asked, entry),
    )


def files_page(asked: Asked) -> Response:
    """A directory or a file of a version."""
    version = asked.version()
    path = asked.part("path").rstrip("/")
    entry = asked.repository.find(version.tree, path) if path else version.root
    if isinstance(entry, DirectoryEntry):
        return directory_page(asked, version, path, entry.sha256)
    return file_page(asked, version, path, entry)
