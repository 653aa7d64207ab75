"""`artfs commit`: make a version of a staging mount, which goes on."""

from __future__ import annotations

from pathlib import Path

import click

from artfs.cli.frame import (
    expect_option,
    json_option,
    mountpoint_argument,
    store_option,
    take_unfinished_option,
)
from artfs.cli.progress import ProgressLine
from artfs.cli.values import print_outcome
from artfs.mounts import client
from artfs.mounts import staging_client as stageclient


@click.command(short_help="Make a version of a staging mount, which goes on.")
@mountpoint_argument
@click.option(
    "--wait-writers",
    "wait_writers_s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for files that are open for writing.",
)
@expect_option
@take_unfinished_option
@store_option
@json_option
def command(
    *,
    mountpoint: Path,
    wait_writers_s: float,
    expect: str | None,
    take_unfinished: bool,
    store: str | None,  # noqa: ARG001 - the mount knows its store; every command takes --store
    as_json: bool,
) -> None:
    """Make a version of what is staged on MOUNTPOINT now; staging goes on upon it.

    A version never holds half a file: files that are open for writing are waited for, or named.
    Files that were open for writing when an earlier mount of the staging area ended are named, too.

    \b
    Example:
      artfs commit /mnt/new --wait-writers 60
    """
    status = client.status(mountpoint)
    with ProgressLine("committing") as progress:
        done = stageclient.commit(
            mountpoint,
            wait_writers_s=wait_writers_s,
            expect=expect,
            take_unfinished=take_unfinished,
            on_progress=progress.if_watched,
        )
    print_outcome(status.target or "-", done.version, created=done.created, as_json=as_json)
