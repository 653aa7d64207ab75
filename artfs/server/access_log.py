"""A line of JSON for each request: who asked for what, and how it was answered.

No line has a key or a signed link: what stands behind `/uploads/` and its like is left out.
"""

from __future__ import annotations

import json
import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("artfs.server.access")

_SIGNED = ("/uploads/", "/contents/", "/manifests/")


class AccessLog:
    """ASGI middleware that logs requests once they are answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()
        status, sent_bytes = 0, 0

        async def noting(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            client = scope.get("client")
            headers = dict(scope["headers"])
            line = {
                "from": client[0] if client else None,
                "method": scope["method"],
                "path": shown_path(scope["path"]),
                "status": status,
                "bytes": sent_bytes,
                "seconds": round(time.monotonic() - began_s, 4),
                "agent": headers.get(b"user-agent", b"").decode("latin-1")[:100],
            }
            logger.info("%s", json.dumps(line))


def shown_path(path: str) -> str:
    """A path without what a signed link would give a reader of the log."""
    for prefix in _SIGNED:
        if path.startswith(prefix):
            return f"{prefix}…"
    return path[:300]
