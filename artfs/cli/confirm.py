"""Asking before something is lost."""

from __future__ import annotations

import sys

import click

from artfs.cli.output import escaped
from artfs.errors import InvalidArgument


def confirm(question: str, *, yes: bool, command: str) -> None:
    """Go on only if a person says so, or `--yes` did.

    Raises: InvalidArgument without a terminal; click.exceptions.Exit for a no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidArgument(command, "cannot ask without a terminal", hint="say `--yes`")
    if not click.confirm(escaped(question), err=True):
        raise click.exceptions.Exit(1)
