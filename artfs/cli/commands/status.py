"""`artfs status`: the store, and what is mounted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from artfs.cli.frame import open_repository
from artfs.cli.mounts import mount_value, mounted_name
from artfs.cli.options import json_option, store_option
from artfs.cli.output import (
    format_count,
    format_duration,
    format_size,
    plural,
    print_json,
    print_line,
    print_note,
    print_table,
)
from artfs.errors import StoreNotFound
from artfs.mounts import client

if TYPE_CHECKING:
    from artfs.catalog.records import StoreTotals


@click.command(short_help="Show the store and what is mounted.")
@click.argument(
    "mountpoint", required=False, metavar="[MOUNTPOINT]", type=click.Path(path_type=Path)
)
@store_option
@json_option
def command(*, mountpoint: Path | None, store: str | None, as_json: bool) -> None:
    """Show what the store holds and what is mounted; or one mount in detail.

    \b
    Examples:
      artfs status
      artfs status /mnt/artfs
    """
    if mountpoint is not None:
        status = client.status(mountpoint)
        if as_json:
            print_json(mount_value(status))
        else:
            _print_mount(status)
        return
    mounts = client.mounts()
    try:
        with open_repository(store) as repository:
            location = repository.info.location
            entity = repository.info.entity
            totals: StoreTotals = repository.catalog.totals()
    except StoreNotFound as error:
        if as_json:
            print_json({"store": None, "mounts": [mount_value(each) for each in mounts]})
        else:
            print_note(str(error))
            _print_mounts(mounts)
        return
    if as_json:
        value = {"location": location, "entity": entity, **msgspec.to_builtins(totals)}
        print_json({"store": value, "mounts": [mount_value(each) for each in mounts]})
        return
    print_line(f"Store {location}, entity {entity}")
    print_line(
        f"{plural(totals.projects, 'project')}, {plural(totals.artifacts, 'artifact')}, "
        f"{plural(totals.versions, 'version')}, {plural(totals.blobs, 'blob')} of "
        f"{format_size(totals.blob_bytes)}, {plural(totals.packs, 'pack')} of "
        f"{format_size(totals.pack_bytes)}"
    )
    _print_mounts(mounts)


def _print_mounts(mounts: list[client.MountStatus]) -> None:
    if not mounts:
        print_line("Nothing is mounted")
        return
    print_line("")
    rows = [
        (str(each.mountpoint), each.state.value, _age(each), mounted_name(each)) for each in mounts
    ]
    print_table(("MOUNTPOINT", "STATE", "FOR", "SHOWS"), rows)


def _age(status: client.MountStatus) -> str:
    if status.started_at_s is None:
        return "-"
    return format_duration(time.time() - status.started_at_s)


def _print_mount(status: client.MountStatus) -> None:
    facts: list[tuple[str, str]] = [
        ("mountpoint", str(status.mountpoint)),
        ("state", status.state.value),
        ("shows", mounted_name(status)),
        ("store", status.store or "-"),
        ("process", "-" if status.pid is None else str(status.pid)),
        ("mounted for", _age(status)),
        ("log", "-" if status.log is None else str(status.log)),
    ]
    if status.counters is not None:
        facts += _counter_facts(msgspec.to_builtins(status.counters))
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        print_line(f"{name.ljust(width)}  {value}")


def _counter_facts(counters: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            name.removesuffix("_bytes").replace("_", " "),
            format_size(value) if "bytes" in name else format_count(value),
        )
        for name, value in counters.items()
    ]
