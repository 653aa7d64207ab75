"""Digests that other tools name content by, computed in one pass over a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from hashlib import md5, sha256
from typing import BinaryIO, Protocol

from artfs.foreign.base import Algorithm

_CHUNK_BYTES = 1024 * 1024
"""The piece in which DVC turns line ends: one that is cut in two stays as it is."""
_TEXT_HEAD_BYTES = 512
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_MAX_ODD_SHARE = 0.3


class Hasher(Protocol):
    """What hashlib's objects are."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """The digest of all that came."""


class _Dos2Unix:
    """DVC's md5 of what looks like text: without the carriage return of each line end."""

    def __init__(self) -> None:
        self._md5 = md5()
        self._is_text: bool | None = None

    def update(self, data: bytes) -> None:
        if self._is_text is None:
            self._is_text = _looks_like_text(data[:_TEXT_HEAD_BYTES])
        self._md5.update(data.replace(b"\r\n", b"\n") if self._is_text else data)

    def digest(self) -> bytes:
        return self._md5.digest()


def _looks_like_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    odd = head.translate(None, _TEXT)
    return len(odd) <= _MAX_ODD_SHARE * len(head)


def new_hasher(algorithm: Algorithm, *, size_bytes: int) -> Hasher:
    """What computes a digest of content that is this long, fed in pieces of 1 MiB."""
    if algorithm is Algorithm.MD5:
        return md5()
    if algorithm is Algorithm.SHA256:
        return sha256()
    if algorithm is Algorithm.MD5_OF_TEXT:
        return _Dos2Unix()
    # Of git: a name, not a measure of security.
    return hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)


def feed(
    file: BinaryIO, hashers: Sequence[Hasher], *, on_bytes: Callable[[int], None] | None = None
) -> None:
    """Read an open file to its end; `on_bytes` hears how many more bytes were read.

    Blocks: on disk and processor. Raises: OSError.
    """
    while data := file.read(_CHUNK_BYTES):
        if on_bytes is not None:
            on_bytes(len(data))
        for each in hashers:
            each.update(data)
