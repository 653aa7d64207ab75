"""GET requests with the credentials and connections of a requests session, without its other work.

Any answer but bytes, or that the server is busy, is asked for again by the session, which knows
about redirects, refreshed credentials and proxies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import requests
from urllib3 import HTTPConnectionPool

from artfs.references.destinations import check_host
from artfs.system import httpget

Sign = Callable[[str, dict[str, str]], None]
"""Adds what a request for a URL needs to be allowed to its headers."""


class SessionReads:
    """Reads from the server that a session is for. Thread-safe."""

    def __init__(self) -> None:
        # Exchanged as a whole: a thread that comes in between finds it once more.
        self._known: tuple[requests.Session, str, HTTPConnectionPool | None] | None = None

    def get(
        self,
        session: requests.Session,
        url: str,
        *,
        headers: Mapping[str, str],
        sign: Sign,
        timeout_s: float,
    ) -> httpget.Answer | None:
        """The answer; None where the session has to ask itself.

        Blocks: `timeout_s` for each step. Raises: UNANSWERED; what `sign` does; PermissionDenied
        for a host that is not to be asked.
        """
        parts = urlsplit(url)
        pool = self._pool(session, f"{parts.scheme}://{parts.netloc}")
        if pool is None:
            return None
        asked = {name: _text(text) for name, text in session.headers.items()}
        asked.update(headers)
        sign(url, asked)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        answer = httpget.get(pool, target, asked, timeout_s=timeout_s)
        if answer.status in {200, 206, 429} or answer.status >= 500:
            return answer
        answer.raw.close()
        return None

    def _pool(self, session: requests.Session, origin: str) -> HTTPConnectionPool | None:
        """The session's connections to a server; None where they lead through a proxy."""
        known = self._known
        # A forked child, and whoever was refused, has another session.
        if known is not None and known[0] is session and known[1] == origin:
            return known[2]
        check_host(urlsplit(origin).hostname or "")
        settings = session.merge_environment_settings(origin, {}, True, None, None)
        adapter = session.get_adapter(origin)
        pool: HTTPConnectionPool | None = None
        if requests.utils.select_proxy(origin, settings["proxies"]) is None:
            assert isinstance(adapter, requests.adapters.HTTPAdapter)
            request = requests.Request("GET", origin).prepare()
            verify, certificate = settings["verify"], settings["cert"]
            found = adapter.get_connection_with_tls_context(request, verify, cert=certificate)
            adapter.cert_verify(found, origin, verify, certificate)  # type: ignore[no-untyped-call]
            assert isinstance(found, HTTPConnectionPool)
            pool = found
        self._known = (session, origin, pool)
        return pool


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
