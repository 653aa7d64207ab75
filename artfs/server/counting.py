"""Counts what a server answers, for Prometheus."""

from __future__ import annotations

import time
from collections import Counter, defaultdict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artfs.system.prometheus import Metric, Sample


class Counts:
    """What was answered since the server began. Belongs to one event loop."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.running = 0

    def metrics(self) -> list[Metric]:
        """What there is to tell now."""
        answered = [
            Sample(count, {"method": method, "status": str(status)})
            for (method, status), count in sorted(self.requests.items())
        ]
        spent = [Sample(value, {"method": key}) for key, value in sorted(self.seconds.items())]
        name = "artfs_server_request_seconds_total"
        return [
            Metric("artfs_server_requests_total", "counter", "Requests answered.", answered),
            Metric(name, "counter", "Seconds until they were answered.", spent),
            Metric(
                "artfs_server_requests_running",
                "gauge",
                "Requests that are being answered.",
                [Sample(self.running)],
            ),
        ]


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class Counting:
    """Middleware that counts every request."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A client chooses the method: it must not be able to make labels without end.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        status = 499
        began = time.monotonic()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._counts.running += 1
        try:
            await self._app(scope, receive, noting)
        finally:
            self._counts.running -= 1
            self._counts.requests[method, status] += 1
            self._counts.seconds[method] += time.monotonic() - began
