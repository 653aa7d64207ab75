"""Pages, until a signal ends them: of `artfs web`, and of `artfs serve` beside what it answers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from artfs.repository.facade import Repository
from artfs.server.answering import AccessLog
from artfs.server.app import Server
from artfs.server.running import ServeOptions, run_application
from artfs.web.app import Pages
from artfs.web.guard import KeyGuard, TokenGuard

DEFAULT_PORT = 8232


def web_guard(options: ServeOptions) -> TokenGuard:
    """Lets in whoever has a fresh token, by the names that options give this server."""
    hosts = set() if options.is_loopback else {socket.gethostname(), socket.getfqdn()}
    if options.public_url:
        hosts.add(urlsplit(options.public_url).hostname or "")
    return TokenGuard(
        read_only=options.read_only,
        hosts=hosts - {""},
        any_address=not options.is_loopback,
    )


def web_application(repository: Repository, guard: TokenGuard, options: ServeOptions) -> ASGIApp:
    """The pages, and the log of who looks at them."""
    pages = Pages(repository, guard, public_url=options.public_url).application()
    return AccessLog(pages) if options.access_log else pages


def run_web(
    repository: Repository, options: ServeOptions, *, on_ready: Callable[[str, str], None]
) -> None:
    """Show pages until SIGTERM or SIGINT; `on_ready` hears the address and the token.

    Blocks. Raises: ConfigError, PermissionDenied, BackendUnavailable where it cannot listen.
    """
    guard = web_guard(options)
    application = web_application(repository, guard, options)
    run_application(application, options, on_ready=lambda url: on_ready(url, guard.token))


def run_server(
    repository: Repository, options: ServeOptions, *, on_ready: Callable[[str], None]
) -> None:
    """Serve clients of W&B, and pages to whoever has a key, until SIGTERM or SIGINT.

    `on_ready` hears the address. Blocks and raises: as `run_application`.
    """
    server = Server(
        repository,
        public_url=options.public_url,
        read_only=options.read_only,
        access_log=options.access_log,
    )
    guard = KeyGuard(server.gate, server.tokens)
    pages = Pages(repository, guard, public_url=options.public_url)
    run_application(server.application(pages.application()), options, on_ready=on_ready)
