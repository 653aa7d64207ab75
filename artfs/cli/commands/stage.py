"""`artfs stage`: a writable mount that becomes the next version."""

from __future__ import annotations

import os
from pathlib import Path

import click

from artfs.cli.completing import complete_artifact
from artfs.cli.forgiving import refuse_swapped
from artfs.cli.frame import (
    alias_option,
    description_option,
    foreground_option,
    json_object,
    json_option,
    metadata_option,
    mountpoint_argument,
    open_repository,
    staging_mount_options,
    store_option,
    type_option,
)
from artfs.cli.output import print_json, print_line
from artfs.cli.values import mount_value
from artfs.mounts import client
from artfs.mounts.messages import MountRequest, StageOrder
from artfs.settings import RUN_VARIABLE, is_url, store_location


@click.command(short_help="Mount a writable directory that becomes the next version.")
@click.argument("artifact", metavar="PROJECT/NAME", shell_complete=complete_artifact)
@mountpoint_argument
@type_option
@click.option("--base", metavar="VERSION", help="Begin with an alias or vN, not with nothing.")
@alias_option
@description_option
@metadata_option
@click.option("--run", "run_id", metavar="ID", help="The run that makes it ($ARTFS_RUN_ID).")
@click.option(
    "--expect",
    metavar="VERSION",
    help="Commit only if `latest` is still this version; none: only if there is none.",
)
@foreground_option
@staging_mount_options
@store_option
@json_option
def command(
    *,
    artifact: str,
    mountpoint: Path,
    type_name: str | None,
    base: str | None,
    aliases: tuple[str, ...],
    description: str | None,
    metadata: str | None,
    run_id: str | None,
    expect: str | None,
    foreground: bool,
    options: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """Mount a writable directory on the empty directory MOUNTPOINT, and return once it answers.

    It is empty, or shows the version of --base; nothing of that is fetched before it is read.
    `artfs umount MOUNTPOINT` makes a version of PROJECT/NAME of what is in it then, `artfs commit`
    makes one and goes on, `artfs abort` drops it. What is in it is on local disk, and survives a
    crash: see `artfs staging`. Files that `.artfsignore` in its root names (the syntax is that of
    .gitignore) are left out of versions.

    \b
    Examples:
      artfs stage demo/digits /mnt/new --base latest
      artfs stage demo/model /mnt/model -t model -a candidate
    """
    refuse_swapped("stage", artifact, str(mountpoint))
    address = store_location(store)
    if not is_url(address):
        # Here it is said that a store is made, and asked whether it should be.
        open_repository(address, create=True).close()
    order = StageOrder(
        type=type_name,
        base=base,
        aliases=aliases,
        description=description,
        metadata=json_object(metadata, option="--metadata"),
        run_id=run_id or os.environ.get(RUN_VARIABLE),
        expect=expect,
    )
    request = MountRequest(
        store=address,
        target=artifact,
        mountpoint=mountpoint,
        options=client.parse_options(options),
        stage=order,
    )
    mount_staging(request, foreground=foreground, as_json=as_json)


def mount_staging(request: MountRequest, *, foreground: bool, as_json: bool) -> None:
    """Mount a staging area, and say so."""
    if foreground:
        from artfs.daemon.__main__ import run_foreground  # noqa: PLC0415 - trio and pyfuse3 take long

        run_foreground(request)
        return
    status = client.start(request)
    if as_json:
        print_json(mount_value(status))
        return
    assert status.staging is not None
    base = f" upon {status.staging.base}" if status.staging.base else ""
    print_line(f"{status.target}{base} is staged on {status.mountpoint}")
    if status.staging.unfinished:
        names = ", ".join(status.staging.unfinished)
        print_line(f"open for writing when its mount ended: {names}")
