"""`artfs metrics`: what mounts and the store tell Prometheus."""

from __future__ import annotations

import sys

import click
import msgspec

from artfs.cli.frame import json_option, open_repository, store_option
from artfs.cli.output import json_text, print_json, print_line, print_note, print_text
from artfs.errors import ArtfsError, StoreNotFound
from artfs.system.prometheus import Metric, exposition


@click.command(short_help="Print metrics for Prometheus, or serve them.")
@click.option(
    "--listen",
    metavar="ADDRESS",
    help="Serve them at http://ADDRESS/metrics: a port of this machine, or unix:/PATH.",
)
@click.option("--no-store", is_flag=True, help="Only what is mounted; the store is not asked.")
@store_option
@json_option
def command(*, listen: str | None, no_store: bool, store: str | None, as_json: bool) -> None:
    """Print the metrics of this user's mounts (for root those of everybody) and of the store in
    Prometheus's text format, or serve them until SIGTERM or Ctrl-C. docs/operations.md has their
    names. `artfs serve` has its own at /metrics.

    \b
    Examples:
      artfs metrics > artfs.prom
      artfs metrics --listen 127.0.0.1:9477
    """
    if listen is not None:
        from artfs.cli.exporter import export  # noqa: PLC0415 - few need it

        def tell(address: str) -> None:
            if as_json:
                print_text(f"{json_text({'listening': address})}\n")
            else:
                print_line(f"serving metrics at {address}")
            sys.stdout.flush()

        export(listen, lambda: exposition(_gather(store, no_store=no_store)), on_ready=tell)
        return
    found = _gather(store, no_store=no_store)
    if as_json:
        print_json({"metrics": [msgspec.to_builtins(each) for each in found]})
    else:
        print_text(exposition(found))


def _gather(store: str | None, *, no_store: bool) -> list[Metric]:
    """What there is to tell now; a store that does not answer hides no mount."""
    from artfs.mounts import client  # noqa: PLC0415 - slow to import
    from artfs.upkeep.metrics import mount_metrics, store_metrics  # noqa: PLC0415 - as above

    found = mount_metrics(client.mounts())
    if no_store:
        return found
    try:
        with open_repository(store) as repository:
            totals = repository.catalog.totals()
            found += store_metrics(totals, store=repository.info.location)
    except StoreNotFound:
        return found
    except ArtfsError as error:
        print_note(f"artfs: {error}")
    return found
