"""`artfs umount`: end a mount, and wait until it is gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from artfs.cli.frame import UnaskedPath, asked_store, complete_mountpoint, json_option
from artfs.cli.output import error_value, print_json, print_line, print_note, single_line
from artfs.cli.progress import ProgressLine
from artfs.cli.values import outcome_text
from artfs.errors import ArtfsError
from artfs.mounts import client
from artfs.mounts import staging_client as stageclient
from artfs.settings import expand_home


@click.command(short_help="End a mount; what was staged becomes a version.")
@click.argument(
    "mountpoint",
    required=False,
    metavar="MOUNTPOINT",
    type=UnaskedPath(),
    shell_complete=complete_mountpoint,
)
@click.option("-a", "--all", "everything", is_flag=True, help="All mounts of this user.")
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
def command(
    *, mountpoint: Path | None, everything: bool, force: bool, timeout_s: float, as_json: bool
) -> int:
    """End the mount on MOUNTPOINT, or with --all every mount of this user, and return when it is
    gone; also clean up dead ones.

    What was staged on it becomes a version. With --force a staging mount that is in use is cut
    off, and becomes a version unless files are open for writing: then it is kept. What became of
    the work is always said; kept without a version, the exit code is not 0. --all goes on
    after a failure, and ends with the exit code of the first; what is mounted only in other mount
    namespaces, and what others have mounted, stays.

    \b
    Example:
      artfs umount /mnt/artfs
    """
    if everything == (mountpoint is not None):
        raise click.UsageError("expected MOUNTPOINT or --all", click.get_current_context())
    if mountpoint is None:
        return _end_all(force=force, timeout_s=timeout_s, as_json=as_json)
    place = expand_home(mountpoint)
    if not place.is_absolute():
        place = Path.cwd() / place
    # Whoever calls us from inside the mount is a user of it; we are not.
    os.chdir("/")
    done = _end(place, mountpoint, force=force, timeout_s=timeout_s)
    _print([done], as_json=as_json)
    if done.error is not None:
        raise done.error
    return 0


class _Ended(msgspec.Struct, frozen=True):
    """What came of one mount."""

    value: dict[str, Any]
    text: str
    held_by: tuple[str, ...] = ()
    error: ArtfsError | None = None


def _end_all(*, force: bool, timeout_s: float, as_json: bool) -> int:
    os.chdir("/")
    done = []
    for status in client.mounts():
        # One that is not mounted here is ending, or is another mount namespace's: a container's.
        is_here = status.state is not client.MountState.DETACHED
        if not is_here or status.owner not in {None, os.geteuid()}:
            continue
        place = status.mountpoint
        try:
            done.append(_end(place, place, force=force, timeout_s=timeout_s))
        except ArtfsError as error:
            value = {"unmounted": None, "mountpoint": str(place), "error": error_value(error)}
            done.append(_Ended(value, f"{place} is still mounted", error=error))
    if as_json:
        print_json({"mounts": [each.value for each in done]})
    elif done:
        _print(done, as_json=False)
    else:
        print_line("Nothing is mounted")
    failures = [each.error for each in done if each.error is not None]
    for failure in failures:
        print_note(f"artfs: {single_line(str(failure))}")
    return failures[0].exit_code if failures else 0


def _end(place: Path, shown: Path, *, force: bool, timeout_s: float) -> _Ended:
    """End one mount. Raises: MountError, where it goes on."""
    if not stageclient.is_staging(place):
        held = tuple(map(str, client.stop(place, timeout_s=timeout_s, force=force)))
        value: dict[str, Any] = {"unmounted": str(shown)} | ({"held_by": held} if held else {})
        return _Ended(value, f"{shown} is unmounted", held)
    with ProgressLine("committing") as progress:
        ending = stageclient.conclude(
            place,
            force=force,
            timeout_s=timeout_s,
            on_progress=progress.if_watched,
            ask=asked_store,
        )
    outcome, error, held = ending.outcome, ending.error, ending.held_by
    if error is None:
        value = {
            "artifact": outcome.artifact,
            "version": outcome.version,
            "created": outcome.created,
            "unmounted": str(shown),
        }
        text = outcome_text(outcome.artifact, outcome.version, created=outcome.created)
        return _Ended(value | ({"held_by": held} if held else {}), text, held)
    value = {
        "artifact": outcome.artifact or None,
        "version": None,
        "created": False,
        "unmounted": str(shown),
        "area": outcome.id or None,
        "error": error_value(error),
    }
    # Without the word of its process nobody knows.
    made = ", and no version was made" if outcome.artifact else ""
    return _Ended(value, f"{shown} is unmounted{made}", held, error)


def _print(done: list[_Ended], *, as_json: bool) -> None:
    for each in done:
        if as_json:
            print_json(each.value)
        else:
            print_line(each.text)
            _note_holders(each.held_by)


def _note_holders(held: tuple[str, ...]) -> None:
    if held:
        print_note(
            f"other mount namespaces have it mounted still, where it no longer answers: "
            f"{', '.join(held)}"
        )
