"""HTTP answers that come: the head within the time of one step, the body at some rate.

A limit of time for each piece is none for a server that sends a byte now and then, interim
answers (`100 Continue`) without end, or the length of a chunk digit by digit.
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

MIN_BYTES_PER_S = 1024
"""A body that comes slower is worth no waiting."""


class HeadInTime(HTTPResponse):
    """An answer whose head, with all interim answers before it, has the socket's timeout.

    So has its body, as long as less than MIN_BYTES_PER_S come of it: what frames it counts, too.
    """

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
        self._waited_s = 0.0
        self._received_bytes = 0

    @contextmanager
    def limited(self) -> Iterator[None]:
        """A block in which all reading together has the time that each step of it has else."""
        step_s = self._sock.gettimeout()
        self._until_s = math.inf if step_s is None else time.monotonic() + step_s
        try:
            yield
        finally:
            self._until_s = math.inf
            self._waited_s, self._received_bytes = 0.0, 0
            self._sock.settimeout(step_s)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        began_s = time.monotonic()
        if self._until_s != math.inf:
            remaining_s = self._until_s - began_s
            if remaining_s <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(remaining_s)
        count = self._raw.readinto(buffer)
        # The time that others take before they want more is not the server's.
        self._waited_s += time.monotonic() - began_s
        self._received_bytes += count or 0
        step_s = self._sock.gettimeout()
        is_late = step_s is not None and self._waited_s > step_s
        if count and is_late and self._received_bytes < self._waited_s * MIN_BYTES_PER_S:
            raise TimeoutError("timed out")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
