"""A proxy between artfs and a real server that breaks answers on demand."""

from __future__ import annotations

import gzip
import http.client
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import msgspec

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
_RELEASE_POLL_S = 0.05
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with an answer; every field that is set happens."""

    status: int | None = None
    """Answer with this status in place of the server's."""
    retry_after: str | None = None
    reset_after: int | None = None
    """Reset the connection after so many bytes of the body."""
    truncate_after: int | None = None
    """End the connection, politely, after so many bytes of the body."""
    stall_after: int | None = None
    """Send so many bytes of the body, and then nothing more."""
    flip_byte: int | None = None
    """Change the byte of the body at this offset, counted from its end where negative."""
    add_to_length: int = 0
    """Lie about the body's length, in Content-Length and in Content-Range."""
    trickle: bool = False
    """Send byte by byte, slowly."""
    delay_s: float = 0
    """How long the first byte takes."""
    ignore_range: bool = False
    """Answer with everything, whatever was asked for."""
    shorten_range: int | None = None
    """Answer with so many bytes of the range, and say so."""
    shift_range: int = 0
    """Say that the bytes are those so much further on."""
    without: str = ""
    """Leave this header out."""
    compress: bool = False
    """Compress the body, though nobody asked for that."""
    never_answer: bool = False
    refuse: bool = False
    """Close the connection without an answer."""
    times: int | None = None
    """How many answers are broken; None: all."""
    path: str = ""
    """Only answers about paths that begin like this are broken."""
    min_body_bytes: int = 0
    """Only bodies of this size or more are changed."""


class FaultProxy:
    """A running proxy. Faults may be set at any time, by any thread."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.request_count = 0
        self.body_bytes = 0
        """Sent to clients, of all answers."""
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def set(self, *faults: Fault) -> None:
        """Break answers from now on, one fault after the other; none: break nothing any more."""
        with self._lock:
            self._faults = list(faults)

    def take(self, path: str) -> Fault:
        """What to do to the next answer."""
        with self._lock:
            self.request_count += 1
            if not self._faults or not path.startswith(self._faults[0].path):
                return Fault()
            fault = self._faults[0]
            if fault.times is not None:
                left = fault.times - 1
                self._faults[:1] = [msgspec.structs.replace(fault, times=left)] if left else []
            return fault

    def count_body(self, size_bytes: int) -> None:
        """Take note of what was sent."""
        with self._lock:
            self.body_bytes += size_bytes


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy to the server at `upstream`, a URL without a path."""
    target = urlsplit(upstream).netloc
    holder: list[FaultProxy] = []

    class Handler(_Handler):
        upstream = target

        @property
        def proxy(self) -> FaultProxy:
            return holder[0]

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    holder.append(FaultProxy(server))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield holder[0]
    finally:
        holder[0].released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = ""

    @property
    def proxy(self) -> FaultProxy:
        raise AssertionError("bound by fault_proxy")

    def do_GET(self) -> None:
        self._forward()

    def do_HEAD(self) -> None:
        self._forward()

    def do_PUT(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def do_DELETE(self) -> None:
        self._forward()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _forward(self) -> None:
        fault = self.proxy.take(self.path)
        self.close_connection = True
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        request_body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault.refuse:
            return
        if fault.never_answer:
            self.proxy.released.wait()
            return
        if fault.status is not None:
            self._answer_with_status(fault)
            return
        self.proxy.released.wait(fault.delay_s)
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if fault.ignore_range and name.lower() == "range":
                    continue
                if name.lower() != "expect":
                    connection.putheader(name, value)
            connection.endheaders(request_body or None)
            answer = connection.getresponse()
            body = answer.read()
            self._send(answer, body, fault)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            connection.close()

    def _answer_with_status(self, fault: Fault) -> None:
        assert fault.status is not None
        lines = [f"HTTP/1.1 {fault.status} Broken", "Content-Length: 0", "Connection: close"]
        if fault.retry_after is not None:
            lines.append(f"Retry-After: {fault.retry_after}")
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def _send(self, answer: http.client.HTTPResponse, body: bytes, fault: Fault) -> None:
        if self.command == "GET":
            answer_range = answer.getheader("Content-Range", "")
            body, answer_range = _changed(body, answer_range, fault)
        else:
            answer_range = ""
        length = (
            len(body) if self.command == "GET" else int(answer.getheader("Content-Length", "0"))
        )
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}", "Connection: close"]
        for name, value in answer.getheaders():
            if name.lower() == "content-range":
                lines.append(f"{name}: {answer_range}")
            elif name.lower() not in _HOP_BY_HOP and name.lower() != fault.without:
                lines.append(f"{name}: {value}")
        if fault.compress and body:
            lines.append("Content-Encoding: gzip")
        lines.append(f"Content-Length: {length + fault.add_to_length}")
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        if fault.flip_byte is not None and len(body) > fault.min_body_bytes:
            at = fault.flip_byte % len(body)
            body = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
        self._send_body(body, fault)

    def _send_body(self, body: bytes, fault: Fault) -> None:
        cuts = (fault.reset_after, fault.truncate_after, fault.stall_after)
        cut = next((at for at in cuts if at is not None), len(body))
        if fault.trickle:
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
                if self.proxy.released.wait(_RELEASE_POLL_S):
                    return
            return
        # Before who reads has all of it, and asks for the count.
        self.proxy.count_body(min(cut, len(body)))
        self.wfile.write(body[:cut])
        if fault.stall_after is not None:
            self.proxy.released.wait()
        elif fault.reset_after is not None:
            self.wfile.flush()
            # Closing with this option set sends a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _changed(body: bytes, content_range: str, fault: Fault) -> tuple[bytes, str]:
    """A body and its Content-Range as the fault wants them."""
    match = _CONTENT_RANGE.fullmatch(content_range)
    if match is not None:
        start, last, total = map(int, match.groups())
        if fault.shorten_range is not None:
            body = body[: fault.shorten_range]
            last = start + len(body) - 1
        start, last = start + fault.shift_range, last + fault.shift_range
        total = max(total + fault.add_to_length, last + 1 if fault.shift_range else 0)
        content_range = f"bytes {start}-{last}/{total}"
    if fault.compress and body:
        body = gzip.compress(body, compresslevel=1)
    return body, content_range
