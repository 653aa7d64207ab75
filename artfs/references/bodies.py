"""The bodies of HTTP answers: where they end, and whether that is the end of the content.

A body is used only as far as its length is right. One without a length is over when its
connection is, which happens anywhere; chunks and coded streams (codings.py) have an end of their
own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import requests
from urllib3.response import BaseHTTPResponse, HTTPResponse

from artfs.errors import UNDECODABLE
from artfs.references import codings
from artfs.references.base import Body, TransientFailure
from artfs.references.codings import PIECE_BYTES
from artfs.references.web import Extent, is_timeout, reason
from artfs.system.httpget import UNANSWERED, RawBody


def body(raw: RawBody, found: Extent, *, subject: str, whole: bool) -> Body:
    """The body of an answer, as it is; a length other than it says is a TransientFailure.

    Its transfer coding was checked.
    """
    content = _checked(_pieces(raw), raw, found.length, subject)
    tells_end = found.length is not None or _is_framed(raw)
    return Body(found.start, content, raw, whole=whole, tells_end=tells_end)


def decoded_body(raw: BaseHTTPResponse, *, subject: str) -> Body:
    """The whole content, decoded; nobody says how long it is. Raises: as `codings.decodable`."""
    assert isinstance(raw, HTTPResponse)
    # Behind a member of gzip there may be another one, which a connection that ends there hides.
    ends_itself = codings.names(raw.headers)[-1:] == [codings.DEFLATE]
    content = decoded(raw, subject=subject)
    return Body(0, content, raw, whole=True, tells_end=ends_itself or _is_framed(raw))


def decoded(raw: BaseHTTPResponse, *, subject: str) -> Iterator[bytes]:
    """What arrives, decoded, as it arrives; each coding must come to its own end.

    Raises: as `codings.decodable`; while it is read, TransientFailure where it breaks off.
    """
    assert isinstance(raw, HTTPResponse)
    found = codings.decodable(raw.headers, subject=subject)
    codings.check_transfer(raw.headers, subject=subject)
    return _checked(codings.decoded(_pieces(raw), found), raw, None, subject)


def _pieces(raw: RawBody) -> Iterator[bytes]:
    return iter(partial(raw.read1, PIECE_BYTES, decode_content=False), b"")


def _checked(
    pieces: Iterator[bytes], raw: RawBody, expected: int | None, subject: str
) -> Iterator[bytes]:
    received = 0
    try:
        for data in pieces:
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
    except codings.BrokenCoding as error:
        raise TransientFailure(subject, f"{error}, after {received} bytes") from None
    except UNANSWERED as error:
        raise TransientFailure(
            subject,
            f"broke off after {received} bytes ({reason(error)})",
            timed_out=is_timeout(error),
        ) from None
    if expected is not None and received != expected:
        raise TransientFailure(subject, f"{received} bytes came where {expected} were promised")
    raw.release_conn()


def _is_framed(raw: RawBody) -> bool:
    """Whether the end of an unread body is told apart from that of its connection."""
    return bool(raw.chunked) or raw.length_remaining is not None


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
