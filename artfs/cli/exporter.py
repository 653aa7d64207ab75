"""Serves metrics over HTTP, at a loopback port or a Unix socket: who can reach it may read them."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from artfs.errors import ArtfsError, BackendUnavailable, InvalidArgument
from artfs.system.oserrors import translate_os_errors
from artfs.system.processes import notify_systemd
from artfs.system.prometheus import CONTENT_TYPE

_TIMEOUT_S = 30.0


def export(listen: str, gather: Callable[[], str], *, on_ready: Callable[[str], None]) -> None:
    """Serve what `gather` says at /metrics, until SIGTERM or Ctrl-C. `on_ready` hears where.

    Raises: InvalidArgument, BackendUnavailable, PermissionDenied.
    """

    class Handler(BaseHTTPRequestHandler):
        """Answers scrapes."""

        timeout = _TIMEOUT_S
        server_version = "artfs"
        sys_version = ""

        def do_GET(self) -> None:
            """See BaseHTTPRequestHandler."""
            if self.path.partition("?")[0] not in {"/", "/metrics"}:
                self.send_error(404)
                return
            try:
                body = gather().encode()
            except ArtfsError as error:
                self.send_error(503, explain=str(error))
                return
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            """Scrapes are no news."""

        def address_string(self) -> str:
            """A Unix socket's clients have no address."""
            return "-"

    listening, address = _listen(listen)
    with listening:
        server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = listening
        server.daemon_threads = True
        signal.signal(
            signal.SIGTERM, lambda *_: Thread(target=server.shutdown, daemon=True).start()
        )
        on_ready(address)
        notify_systemd("READY=1")
        try:
            server.serve_forever(poll_interval=0.2)
        finally:
            if address.startswith("unix:"):
                with suppress(OSError):
                    Path(address.removeprefix("unix:")).unlink()


def _listen(listen: str) -> tuple[socket.socket, str]:
    """A socket that listens there, and what to call it."""
    if listen.startswith("unix:"):
        path = listen.removeprefix("unix:")
        with translate_os_errors(path):
            _remove_left(path)
            found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            # Nobody else may connect, from the first moment on.
            before = os.umask(0o077)
            try:
                found.bind(path)
            finally:
                os.umask(before)
            found.listen()
        return found, listen
    host, _, port = listen.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    hint = "write 127.0.0.1:9477, [::1]:9477 or unix:/PATH"
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        number = int(port)
    except ValueError:
        raise InvalidArgument(f"--listen {listen}", "is no address", hint=hint) from None
    if not 0 <= number < 65536:
        raise InvalidArgument(f"--listen {listen}", "is no port", hint=hint)
    if not address.is_loopback:
        reason = "others could read them: metrics are served to this machine alone"
        raise InvalidArgument(f"--listen {listen}", reason, hint="let a proxy that asks who it is")
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((str(address), number))
        found.listen()
    except OSError as error:
        found.close()
        raise BackendUnavailable(
            f"--listen {listen}", f"cannot listen there ({error.strerror or error})"
        ) from None
    name = f"[{address}]" if address.version == 6 else str(address)
    return found, f"http://{name}:{found.getsockname()[1]}/metrics"


def _remove_left(path: str) -> None:
    """Remove the socket of a process that is gone. Raises: BackendUnavailable where it lives."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise InvalidArgument(path, "is there and no socket", hint="name another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
    raise BackendUnavailable(path, "another process listens there", hint="name another path")
