"""Answering with content: whole, or a range of it, verified block by block; and with manifests."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Any

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


async def content_response(
    request: Request, repository: Repository, record: ContentRecord
) -> Response:
    """The content, or the range of it that is asked for. Raises: as Content.load_block."""
    etag = f'"{record.sha256.hex()}"'
    return await ranged_response(
        request,
        lambda: repository.content(_entry(record)),
        size_bytes=record.size_bytes,
        headers={**_HEADERS, "ETag": etag},
        media_type=_TYPE,
    )


async def ranged_response(
    request: Request,
    content_of: Callable[[], Content],
    *,
    size_bytes: int,
    headers: dict[str, str],
    media_type: str,
) -> Response:
    """Verified content, or the range of it that is asked for, `If-Range` the ETag of `headers`.

    Raises: as Content.load_block, and as `content_of` does.
    """
    headers = dict(headers)
    span: ByteRange | None = ByteRange(0, size_bytes)
    status = 200
    wanted = request.headers.get("range")
    if wanted and request.headers.get("if-range") in {None, headers.get("ETag")}:
        asked = _parsed(wanted, size_bytes)
        if asked is None:
            headers["Content-Range"] = f"bytes */{size_bytes}"
            return Response(f"of {size_bytes} bytes\n", 416, headers)
        if asked != span:
            span, status = asked, 206
            headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{size_bytes}"
    assert span is not None
    headers["Content-Length"] = str(span.length)
    if request.method == "HEAD":
        return Response(None, status, headers, media_type)
    content = await run_in_threadpool(content_of)
    first = await run_in_threadpool(_first_part, content, span)
    if len(first) == span.length:
        return Response(first, status, headers, media_type)
    return StreamingResponse(_parts(content, span, first), status, headers, media_type)


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
