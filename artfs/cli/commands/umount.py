"""`artfs umount`: end a mount, and wait until it is gone."""

from __future__ import annotations

import os
from pathlib import Path

import click

from artfs.cli.frame import asked_store, json_option, mountpoint_argument
from artfs.cli.output import error_value, print_json, print_line, print_note
from artfs.cli.progress import ProgressLine
from artfs.cli.values import print_outcome
from artfs.mounts import client
from artfs.mounts import staging_client as stageclient
from artfs.settings import expand_home


@click.command(short_help="End a mount; what was staged becomes a version.")
@mountpoint_argument
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
    off, and becomes a version unless files are open for writing: then it is kept. What became of
    the work is always said; kept without a version, the exit code is not 0.

    \b
    Example:
      artfs umount /mnt/artfs
    """
    # Whoever calls us from inside the mount is a user of it; we are not.
    place = expand_home(mountpoint)
    if not place.is_absolute():
        place = Path.cwd() / place
    os.chdir("/")
    if stageclient.is_staging(place):
        with ProgressLine("committing") as progress:
            ending = stageclient.conclude(
                place,
                force=force,
                timeout_s=timeout_s,
                on_progress=progress.if_watched,
                ask=asked_store,
            )
        _print_ending(mountpoint, ending, as_json=as_json)
        if ending.error is not None:
            raise ending.error
        return
    held = tuple(map(str, client.stop(place, timeout_s=timeout_s, force=force)))
    if as_json:
        print_json({"unmounted": str(mountpoint)} | ({"held_by": held} if held else {}))
        return
    print_line(f"{mountpoint} is unmounted")
    _note_holders(held)


def _print_ending(mountpoint: Path, ending: stageclient.Ending, *, as_json: bool) -> None:
    outcome, error = ending.outcome, ending.error
    if error is None:
        print_outcome(
            outcome.artifact,
            outcome.version,
            created=outcome.created,
            as_json=as_json,
            besides={"unmounted": str(mountpoint)}
            | ({"held_by": ending.held_by} if ending.held_by else {}),
        )
    elif as_json:
        print_json(
            {
                "artifact": outcome.artifact or None,
                "version": None,
                "created": False,
                "unmounted": str(mountpoint),
                "area": outcome.id or None,
                "error": error_value(error),
            }
        )
    else:
        print_line(f"{mountpoint} is unmounted, and no version was made")
    if not as_json:
        _note_holders(ending.held_by)


def _note_holders(held: tuple[str, ...]) -> None:
    if held:
        print_note(
            f"other mount namespaces have it mounted still, where it no longer answers: "
            f"{', '.join(held)}"
        )
