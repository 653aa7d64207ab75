"""Codings of HTTP bodies: which an answer names, and the content of a body that has them.

Decoded are gzip and deflate, whose streams say by themselves where they end: only what was decoded
to that end is content, whatever the length of the body is said to be. Any other coding is refused
by its name, for its bytes are not those that somebody refers to. Transfer codings but chunks are
refused, too: nobody asks for one, and the length of what comes is not told apart from it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from artfs.errors import BackendUnavailable

if TYPE_CHECKING:
    from zlib import _Decompress

GZIP, DEFLATE = "gzip", "deflate"
MAX_CODINGS = 5
"""How many codings one upon another are decoded: each has a memory of its own."""

PIECE_BYTES = 1024 * 1024
"""The most that is taken, or made, at a time."""
_MAX_SHOWN = 40
_SAME = {"x-gzip": GZIP}
_HINT = (
    "let its server send the content as it is, or with gzip or deflate; or download it, and put "
    "the file itself"
)


class BrokenCoding(Exception):
    """A coded stream is damaged, has no end, or has something behind it; says which, for people."""


def names(headers: Mapping[str, str]) -> list[str]:
    """The codings of a body in the order in which they were applied; empty where it has none."""
    listed = headers.get("Content-Encoding", "").lower().split(",")
    stripped = (name.strip() for name in listed)
    return [_SAME.get(name, name) for name in stripped if name not in {"", "identity"}]


def decodable(headers: Mapping[str, str], *, subject: str) -> list[str]:
    """As `names`. Raises: BackendUnavailable where one of them cannot be decoded."""
    found = names(headers)
    for name in found:
        if name not in {GZIP, DEFLATE}:
            raise _refused(subject, "Content-Encoding", name)
    if len(found) > MAX_CODINGS:
        reason = f"its server sends it with more than {MAX_CODINGS} codings one upon another"
        raise BackendUnavailable(subject, reason, hint=_HINT)
    return found


def check_transfer(headers: Mapping[str, str], *, subject: str) -> None:
    """Raises: BackendUnavailable for a transfer coding that is not `chunked` and nothing else."""
    text = headers.get("Transfer-Encoding", "")
    # With a space behind it, `http.client` takes chunks for content.
    if text.lower() != "chunked" and text.strip().lower() not in {"", "identity"}:
        raise _refused(subject, "Transfer-Encoding", text.strip())


def decoded(pieces: Iterable[bytes], codings: list[str]) -> Iterator[bytes]:
    """The content of a body, none of whose pieces is empty or longer than 1 MiB.

    It is whole when the iteration ends. Raises: BrokenCoding.
    """
    for coding in reversed(codings):
        pieces = _inflated(pieces, coding)
    return iter(pieces)


def _refused(subject: str, header: str, text: str) -> BackendUnavailable:
    # What a server says may be of any length, and hold anything.
    said = ascii(text[:_MAX_SHOWN])[1:-1]
    reason = f"its server sends it in a coding that artfs does not decode ({header}: {said})"
    return BackendUnavailable(subject, reason, hint=_HINT)


def _inflated(pieces: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """One coding taken away: a stream of deflate, or one or more members of gzip."""
    running: _Decompress | None = None
    ends = 0
    for piece in pieces if coding == GZIP else _begun(pieces):
        # Archives on tape are filled up with zeros behind the last member, as `gzip` knows.
        data = piece if running or not ends else piece.lstrip(b"\0")
        while data or running:
            if running is None:
                if ends and coding == DEFLATE:
                    raise BrokenCoding("more comes behind the end of its deflate coding")
                running = _decompressor(coding, data)
            try:
                content = running.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                what = str(error).rpartition(": ")[2]
                raise BrokenCoding(f"its {coding} coding is damaged ({what})") from None
            if content:
                yield content
            if running.eof:
                data, running, ends = running.unused_data, None, ends + 1
                data = data.lstrip(b"\0") if coding == GZIP else data
                continue
            data = running.unconsumed_tail
            # It may hold back content although it took all that came.
            if not data and len(content) < PIECE_BYTES:
                break
    if running or not ends:
        raise BrokenCoding(f"its {coding} coding comes to no end")


def _begun(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes; the first piece has at least two, which show the kind of a deflate stream."""
    running = iter(pieces)
    head = b""
    while len(head) < 2 and (piece := next(running, b"")):
        head += piece
    return chain([head] if head else [], running)


def _decompressor(coding: str, head: bytes) -> _Decompress:
    if coding == GZIP:
        return zlib.decompressobj(16 + zlib.MAX_WBITS)
    # Servers send deflate with and without the header of zlib. No stream that begins otherwise
    # looks like that: its first block would be a stored one, with a padding that is not zero.
    has_header = head[0] & 0x8F == 0x08 and int.from_bytes(head[:2], "big") % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
