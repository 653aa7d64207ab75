"""`artfs serve`: let W&B's clients log into a store, and read from it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from artfs.catalog.serving_records import OWN_KEY_NAME
from artfs.cli.frame import json_option, open_repository, store_option
from artfs.cli.listening import Asked, begin_to_log, listening_options
from artfs.cli.output import print_line
from artfs.encoding import json_text
from artfs.errors import PermissionDenied

if TYPE_CHECKING:
    from artfs.repository.facade import Repository


@click.command(short_help="Let W&B's clients log into a store, with API keys.")
@listening_options(
    listen="127.0.0.1:8231",
    found_by="Where clients find it, behind a proxy or load balancer.",
    read_only="Let nobody change anything.",
)
@store_option
@json_option
def command(
    *,
    asked: Asked,
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
    options = asked.checked("artfs serve")
    from artfs.web.serving import run_server  # noqa: PLC0415 - takes long to import

    with open_repository(store, create=not options.read_only) as repository:
        key = _first_key(repository, is_loopback=options.is_loopback, listen=asked.listen)
        begin_to_log(options, readable="keys")

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
