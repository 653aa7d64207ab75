"""`artfs serve`: let W&B's clients log into a store, and read from it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artfs.catalog.serving_records import OWN_KEY_NAME
from artfs.cli.frame import json_option, open_repository, store_option
from artfs.cli.output import print_line, print_note
from artfs.encoding import json_text
from artfs.errors import InvalidArgument, PermissionDenied, Unsupported

if TYPE_CHECKING:
    from artfs.repository.facade import Repository


@click.command(short_help="Let W&B's clients log into a store, with API keys.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8231",
    show_default=True,
    help="Where to listen; port 0 is any that is free.",
)
@click.option(
    "--public-url", metavar="URL", help="Where clients find it, behind a proxy or load balancer."
)
@click.option("--read-only", is_flag=True, help="Let nobody change anything.")
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
    """Serve a store to W&B's clients: WANDB_BASE_URL and WANDB_API_KEY are all they need.

    Whoever has a key (`artfs keys`) logs, uses and downloads artifacts with the wandb package as
    it is; what they log is a version like any other. In a browser, its address shows the pages of
    `artfs web` to whoever has a key. Where there is no key yet, and only this
    machine can reach the server, one is made and shown. SIGTERM and Ctrl-C end it once what is
    under way is answered. Several servers may serve one shared store.

    \b
    Examples:
      artfs serve
      artfs serve --listen 0.0.0.0:8231 --public-url https://artfs.example
      artfs serve --read-only --store postgresql://artfs@db.example/artfs
    """
    try:
        from artfs.server.running import (  # noqa: PLC0415 - takes long to import
            ServeOptions,
            parse_listen,
        )
        from artfs.web.serving import run_server  # noqa: PLC0415 - as above
    except ImportError as error:
        raise Unsupported(
            "artfs serve", f"needs {error.name}", hint="pip install 'artfs[server]'"
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
    with open_repository(store, create=not read_only) as repository:
        key = _first_key(repository, is_loopback=options.is_loopback, listen=listen)
        if not options.is_loopback and tls_cert is None:
            print_note("artfs: without TLS keys can be read on the way: say --tls-cert and")
            print_note("artfs: --tls-key, or let a proxy speak https")
        _log(access=access_log)

        def tell(url: str) -> None:
            if as_json:
                # A line, for it is followed by nothing.
                found = {"url": url, "store": repository.info.location, "key": key}
                print_line(" ".join(json_text(found, indent=2).split()))
            else:
                print_line(f"serving {repository.info.location} at {url}")
                if key is not None:
                    print_line(f"export WANDB_BASE_URL={url}")
                    print_line(f"export WANDB_API_KEY={key}")
            sys.stdout.flush()

        run_server(repository, options, on_ready=tell)


def _first_key(repository: Repository, *, is_loopback: bool, listen: str) -> str | None:
    """A key for whoever starts the first server of a store; None where there are keys.

    Raises: PermissionDenied where others can reach the server, and nobody has a key.
    """
    from artfs.server.auth import new_key  # noqa: PLC0415 - takes long to import

    serving = repository.catalog.serving
    if serving.keys():
        return None
    if not is_loopback:
        raise PermissionDenied(
            f"--listen {listen}",
            "others could reach it, and there is no key yet",
            hint="make one: `artfs keys add NAME`",
        )
    text, key = new_key(OWN_KEY_NAME)
    serving.add_key(key)
    return text


def _log(*, access: bool) -> None:
    from artfs.system.processes import log_to_stderr  # noqa: PLC0415 - as above

    log_to_stderr(logging.WARNING)
    if access:
        logging.getLogger("artfs.server.access").setLevel(logging.INFO)
