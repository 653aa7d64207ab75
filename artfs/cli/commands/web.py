"""`artfs web`: look through a store in a browser."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from artfs.cli.frame import json_option, open_repository, store_option
from artfs.cli.output import json_text, print_line, print_note
from artfs.errors import InvalidArgument, Unsupported


@click.command(short_help="Look through a store in a browser.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8232",
    show_default=True,
    help="Where to listen; port 0 is any that is free.",
)
@click.option("--public-url", metavar="URL", help="Where browsers find it, behind a proxy.")
@click.option("--read-only", is_flag=True, help="Show no forms that change anything.")
@click.option("--tls-cert", metavar="FILE", type=click.Path(path_type=Path), help="For https.")
@click.option("--tls-key", metavar="FILE", type=click.Path(path_type=Path), help="For https.")
@click.option("--access-log", is_flag=True, help="Log each request to standard error.")
@store_option
@json_option
def command(
    *,
    listen: str,
    public_url: str | None,
    read_only: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    access_log: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Show projects, artifacts, versions and files on pages; open the printed address.

    The address has a token, so that nobody else on this machine gets in. Pages need no JavaScript
    and nothing from elsewhere. SIGTERM and Ctrl-C end it. `artfs serve` shows the same pages to
    whoever has a key.

    \b
    Examples:
      artfs web
      artfs web --listen 127.0.0.1:0 --read-only
    """
    try:
        from artfs.server.running import (  # noqa: PLC0415 - takes long to import
            ServeOptions,
            parse_listen,
        )
        from artfs.web.serving import run_web  # noqa: PLC0415 - as above
    except ImportError as error:
        raise Unsupported(
            "artfs web", f"needs {error.name}", hint="pip install 'artfs[server]'"
        ) from None
    if (tls_cert is None) != (tls_key is None):
        raise InvalidArgument("--tls-cert and --tls-key", "belong together", hint="say both")
    host, port = parse_listen(listen)
    options = ServeOptions(
        host=host,
        port=port,
        public_url=public_url,
        read_only=read_only,
        tls_cert=tls_cert,
        tls_key=tls_key,
        access_log=access_log,
    )
    with open_repository(store) as repository:
        if not options.is_loopback and tls_cert is None:
            print_note("artfs: without TLS the token can be read on the way: say --tls-cert and")
            print_note("artfs: --tls-key, or let a proxy speak https")
        _log(access=access_log)
        location = repository.info.location

        def tell(url: str, token: str) -> None:
            address = f"{url}/?token={token}"
            if as_json:
                # A line, for it is followed by nothing.
                found = {"url": url, "address": address, "store": location}
                print_line(" ".join(json_text(found).split()))
            else:
                print_line(f"showing {location} at")
                print_line(address)
            sys.stdout.flush()

        run_web(repository, options, on_ready=tell)


def _log(*, access: bool) -> None:
    from artfs.system.processes import log_to_stderr  # noqa: PLC0415 - takes long to import

    log_to_stderr(logging.WARNING)
    if access:
        logging.getLogger("artfs.server.access").setLevel(logging.INFO)
