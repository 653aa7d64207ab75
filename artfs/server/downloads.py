"""Answering with content: whole, or a range of it, verified block by block; and with manifests.

Content is sent in small pieces, for what is given to a connection is copied until the client takes
it. How many blocks are in memory for that is bounded: `BlockRoom`.
"""

from __future__ import annotations

import asyncio
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
_PIECE_BYTES = 256 * 1024
_BLOCKS_AT_ONCE = 32
_PATIENCE_S = 1.0
"""A client that did not take a block within this time has it read again for the rest."""


class _Held:
    """A block, or the rest of one, on its way to a client; and its place in memory."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._timer: asyncio.TimerHandle | None = None
        self._has_place = True
        self._data = b""
        self._start = 0

    def put(self, data: bytes, start: int) -> None:
        """Hold what begins at `start` of the content, until it is let go of."""
        self._data, self._start = data, start
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE_S, self.let_go)

    def piece(self, position: int) -> bytes:
        """What to send next; nothing where it was sent, or took too long."""
        at = position - self._start
        return self._data[at : at + _PIECE_BYTES]

    def let_go(self) -> None:
        """Make place for others."""
        self._data = b""
        if self._timer is not None:
            self._timer.cancel()
        if self._has_place:
            self._has_place = False
            self._places.release()


class BlockRoom:
    """Places for the blocks that clients are being sent, for one event loop.

    Clients that take nothing keep none for longer than a moment: others wait for these.
    """

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_BLOCKS_AT_ONCE)

    async def place(self) -> _Held:
        """A place, once there is one."""
        await self._places.acquire()
        return _Held(self._places)


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
    request: Request, repository: Repository, find: Callable[[], ContentRecord], room: BlockRoom
) -> Response:
    """The content that `find` finds, or the range of it that is asked for. Raises: as it does."""

    def found() -> Found:
        record = find()
        headers = {**_HEADERS, "ETag": f'"{record.sha256.hex()}"'}
        entry = _entry(record)
        return Found(lambda: repository.content(entry), record.size_bytes, headers)

    return await ranged_response(request, found, room)


async def ranged_response(request: Request, find: Callable[[], Found], room: BlockRoom) -> Response:
    """Verified content, or the range of it that is asked for.

    `find` may block: all that blocks before the first byte is one turn of one thread.
    Raises: as `find` and Content.load_block.
    """
    held = await room.place()
    try:
        opened = await run_in_threadpool(_opened, request, find)
    except BaseException:
        held.let_go()
        raise
    kind = opened.media_type
    if opened.content is None or opened.span.length <= min(len(opened.first), _PIECE_BYTES):
        held.let_go()
        return Response(opened.first or None, opened.status, opened.headers, kind)
    held.put(opened.first, opened.span.start)
    parts = _parts(opened.content, opened.span, held, room)
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


async def _parts(
    content: Content, span: ByteRange, held: _Held, room: BlockRoom
) -> AsyncIterator[bytes]:
    """The pieces of a span, of which `held` is the first block."""
    position = span.start
    try:
        while position < span.stop:
            piece = held.piece(position)
            if not piece:
                held.let_go()
                held = await room.place()
                rest = ByteRange(position, span.stop - position)
                held.put(await run_in_threadpool(_first_part, content, rest), position)
                continue
            position += len(piece)
            yield piece
    finally:
        held.let_go()


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
