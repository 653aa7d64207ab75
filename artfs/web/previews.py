"""What a file looks like: read by ranges, verified, and never more than a limit."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import msgspec

from artfs.catalog.records import VersionRecord
from artfs.content.base import Content, read_range
from artfs.errors import UNDECODABLE
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.model import ByteRange
from artfs.web.addresses import files_url, frame_url, raw_url, with_query
from artfs.web.context import Asked
from artfs.web.metadata import Step, leaf_text, tree_steps
from artfs.web.parquet import parquet_head
from artfs.web.raw import AUDIO, IMAGES, VIDEO, content_of, suffix

TEXT_BYTES = 64 * 1024
JSON_BYTES = 1 << 20
CSV_BYTES = 256 * 1024
TABLE_BYTES = 16 << 20
ROWS = 100
COLUMNS = 50
_CELL_CHARS = 200
_SNIFFED_BYTES = 4096
_MEDIA_SUFFIX = "-file"


class Cell(msgspec.Struct, frozen=True):
    """A cell of a table: text, or a file of the same version."""

    text: str
    is_number: bool = False
    url: str | None = None
    image: str | None = None


class Grid(msgspec.Struct, frozen=True):
    """The head of a table."""

    columns: list[str]
    rows: list[list[Cell]]
    note: str

    @property
    def numeric(self) -> frozenset[int]:
        """Which columns begin with a number."""
        first = self.rows[0] if self.rows else []
        return frozenset(index for index, cell in enumerate(first) if cell.is_number)


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is shown; `kind` says by which element."""

    kind: str
    """image, audio, video, html, text, tree, table or none."""
    url: str = ""
    lines: list[str] = []
    steps: list[Step] = []
    grid: Grid | None = None
    note: str = ""
    before: str | None = None
    after: str | None = None


def preview(
    asked: Asked, version: VersionRecord, path: str, entry: FileEntry | ReferenceEntry
) -> Preview:
    """How a file is shown. Blocks and raises as Content.load_block; Unsupported."""
    kind = suffix(path)
    for element, kinds in (("image", IMAGES), ("audio", AUDIO), ("video", VIDEO)):
        if kind in kinds:
            return Preview(kind=element, url=raw_url(version, path))
    if kind in {"html", "htm"} and not asked.text("source"):
        source = with_query(files_url(version, path), source="1")
        return Preview(kind="html", url=frame_url(version, path), after=source)
    content = content_of(asked, entry)
    if content.size_bytes == 0:
        return Preview(kind="none", note="It is empty.")
    special = _SPECIAL.get(kind)
    if special is not None:
        shown = special(content, version, path)
        if shown is not None:
            return shown
    return _text(asked, content, version, path)


def _text(asked: Asked, content: Content, version: VersionRecord, path: str) -> Preview:
    size = content.size_bytes
    if b"\0" in read_range(content, ByteRange(0, _SNIFFED_BYTES)):
        return Preview(kind="none", note="It is no text, and of no kind that is shown here.")
    start = min(asked.number("from", 0), size - 1)
    data = read_range(content, ByteRange(start, TEXT_BYTES))
    if start + len(data) < size:
        # Whole lines, where there are any.
        data = data[: data.rfind(b"\n") + 1] or data
    stop = start + len(data)
    url = files_url(version, path)
    given = {"source": asked.text("source")}
    note = "" if len(data) == size else f"Bytes {start:,} to {stop:,} of {size:,}."
    before = None
    if start:
        before = with_query(url, **given, **{"from": max(0, start - TEXT_BYTES)})
    after = with_query(url, **given, **{"from": stop}) if stop < size else None
    lines = data.decode("utf-8", "replace").removesuffix("\n").split("\n")
    return Preview(kind="text", lines=lines, note=note, before=before, after=after)


def _json(content: Content, version: VersionRecord, path: str) -> Preview | None:
    """A JSON file as a tree, a stored value as itself; None where it is too large, or is none."""
    is_table = path.endswith(".table.json")
    if content.size_bytes > (TABLE_BYTES if is_table else JSON_BYTES):
        return None
    try:
        value = json.loads(read_range(content, ByteRange(0, content.size_bytes)))
    except UNDECODABLE:
        return None
    if is_table and isinstance(value, dict):
        grid = _table_grid(value, version)
        if grid is not None:
            return Preview(kind="table", grid=grid)
    url = ""
    if isinstance(value, dict):
        url = _cell(value, version).image or ""
    return Preview(kind="tree", steps=tree_steps(value), url=url)


