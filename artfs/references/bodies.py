"""The bodies of HTTP answers: where they end, and whether that is the end of the content.

A body is used only as far as its length is right. One without a length is over when its
connection is, which happens anywhere; chunks and compressed streams have an end of their own.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException
from typing import Any, cast

import requests
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse, HTTPResponse

from artfs.errors import UNDECODABLE
from artfs.references.base import Body, TransientFailure
from artfs.references.web import PIECE_BYTES, Extent, is_timeout, reason


def body(raw: BaseHTTPResponse, found: Extent, *, subject: str, whole: bool) -> Body:
    """The body of an answer; a length other than it says is a TransientFailure."""
    assert isinstance(raw, HTTPResponse)
    content = _checked(
        partial(raw.read1, PIECE_BYTES, decode_content=False), raw, found.length, subject
    )
    return Body(
        found.start,
        content,
        raw,
        whole=whole,
        tells_end=found.length is not None or _is_framed(raw),
    )


def decoded_body(raw: BaseHTTPResponse, *, subject: str) -> Body:
    """The whole content, decompressed; nobody says how long it is."""
    assert isinstance(raw, HTTPResponse)
    tells_end = _is_framed(raw) or _is_gzip(raw)
    return Body(0, decoded(raw, subject=subject), raw, whole=True, tells_end=tells_end)


def decoded(raw: BaseHTTPResponse, *, subject: str) -> Iterator[bytes]:
    """What arrives, decompressed, as it arrives. Raises: TransientFailure where it breaks off."""
    assert isinstance(raw, HTTPResponse)
    if _is_gzip(raw):
        stream = _Encoded(raw)
        # Unlike urllib3's decoder it insists on the end of the stream, and on its checksum.
        unpacked = gzip.GzipFile(fileobj=cast("Any", stream), mode="rb")
        read: Callable[[], bytes] = partial(unpacked.read1, PIECE_BYTES)
    else:
        read = partial(raw.read1, PIECE_BYTES, decode_content=True)
    return _checked(read, raw, None, subject)


def _checked(
    read: Callable[[], bytes], raw: HTTPResponse, expected: int | None, subject: str
) -> Iterator[bytes]:
    received = 0
    try:
        while data := read():
            received += len(data)
            if expected is not None and received > expected:
                # What belongs to it is used: the end of it may be what shows who is wrong.
                if kept := data[: expected - received]:
                    yield kept
                raise TransientFailure(
                    subject,
                    f"more than the {expected} bytes came that were promised",
                    overlong=True,
                )
            yield data
    except (HTTPError, HTTPException, OSError, EOFError, zlib.error) as error:
        raise TransientFailure(
            subject,
            f"broke off after {received} bytes ({reason(error)})",
            timed_out=is_timeout(error),
        ) from None
    if expected is not None and received != expected:
        raise TransientFailure(subject, f"{received} bytes came where {expected} were promised")
    raw.release_conn()


class _Encoded:
    """A compressed body as `gzip` reads one."""

    def __init__(self, raw: HTTPResponse) -> None:
        self._raw = raw
        self._may_be_empty = _is_framed(raw)

    def read(self, size: int) -> bytes:
        """What comes next; empty at the end."""
        data = self._raw.read1(size, decode_content=False)
        if not data and not self._may_be_empty:
            # To `gzip` nothing at all is a file like any other.
            raise EOFError
        self._may_be_empty = True
        return data


def _is_framed(raw: HTTPResponse) -> bool:
    """Whether the end of an unread body is told apart from that of its connection."""
    return bool(raw.chunked) or raw.length_remaining is not None


def _is_gzip(raw: HTTPResponse) -> bool:
    return raw.headers.get("Content-Encoding", "").strip().lower() in {"gzip", "x-gzip"}


def json_of(response: requests.Response, *, subject: str, timeout_s: float) -> Any:
    """A small JSON document. Blocks: about `timeout_s`. Raises: TransientFailure."""
    deadline_s = time.monotonic() + timeout_s
    text = bytearray()
    with response:
        for piece in decoded(response.raw, subject=subject):
            text += piece
            if len(text) > PIECE_BYTES or time.monotonic() > deadline_s:
                raise TransientFailure(subject, "a small answer does not come to its end")
    try:
        return json.loads(text)
    except UNDECODABLE:
        raise TransientFailure(subject, "the server answered with nonsense") from None
