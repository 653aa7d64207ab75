"""A server that is far away: a relay on loopback whose answers take their time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from threading import Thread
from urllib.parse import urlsplit

import trio

_PIECE_BYTES = 256 * 1024


@contextmanager
def distant(url: str, *, round_trip_s: float) -> Iterator[str]:
    """Another URL of the server at `url`, `round_trip_s` away, of any bandwidth."""
    relay = _Relay(urlsplit(url).port or 80, round_trip_s)
    thread = Thread(target=trio.run, args=(relay.run,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{relay.port()}"
    finally:
        relay.stop()
        thread.join()


class _Relay:
    def __init__(self, upstream_port: int, round_trip_s: float) -> None:
        self._upstream_port = upstream_port
        self._round_trip_s = round_trip_s
        self._listeners = trio.run(partial(trio.open_tcp_listeners, 0, host="127.0.0.1"))
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None

    def port(self) -> int:
        """Where it listens."""
        return int(self._listeners[0].socket.getsockname()[1])

    async def run(self) -> None:
        """Serve until it is stopped."""
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            await trio.serve_listeners(self._serve, self._listeners)

    def stop(self) -> None:
        """End `run`, from another thread."""
        assert self._token is not None
        self._token.run_sync_soon(self._scope.cancel)

    async def _serve(self, client: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream("127.0.0.1", self._upstream_port)
        try:
            async with server, trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_on, client, server, 0.0)
                await self._pass_on(server, client, self._round_trip_s)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            # Whoever hangs up has what he wanted.
            pass

    async def _pass_on(
        self, source: trio.SocketStream, target: trio.SocketStream, delay_s: float
    ) -> None:
        """Send what comes, each piece so much later than it came."""
        send, receive = trio.open_memory_channel[tuple[float, bytes]](inf)

        async def deliver() -> None:
            async for due_s, piece in receive:
                await trio.sleep_until(due_s)
                await target.send_all(piece)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(deliver)
            with send:
                while piece := await source.receive_some(_PIECE_BYTES):
                    send.send_nowait((trio.current_time() + delay_s, piece))