def _table_grid(value: dict[str, Any], version: VersionRecord) -> Grid | None:
    """The head of a stored `Table`; None where it is none."""
    columns, data = value.get("columns"), value.get("data")
    if not isinstance(columns, list) or not isinstance(data, list):
        return None
    rows = [
        [_cell(cell, version) for cell in row[:COLUMNS]]
        for row in data[:ROWS]
        if isinstance(row, list)
    ]
    names = [leaf_text(name)[:_CELL_CHARS] for name in columns[:COLUMNS]]
    return Grid(names, rows, _note(len(data), len(columns)))


def _note(rows: int | None, columns: int) -> str:
    parts = []
    if rows is None:
        parts.append(f"the first {ROWS} rows")
    elif rows > ROWS:
        parts.append(f"the first {ROWS} of {rows:,} rows")
    else:
        parts.append(f"{rows:,} rows")
    parts.append(
        f"the first {COLUMNS} of {columns:,} columns" if columns > COLUMNS else f"{columns} columns"
    )
    return f"{', '.join(parts).capitalize()}."


def _cell(value: Any, version: VersionRecord | None = None) -> Cell:
    """A value as a cell; one that names a file of the version leads there."""
    if version is not None and isinstance(value, dict):
        kind, path = value.get("_type"), value.get("path")
        if (
            isinstance(kind, str)
            and kind.endswith(_MEDIA_SUFFIX)
            and isinstance(path, str)
            and path
        ):
            caption = value.get("caption")
            image = raw_url(version, path) if suffix(path) in IMAGES else None
            text = caption if isinstance(caption, str) else path.rpartition("/")[2]
            return Cell(text[:_CELL_CHARS], url=files_url(version, path), image=image)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = "" if value is None else leaf_text(value)
    return Cell(text if len(text) <= _CELL_CHARS else f"{text[:_CELL_CHARS]}…", is_number)


def _separated(delimiter: str) -> Callable[[Content, VersionRecord, str], Preview | None]:
    def head(content: Content, version: VersionRecord, path: str) -> Preview | None:  # noqa: ARG001 - as the others
        data = read_range(content, ByteRange(0, CSV_BYTES))
        if b"\0" in data:
            return None
        is_whole = len(data) == content.size_bytes
        if not is_whole:
            data = data[: data.rfind(b"\n") + 1]
        text = io.StringIO(data.decode("utf-8-sig", "replace"), newline="")
        found: list[list[str]] = []
        count = 0
        try:
            for row in csv.reader(text, delimiter=delimiter):
                count += 1
                if count <= ROWS + 1:
                    found.append(row)
        except csv.Error:
            return None
        if len(found) < 2 and not is_whole:
            return None
        width = max(map(len, found), default=0)
        header = found[0] + [""] * (width - len(found[0])) if found else []
        rows = [[_text_cell(each) for each in row[:COLUMNS]] for row in found[1:]]
        names = [each[:_CELL_CHARS] for each in header[:COLUMNS]]
        note = _note(max(0, count - 1) if is_whole else None, width)
        return Preview(kind="table", grid=Grid(names, rows, note))

    return head


def _text_cell(text: str) -> Cell:
    try:
        float(text)
    except ValueError:
        return _cell(text)
    return Cell(text[:_CELL_CHARS], is_number=True)


def _parquet(content: Content, version: VersionRecord, path: str) -> Preview | None:  # noqa: ARG001 - as the others
    head = parquet_head(content, rows=ROWS, columns=COLUMNS)
    if head.problem:
        return Preview(kind="none", note=head.problem)
    rows = [[_cell(each) for each in row] for row in head.rows]
    grid = Grid(head.columns, rows, _note(head.row_count, head.column_count))
    return Preview(kind="table", grid=grid)


_SPECIAL: dict[str, Callable[[Content, VersionRecord, str], Preview | None]] = {
    "csv": _separated(","),
    "json": _json,
    "parquet": _parquet,
    "tsv": _separated("\t"),
}
