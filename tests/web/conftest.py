"""The pages of a store, asked in this process without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import pytest
from starlette.types import ASGIApp

from artfs.repository.facade import Repository
from artfs.server.running import ServeOptions
from artfs.web.guard import TokenGuard
from artfs.web.serving import web_application, web_guard
from tests.support.stores import new_store

HOST = "127.0.0.1:8232"


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = {name.decode().lower(): value.decode() for name, value in headers}
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode()


class Browser:
    """A client of an ASGI application with one cookie jar; it follows nothing by itself."""

    def __init__(self, application: ASGIApp, *, host: str = HOST) -> None:
        self._application = application
        self.host = host
        self.cookies: dict[str, str] = {}

    def get(self, url: str, **headers: str) -> Answer:
        return self.request("GET", url, b"", headers)

    def post(self, url: str, fields: dict[str, str], **headers: str) -> Answer:
        body = urlencode(fields).encode()
        sent = {"origin": f"http://{self.host}"} | headers
        return self.request("POST", url, body, sent)

    def request(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        parts = urlsplit(url)
        sent = {"host": self.host, "accept": "text/html"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        host, _, port = self.host.rpartition(":")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "server": (host, int(port)),
            "client": ("127.0.0.1", 50_000),
            "path": unquote(parts.path),
            "raw_path": quote(parts.path, safe="/%").encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }
        answer = asyncio.run(self._ask(scope, body))
        for name, value in answer[1]:
            if name.lower() == b"set-cookie":
                for key, morsel in SimpleCookie(value.decode()).items():
                    self.cookies[key] = morsel.value
        return Answer(*answer)

    async def _ask(
        self, scope: dict[str, Any], body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        messages: list[Any] = []
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            if (message := next(given, None)) is not None:
                return message
            # It stays, and says nothing more.
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            messages.append(message)

        await self._application(scope, receive, send)
        start = next(each for each in messages if each["type"] == "http.response.start")
        sent = b"".join(each.get("body", b"") for each in messages)
        return start["status"], list(start["headers"]), sent


class Site:
    """A store, and the pages of it."""

    def __init__(self, repository: Repository, *, read_only: bool = False) -> None:
        self.repository = repository
        options = ServeOptions(port=8232, read_only=read_only)
        self.guard: TokenGuard = web_guard(options)
        self.application = web_application(repository, self.guard, options)
        self.browser = self.stranger()
        self.browser.get(f"/?token={self.guard.token}")

    def stranger(self, **options: str) -> Browser:
        """Somebody who has no token."""
        return Browser(self.application, **options)

    def get(self, url: str, status: int = 200, **headers: str) -> str:
        """The text of a page."""
        answer = self.browser.get(url, **headers)
        assert answer.status == status, answer.text
        return answer.text


MakeSite = Callable[..., Site]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with new_store(tmp_path / "store") as store:
        yield store


@pytest.fixture
def site(repository: Repository) -> Site:
    """The pages of a new store."""
    return Site(repository)
