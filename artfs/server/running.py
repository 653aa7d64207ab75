"""Running a server in this process until a signal ends it."""

from __future__ import annotations

import gc
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvicorn
from starlette.types import ASGIApp

from artfs.errors import BackendUnavailable, ConfigError, InvalidArgument, PermissionDenied
from artfs.server.connections import GuardedProtocol
from artfs.system.processes import notify_systemd

logger = logging.getLogger(__name__)

DEFAULT_PORT = 8231
_DRAIN_S = 30
_CONNECTIONS = 512
_KEEP_ALIVE_S = 75


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to serve."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    public_url: str | None = None
    read_only: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    access_log: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()
            notify_systemd("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify_systemd("STOPPING=1")
        await super().shutdown(sockets)


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[v6]:PORT`, `HOST` or `:PORT`. Raises: InvalidArgument."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]") or "0.0.0.0"  # noqa: S104 - `:PORT` says so
    if not port.isdecimal() or int(port) > 65535:
        raise InvalidArgument(f"--listen {text}", "is no address", hint="write HOST:PORT")
    return host, int(port)


def made_options(
    *,
    listen: str,
    public_url: str | None,
    read_only: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    access_log: bool,
) -> ServeOptions:
    """What the options of a command say together. Raises: InvalidArgument."""
    if (tls_cert is None) != (tls_key is None):
        raise InvalidArgument("--tls-cert and --tls-key", "belong together", hint="say both")
    host, port = parse_listen(listen)
    return ServeOptions(
        host=host,
        port=port,
        public_url=public_url,
        read_only=read_only,
        tls_cert=tls_cert,
        tls_key=tls_key,
        access_log=access_log,
    )


def run_application(
    application: ASGIApp, options: ServeOptions, *, on_ready: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT; requests that are under way are answered then.

    `on_ready` hears the address. Blocks. Raises: ConfigError, PermissionDenied,
    BackendUnavailable where it cannot listen.
    """
    listening = _listening(options)
    port = listening.getsockname()[1]
    scheme = "https" if options.tls_cert else "http"
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = (options.public_url or f"{scheme}://{host}:{port}").rstrip("/")
    # Of each request that is none it would say so, to whoever reads the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        application,
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
        # Nobody is asked for a password.
        ssl_keyfile_password="none" if options.tls_key else None,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
    )
    try:
        config.load()
    except OSError as error:
        raise ConfigError("--tls-cert", f"cannot be used ({error})") from None
    # What is there by now stays: looking through it for garbage took a tenth of the time of small
    # uploads.
    gc.freeze()
    # uvicorn ends at a signal, and then sends it to this process again: that has ended well.
    before = {each: signal.signal(each, _ignore) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        _Server(config, lambda: on_ready(url)).run(sockets=[listening])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        listening.close()


def _ignore(_signal: int, _frame: object) -> None:
    """Do nothing."""


def _listening(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((options.host, options.port))
        found.listen(_CONNECTIONS)
    except PermissionError as error:
        found.close()
        raise PermissionDenied(
            f"{options.host}:{options.port}", error.strerror or "refused"
        ) from None
    except OSError as error:
        found.close()
        raise BackendUnavailable(
            f"{options.host}:{options.port}",
            f"cannot listen there ({error.strerror or error})",
            hint="name another address with --listen",
        ) from None
    return found
