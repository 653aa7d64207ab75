"""`artfs mount`: a store, project, artifact or version as a directory."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from artfs.cli.completing import complete_target_or_place
from artfs.cli.forgiving import is_only_a_name, refuse_swapped
from artfs.cli.frame import foreground_option, json_option, store_option
from artfs.cli.output import print_json, print_line
from artfs.cli.values import mount_value, mounted_name
from artfs.mounts import client
from artfs.mounts.requesting import mount_request


@click.command(short_help="Mount a store, project, artifact or version as a directory.")
@click.argument(
    "words", nargs=-1, metavar="[TARGET] MOUNTPOINT", shell_complete=complete_target_or_place
)
@foreground_option
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="OPT[,OPT...]",
    help="aliases=symlink, freeze, alias_ttl=S, timeout=S, idle=S, allow_other, "
    "file_references=on|off, uid=N, gid=N, umask=M.",
)
@store_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    *,
    words: tuple[str, ...],
    foreground: bool,
    options: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """Mount TARGET, read-only, on the empty directory MOUNTPOINT, and return once it answers.

    TARGET is PROJECT, PROJECT/NAME or PROJECT/NAME:VERSION (or PROJECT/NAME/VERSION); without it
    the whole store is mounted. A version stays the one that it was at the moment of mounting. What
    is on a W&B server is wandb://HOST/ENTITY, with such a target behind it.

    \b
    Examples:
      artfs mount /mnt/artfs
      artfs mount demo/digits:latest /mnt/digits
      artfs mount -o aliases=symlink,freeze demo /mnt/demo
    """
    if not 1 <= len(words) <= 2:
        raise click.UsageError("expected [TARGET] MOUNTPOINT", context)
    if len(words) == 1 and is_only_a_name(words[0]):
        meant = shlex.join(["mount", words[0], "./DIRECTORY"])
        text = f"{words[0]!r} is no directory: did you mean `artfs {meant}`?"
        raise click.UsageError(text, context)
    target = words[0] if len(words) == 2 else None
    if target is not None:
        refuse_swapped("mount", target, words[1])
    request = mount_request(
        target, Path(words[-1]), store=store, options=client.parse_options(options)
    )
    if foreground:
        from artfs.daemon.__main__ import run_foreground  # noqa: PLC0415 - trio and pyfuse3 take long

        run_foreground(request)
        return
    status = client.start(request)
    if as_json:
        print_json(mount_value(status))
    else:
        print_line(f"{mounted_name(status)} is mounted on {status.mountpoint}")
