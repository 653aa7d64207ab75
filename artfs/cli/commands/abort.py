"""`artfs abort`: end a staging mount and keep nothing of it."""

from __future__ import annotations

from pathlib import Path

import click

from artfs.cli.frame import confirm, json_option, mountpoint_argument, store_option, yes_option
from artfs.cli.output import print_json, print_line
from artfs.mounts import staging_client as stageclient


@click.command(short_help="End a staging mount and keep nothing of it.")
@mountpoint_argument
@yes_option
@store_option
@json_option
def command(
    *,
    mountpoint: Path,
    yes: bool,
    store: str | None,  # noqa: ARG001 - the mount knows its store; every command takes --store
    as_json: bool,
) -> None:
    """Unmount MOUNTPOINT and drop what was staged on it; versions made of it before stay.

    \b
    Example:
      artfs abort /mnt/new
    """
    staging = stageclient.staging_status(mountpoint)
    confirm(f"Drop what is staged on {mountpoint}?", yes=yes, command="abort")
    stageclient.abort(mountpoint)
    if as_json:
        print_json({"aborted": str(mountpoint), "id": staging.id})
    else:
        print_line(f"{mountpoint} is unmounted, and what was staged is dropped")
