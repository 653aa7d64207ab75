"""Connections that cost nothing to whoever holds them open: limits on time and size of each.

uvicorn waits for ever for the rest of a request's head, however long that gets, and for a client
to take an answer. Here a head has `HEAD_S` seconds and `HEAD_BYTES`, and a client that takes
nothing of an answer for `WRITE_S` seconds is left. How fast a body must come is `paced`'s to say.
"""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle
from collections.abc import AsyncIterator, Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from artfs.errors import ArtfsError

HEAD_S = 30.0
HEAD_BYTES = 64 * 1024
WRITE_S = 300.0

BODY_PAUSE_S = 60.0
"""A body of which nothing comes for so long is given up."""
BODY_BYTES_PER_S = 1024
"""And one that comes at less than this rate, as a whole."""

_TOO_LONG = b"the head of this request is too long"


class TooSlow(ArtfsError):
    """A body that does not come: HTTP 408."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    _timer: TimerHandle | None = None
    _write_timer: TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._answers() or self.transport.is_closing():
            return
        # It waits for a head, or for the rest of a body that was answered already.
        if self._head_bytes > HEAD_BYTES and not self._answered_early():
            self._refuse_head()
        else:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        self._leave_timers()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.body:
            # What comes becomes the body, and is handed on: a bytearray would copy it twice.
            cycle.body = b""  # type: ignore[assignment]
        super().on_body(body)

    def on_response_complete(self) -> None:
        self._head_bytes = 0
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _answers(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _answered_early(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.more_body

    def _wait_for_head(self) -> None:
        """From the first byte on; more bytes do not prolong it."""
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _leave_timers(self) -> None:
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._write_timer = None

    def _refuse_head(self) -> None:
        head = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
        length = b"content-length: %d\r\n\r\n" % len(_TOO_LONG)
        self.transport.write(head + length + _TOO_LONG)
        self.transport.close()


async def paced(
    body: AsyncIterator[bytes], clock: Callable[[], float] | None = None
) -> AsyncIterator[bytes]:
    """A body as it comes, as long as it does. Raises: TooSlow."""
    now = clock or asyncio.get_running_loop().time
    began, size = now(), 0
    chunks = aiter(body)
    while True:
        try:
            async with asyncio.timeout(BODY_PAUSE_S):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _too_slow(f"nothing came for {BODY_PAUSE_S:.0f} seconds") from None
        size += len(chunk)
        if now() - began > BODY_PAUSE_S + size / BODY_BYTES_PER_S:
            raise _too_slow(f"it came at less than {BODY_BYTES_PER_S} bytes a second")
        yield chunk


def _too_slow(reason: str) -> TooSlow:
    return TooSlow("the body of this request", reason, hint="send it again")
