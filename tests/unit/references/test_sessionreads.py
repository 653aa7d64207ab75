"""Requests of a session past requests: what they carry, and when the session asks itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from artfs.errors import PermissionDenied
from artfs.references.sessionreads import SessionReads
from artfs.system.httpget import Answer


class Server(ThreadingHTTPServer):
    """Answers each path with the status of its name, and notes what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.location = ""
        self.seen: list[dict[str, str]] = []
        self.connections: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append({name.lower(): text for name, text in self.headers.items()})
        self.server.connections.append(self.client_address[1])
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Content-Length", "4")
        self.send_header("Location", self.server.location)
        self.end_headers()
        self.wfile.write(b"body")

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def running() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def get(reads: SessionReads, session: requests.Session, url: str) -> Answer | None:
    def sign(_url: str, headers: dict[str, str]) -> None:
        headers["Authorization"] = "Bearer secret"

    return reads.get(session, url, headers={"Range": "bytes=0-3"}, sign=sign, timeout_s=10)


def test_an_answer_carries_what_the_session_sends_and_keeps_its_connection(server: Server) -> None:
    reads, session = SessionReads(), requests.Session()
    session.headers["X-Project"] = "mine"
    for _ in range(3):
        answer = get(reads, session, f"{server.url}/206")
        assert answer is not None
        assert answer.raw.read(4) == b"body"
        answer.raw.close()
    assert len(set(server.connections)) == 1
    seen = server.seen[0]
    assert (seen["x-project"], seen["authorization"]) == ("mine", "Bearer secret")
    assert seen["host"] == server.url.removeprefix("http://")
    # Another session may be for somebody else, and has connections of its own.
    other = get(reads, requests.Session(), f"{server.url}/200")
    assert other is not None
    other.raw.close()
    assert "x-project" not in server.seen[-1]
    assert len(set(server.connections)) == 2


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 412, 416])
def test_any_answer_but_bytes_is_left_to_the_session(server: Server, status: int) -> None:
    with running() as stranger:
        server.location = f"{stranger.url}/206"
        assert get(SessionReads(), requests.Session(), f"{server.url}/{status}") is None
        assert stranger.seen == []


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_is_not_asked_twice(server: Server, status: int) -> None:
    answer = get(SessionReads(), requests.Session(), f"{server.url}/{status}")
    assert answer is not None
    answer.raw.close()
    assert answer.status == status


def test_what_leads_through_a_proxy_is_left_to_the_session(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    assert get(SessionReads(), requests.Session(), "http://gcs.invalid/206") is None
    assert server.seen == []


def test_no_address_is_asked_that_hands_out_credentials() -> None:
    with pytest.raises(PermissionDenied, match="link-local"):
        get(SessionReads(), requests.Session(), "http://169.254.169.254/206")
