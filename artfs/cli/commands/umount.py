"""`artfs umount`: end a mount, and wait until it is gone."""

from __future__ import annotations

from pathlib import Path

import click

from artfs.cli.options import json_option
from artfs.cli.output import print_json, print_line
from artfs.cli.progress import ByteProgress
from artfs.cli.staged import print_outcome, watcher
from artfs.mounts import client
from artfs.mounts import staging as stageclient


@click.command(short_help="End a mount; what was staged becomes a version.")
@click.argument("mountpoint", metavar="MOUNTPOINT", type=click.Path(path_type=Path))
@click.option("-f", "--force", is_flag=True, help="Also while it is in use, or hangs.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for its process.",
)
@json_option
def command(*, mountpoint: Path, force: bool, timeout_s: float, as_json: bool) -> None:
    """End the mount on MOUNTPOINT and return when it is gone; also clean up a dead one.

    What was staged on it becomes a version. With --force a staging mount that is in use is cut
    off, and becomes a version unless files are open for writing: then it is kept.

    \b
    Example:
      artfs umount /mnt/artfs
    """
    if not force and stageclient.is_staging(mountpoint):
        with ByteProgress("committing") as progress:
            outcome = stageclient.finish(mountpoint, on_progress=watcher(progress))
        print_outcome(
            outcome.artifact,
            outcome.version,
            created=outcome.created,
            as_json=as_json,
            besides={"unmounted": str(mountpoint)},
        )
        return
    client.stop(mountpoint, timeout_s=timeout_s, force=force)
    if as_json:
        print_json({"unmounted": str(mountpoint)})
    else:
        print_line(f"{mountpoint} is unmounted")
