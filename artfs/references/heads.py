"""The heads of HTTP answers: all of one comes within the time of one step.

A limit of time for each piece is none for a server that sends a byte now and then, or interim
answers (`100 Continue`) without end.
"""

from __future__ import annotations

import io
import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class HeadInTime(HTTPResponse):
    """An answer whose head, with all interim answers before it, has the socket's timeout."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self._arriving = _Arriving(sock)
        self.fp = io.BufferedReader(self._arriving)

    def begin(self) -> None:
        """Read the head. Raises: TimeoutError, HTTPException."""
        with self._arriving.limited():
            super().begin()


class _Arriving(io.RawIOBase):
    """What comes by a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._until_s = math.inf

    @contextmanager
    def limited(self) -> Iterator[None]:
        """A block in which all reading together has the time that each step of it has else."""
        step_s = self._sock.gettimeout()
        self._until_s = math.inf if step_s is None else time.monotonic() + step_s
        try:
            yield
        finally:
            self._until_s = math.inf
            self._sock.settimeout(step_s)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self._until_s != math.inf:
            remaining_s = self._until_s - time.monotonic()
            if remaining_s <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(remaining_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
