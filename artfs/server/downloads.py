"""Answering with content: whole, or a range of it, verified block by block; and with manifests."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from artfs.catalog.records import VersionRecord
from artfs.catalog.serving_records import ContentRecord
from artfs.content.base import Content, read_range
from artfs.manifest.entries import FileEntry
from artfs.manifest.wandb import STORAGE_POLICY, ManifestEntry, tree_entries
from artfs.model import BLOCK_SIZE_BYTES, ByteRange
from artfs.repository.facade import Repository
from artfs.server import ids

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_HEADERS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, max-age=31536000, immutable",
    # Content comes from whoever logs: no browser is to take it for a page of this server.
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",
}
_TYPE = "application/octet-stream"
_LINES = 1000


class _Opened(msgspec.Struct, frozen=True):
    """What an answer begins with."""

    status: int
    headers: dict[str, str]
    content: Content | None
    """None where nothing of it is asked for."""
    span: ByteRange
    first: bytes
    media_type: str


class Found(msgspec.Struct, frozen=True):
    """What is to be answered with, found by something that may block."""

    content: Callable[[], Content]
    """Opens it; not called where nothing of it is asked for. Blocks."""
    size_bytes: int
    headers: Mapping[str, str]
    """The ETag among them is that of `If-Range`."""
    media_type: str = _TYPE


async def content_response(
    request: Request, repository: Repository, find: Callable[[], ContentRecord]
) -> Response:
    """The content that `find` finds, or the range of it that is asked for. Raises: as it does."""

    def found() -> Found:
        record = find()
        headers = {**_HEADERS, "ETag": f'"{record.sha256.hex()}"'}
        entry = _entry(record)
        return Found(lambda: repository.content(entry), record.size_bytes, headers)

    return await ranged_response(request, found)


async def ranged_response(request: Request, find: Callable[[], Found]) -> Response:
    """Verified content, or the range of it that is asked for.

    `find` may block: all that blocks before the first byte is one turn of one thread.
    Raises: as `find` and Content.load_block.
    """
    opened = await run_in_threadpool(_opened, request, find)
    kind = opened.media_type
    if opened.content is None or len(opened.first) == opened.span.length:
        return Response(opened.first or None, opened.status, opened.headers, kind)
    parts = _parts(opened.content, opened.span, opened.first)
    return StreamingResponse(parts, opened.status, opened.headers, kind)


def _opened(request: Request, find: Callable[[], Found]) -> _Opened:
    found = find()
    headers, size = dict(found.headers), found.size_bytes
    span: ByteRange | None = ByteRange(0, size)
    status = 200
    wanted = request.headers.get("range")
    if wanted and request.headers.get("if-range") in {None, headers.get("ETag")}:
        asked = _parsed(wanted, size)
        if asked is None:
            headers["Content-Range"] = f"bytes */{size}"
            text = f"of {size} bytes\n".encode()
            return _Opened(416, headers, None, ByteRange(0, 0), text, "text/plain")
        if asked != span:
            span, status = asked, 206
            headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{size}"
    assert span is not None
    headers["Content-Length"] = str(span.length)
    if request.method == "HEAD":
        return _Opened(status, headers, None, span, b"", found.media_type)
    content = found.content()
    return _Opened(status, headers, content, span, _first_part(content, span), found.media_type)


def _entry(record: ContentRecord) -> FileEntry:
    return FileEntry(
        "",
        record.sha256,
        record.size_bytes,
        record.md5,
        record.blocks,
        executable=False,
        mtime_ns=0,
    )


def _parsed(text: str, size: int) -> ByteRange | None:
    """The one range that a header asks for; all where it is none; None where nothing is there."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or match[1] == match[2] == "":
        return ByteRange(0, size)
    if match[1] == "":
        length = min(int(match[2]), size)
        return ByteRange(size - length, length) if length else None
    start = int(match[1])
    stop = min(int(match[2]) + 1, size) if match[2] else size
    return ByteRange(start, stop - start) if start < stop else None


def _first_part(content: Content, span: ByteRange) -> bytes:
    """Up to the end of the block where a span begins: what fails, fails before the answer."""
    stop = min(span.stop, (span.start // BLOCK_SIZE_BYTES + 1) * BLOCK_SIZE_BYTES)
    return read_range(content, ByteRange(span.start, stop - span.start))


async def _parts(content: Content, span: ByteRange, first: bytes) -> AsyncIterator[bytes]:
    yield first
    position = span.start + len(first)
    while position < span.stop:
        part = ByteRange(position, min(BLOCK_SIZE_BYTES, span.stop - position))
        data = await run_in_threadpool(read_range, content, part)
        yield data
        position += len(data)


def manifest_response(repository: Repository, version: VersionRecord) -> Response:
    """A version's manifest as W&B writes it; of what it holds, itself is the birth artifact."""
    pieces = _manifest_pieces(tree_entries(repository.directory, version.tree), version.id)
    return StreamingResponse(iterate_in_threadpool(pieces), 200, dict(_HEADERS), "application/json")


def _manifest_pieces(entries: Iterator[ManifestEntry], version_id: str) -> Iterator[str]:
    birth = ids.artifact_gid(version_id)
    head = {
        "version": 1,
        "storagePolicy": STORAGE_POLICY,
        "storagePolicyConfig": {"storageLayout": "V2"},
    }
    yield json.dumps(head)[:-1] + ', "contents": {'
    separator = ""
    while some := list(islice(entries, _LINES)):
        lines = [f"{json.dumps(each.path)}: {json.dumps(_value(each, birth))}" for each in some]
        yield separator + ",\n".join(lines)
        separator = ",\n"
    yield "}}"


def _value(entry: ManifestEntry, birth: str) -> dict[str, Any]:
    value = entry.to_json()
    return value if entry.ref else {**value, "birthArtifactID": birth}
