"""What notebooks show of an artifact and of its versions."""

from __future__ import annotations

import json
from collections.abc import Iterable

from artfs.catalog.records import VersionRecord
from artfs.media.notebooks import block_html, pairs_html, table_html, text_html
from artfs.repository.filters import time_text
from artfs.system.texts import format_size

SHOWN_VERSIONS = 20


def version_html(record: VersionRecord) -> str:
    """A version with all that is said of it."""
    pairs = [
        ("type", text_html(record.type)),
        ("aliases", text_html(", ".join(record.aliases))),
        ("tags", text_html(", ".join(record.tags))),
        ("size", f"{format_size(record.size_bytes)}, {_files(record.file_count)}"),
        ("made", f"{time_text(record.created_at_ns)} UTC"),
        ("address", text_html(f"artfs://{record.path}")),
    ]
    if record.description:
        pairs.append(("description", block_html(record.description)))
    if record.metadata:
        told = json.dumps(record.metadata, indent=2, ensure_ascii=False, default=repr)
        pairs.append(("metadata", block_html(told)))
    return pairs_html(record.path, [(name, value) for name, value in pairs if value])


def draft_html(name: str, type_name: str, size_bytes: int, file_count: int) -> str:
    """An artifact that is not logged yet."""
    what = f"{format_size(size_bytes)}, {_files(file_count)}"
    return pairs_html(f"{name} (not logged yet)", [("type", text_html(type_name)), ("size", what)])


def versions_html(records: Iterable[VersionRecord], *, count: int) -> str:
    """The first of `count` versions, one below the other."""
    rows = [
        (
            each.version,
            ", ".join(each.aliases),
            ", ".join(each.tags),
            format_size(each.size_bytes),
            str(each.file_count),
            time_text(each.created_at_ns),
        )
        for each in records
    ]
    note = f"{len(rows)} of {count} versions" if len(rows) < count else ""
    return table_html(
        ("version", "aliases", "tags", "size", "files", "made (UTC)"), rows, note=note
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
