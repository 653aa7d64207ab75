"""`artfs web`: look through a store in a browser."""

from __future__ import annotations

import sys

import click

from artfs.cli.frame import json_option, open_repository, store_option
from artfs.cli.listening import Asked, begin_to_log, listening_options
from artfs.cli.output import json_text, print_line


@click.command(short_help="Look through a store in a browser.")
@listening_options(
    listen="127.0.0.1:8232",
    found_by="Where browsers find it, behind a proxy.",
    read_only="Show no forms that change anything.",
)
@store_option
@json_option
def command(
    *,
    asked: Asked,
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
    options = asked.checked("artfs web")
    from artfs.web.serving import run_web  # noqa: PLC0415 - takes long to import

    with open_repository(store) as repository:
        begin_to_log(options, readable="the token")
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
