"""Around every request: what a client is told where it fails, and a line in the access log.

A line of JSON says who asked for what, and how it was answered. No line has a key or a signed
link: what stands behind `/uploads/` and its like is left out.
"""

from __future__ import annotations

import json
import logging
import time

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    NotFound,
    OutOfSpace,
    PermissionDenied,
)
from artfs.server.auth import TooManyWrongKeys, Unauthorized
from artfs.server.connections import TooSlow

logger = logging.getLogger(__name__)
access_logger = logging.getLogger("artfs.server.access")

_SIGNED = ("/uploads/", "/contents/", "/manifests/")


class TooLarge(ArtfsError):
    """A body that is read whole is too large: HTTP 413."""


_MAX_LINE_CHARS = 1000
_RETRY_S = 10
_STATUS: tuple[tuple[type[ArtfsError], int], ...] = (
    (Unauthorized, 401),
    (TooManyWrongKeys, 429),
    (TooLarge, 413),
    (TooSlow, 408),
    # Clients try these again for long, and training goes on meanwhile.
    (BackendUnavailable, 503),
    (OutOfSpace, 507),
    (PermissionDenied, 403),
    (NotFound, 404),
)


def status_of(error: ArtfsError) -> int:
    """The HTTP status that says the same as an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)


async def failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ArtfsError)
    headers = {}
    status = status_of(error)
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="artfs"'
    if status == 408:
        headers["Connection"] = "close"
    if status in {429, 503, 507}:
        headers["Retry-After"] = str(_RETRY_S)
    return _told(str(error), status, headers)


async def bad_query(_request: Request, error: Exception) -> Response:
    return _told(str(error), 400)


async def http_failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _told(error.detail, error.status_code, dict(error.headers or {}))


async def gone(_request: Request, _error: Exception) -> Response:
    return _told("the request ended before it was whole", 400)


async def broken(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, shown_path(request.scope["path"]), exc_info=error)
    return _told("it failed for a fault of this server, whose log says more", 400)


def _told(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    line = " ".join(text.split())
    if len(line) > _MAX_LINE_CHARS:
        line = f"{line[:_MAX_LINE_CHARS]}…"
    return JSONResponse({"errors": [{"message": line}], "error": line}, status, headers)


# --- the access log --------------------------------------------------------------------------


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
            access_logger.info("%s", json.dumps(line))


def shown_path(path: str) -> str:
    """A path without what a signed link would give a reader of the log."""
    for prefix in _SIGNED:
        if path.startswith(prefix):
            return f"{prefix}…"
    return path[:300]
