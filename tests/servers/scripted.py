"""A web server that sends exactly the bytes that a test says, and notes what it was asked."""

from __future__ import annotations

import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec


class Asked(msgspec.Struct, frozen=True):
    """One request."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""


Script = Callable[[Asked], bytes]
"""All bytes of an answer, its head included; then the connection is closed."""


class ScriptedServer:
    """A running server; `script` may be changed at any time."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.sent_bytes = 0
        self.url = ""

    def note(self, asked: Asked) -> bytes:
        """Take note of a request; the answer."""
        self.asked.append(asked)
        answer = self.script(asked)
        self.sent_bytes += len(answer)
        return answer


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer with these headers (`content_length="3"`) and no others."""
    names = {name.replace("_", "-").title(): text for name, text in headers.items()}
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {text}" for name, text in names.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def redirect(location: str) -> bytes:
    """An answer that leads elsewhere."""
    return answer(302, location=location, content_length="0", connection="close")


@contextmanager
def with_tls(directory: Path) -> Iterator[tuple[ScriptedServer, Path]]:
    """A server of https, and the certificate to trust, which is made in `directory`."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with scripted(lambda _: b"", tls=context) as server:
        yield server, certificate


@contextmanager
def scripted(
    script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedServer]:
    """A server on a free port of `host`."""
    served = ScriptedServer(script)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            target = self.rfile.readline().decode("latin-1").split(" ")
            headers = {}
            while line := self.rfile.readline().decode("latin-1").strip():
                name, _, text = line.partition(":")
                headers[name.lower()] = text.strip()
            body = self.rfile.read(int(headers.get("content-length", "0")))
            if len(target) > 1:
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(served.note(Asked(target[1], headers, body)))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server((host, 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        served.url = f"http{'s' if tls else ''}://{host}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def trickling(beginning: bytes, piece: bytes) -> Iterator[str]:
    """The URL of a server that begins so, and then goes on by pieces without end."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.sendall(beginning)
                while not over.wait(0.01):
                    self.request.sendall(piece)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()
