"""`artfs completion`: what a shell reads to complete `artfs` with the tab key."""

from __future__ import annotations

import click

from artfs.cli.completing import SHELLS, script
from artfs.cli.frame import json_option
from artfs.cli.output import print_json, print_text


@click.command(short_help="Print what lets a shell complete names with the tab key.")
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
@json_option
def command(*, shell: str, as_json: bool) -> None:
    """Print the script that lets SHELL (bash, zsh or fish) complete commands, options, projects,
    artifacts, versions, aliases, paths in versions and mountpoints.

    `artfs install` puts it where shells look by themselves.

    \b
    Examples:
      artfs completion bash > artfs.bash
      artfs completion zsh > _artfs
    """
    if as_json:
        print_json({"shell": shell, "script": script(shell)})
    else:
        print_text(script(shell))
