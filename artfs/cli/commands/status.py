"""`artfs status`: the store, and what is mounted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from artfs.cli.frame import (
    UnaskedPath,
    asked_store,
    complete_mountpoint,
    json_option,
    open_repository,
    store_option,
)
from artfs.cli.output import (
    error_value,
    format_age,
    format_count,
    format_duration,
    format_size,
    iso_time,
    plural,
    print_json,
    print_line,
    print_note,
    print_table,
)
from artfs.cli.values import mount_value, mounted_name, outcome_text, owner_name
from artfs.errors import ArtfsError, MountError, StoreNotFound
from artfs.mounts import client
from artfs.mounts.outcomes import failure_of, last_outcome
from artfs.staging.listing import AreaOutcome

if TYPE_CHECKING:
    from artfs.catalog.records import StoreTotals


@click.command(short_help="Show the store and what is mounted.")
@click.argument(
    "mountpoint",
    required=False,
    metavar="[MOUNTPOINT]",
    type=UnaskedPath(),
    shell_complete=complete_mountpoint,
)
@click.option(
    "-w",
    "--watch",
    "every_s",
    type=click.FloatRange(min=0.1),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Show what mounts do, again and again (each 2 seconds), until Ctrl-C.",
)
@store_option
@json_option
def command(
    *, mountpoint: Path | None, every_s: float | None, store: str | None, as_json: bool
) -> None:
    """Show what the store holds and what is mounted; or one mount in detail.

    With --watch it goes on and shows what mounts do in a second; with --json too, a document in a
    line for each look.

    \b
    Examples:
      artfs status
      artfs status /mnt/artfs
    """
    if every_s is not None:
        from artfs.cli.watching import watch  # noqa: PLC0415 - few need it

        watch(mountpoint, every_s=every_s, as_json=as_json)
        return
    if mountpoint is not None:
        _show_place(mountpoint, store, as_json=as_json)
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


def _show_place(mountpoint: Path, store: str | None, *, as_json: bool) -> None:
    """One mount; where nothing is mounted any more, what became of what was staged there.

    Raises: MountError; what made that commit fail.
    """
    try:
        status = client.status(mountpoint)
    except MountError:
        outcome = last_outcome(mountpoint, lambda: asked_store(store))
        if outcome is None:
            raise
        _show_outcome(mountpoint, outcome, as_json=as_json)
        return
    if status.state is client.MountState.DEAD and status.kind == "stage":
        outcome = last_outcome(mountpoint, lambda: asked_store(store))
        if outcome is not None:
            _show_outcome(mountpoint, outcome, as_json=as_json, left=status)
            return
    if as_json:
        print_json(mount_value(status))
    else:
        _print_mount(status)


def _show_outcome(
    mountpoint: Path,
    outcome: AreaOutcome,
    *,
    as_json: bool,
    left: client.MountStatus | None = None,
) -> None:
    """What became of staged work; `left`: the dead mount that is there still.

    Raises: what made the commit fail.
    """
    error = failure_of(outcome)
    if as_json:
        unmounted = {"mountpoint": str(mountpoint), "state": "unmounted"}
        shown = unmounted if left is None else mount_value(left)
        print_json(shown | _outcome_value(outcome, error))
    if error is not None:
        raise error from None
    if not as_json:
        became = (
            "dropped"
            if outcome.dropped
            else outcome_text(outcome.artifact, outcome.version, created=outcome.created)
        )
        when = format_age(outcome.finished_at_ns)
        how = "is not mounted" if left is None else "is dead (`artfs umount` frees it)"
        print_line(f"{mountpoint} {how}; staged there until {when}: {became}")


def _outcome_value(outcome: AreaOutcome, error: ArtfsError | None) -> dict[str, Any]:
    return {
        "artifact": outcome.artifact or None,
        "area": outcome.id,
        "version": outcome.version,
        "created": outcome.created,
        "dropped": outcome.dropped,
        "error": None if error is None else error_value(error),
        "finished_at": iso_time(outcome.finished_at_ns),
    }


def _print_mounts(mounts: list[client.MountStatus]) -> None:
    if not mounts:
        print_line("Nothing is mounted")
        return
    print_line("")
    rows: list[tuple[str, ...]] = [
        (str(each.mountpoint), each.state.value, _age(each), mounted_name(each)) for each in mounts
    ]
    header: tuple[str, ...] = ("MOUNTPOINT", "STATE", "FOR", "SHOWS")
    if any(each.owner not in {None, os.geteuid()} for each in mounts):
        header += ("OWNER",)
        rows = [(*row, owner_name(each)) for row, each in zip(rows, mounts, strict=True)]
    print_table(header, rows)


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
        ("owner", owner_name(status)),
        ("mounted for", _age(status)),
        ("log", "-" if status.log is None else str(status.log)),
    ]
    if status.held_by:
        facts.append(("held by", ", ".join(status.held_by)))
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
