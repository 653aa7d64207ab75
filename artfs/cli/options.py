"""The options that several commands share, in the same words."""

from __future__ import annotations

from pathlib import Path

import click


class UnaskedPath(click.ParamType[Path]):
    """A path about which no file system is asked: one that hangs would hang who wants to end it.

    click.Path asks for the status of whatever it is given.
    """

    name = "path"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """The path as it was written."""
        if "\0" in str(value):
            self.fail("a path has no NUL in it", param, ctx)
        return Path(value)


mountpoint_argument = click.argument("mountpoint", metavar="MOUNTPOINT", type=UnaskedPath())

store_option = click.option(
    "--store",
    metavar="URL",
    help="The store: a directory, or the URL of a shared store's catalog.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of a text."
)

# What a new version is.
type_option = click.option(
    "-t", "--type", "type_name", metavar="TYPE", help="The artifact's type (dataset)."
)
alias_option = click.option(
    "-a", "--alias", "aliases", multiple=True, metavar="ALIAS", help="An alias besides latest."
)
description_option = click.option("--description", metavar="TEXT", help="A text for people.")
metadata_option = click.option(
    "--metadata", metavar="JSON|@FILE", help="A JSON object, or a file that holds one."
)

# How it is committed.
expect_option = click.option(
    "--expect",
    metavar="VERSION",
    help="Commit only if `latest` is this version; none: only if there is none; any: whatever.",
)
take_unfinished_option = click.option(
    "--take-unfinished",
    is_flag=True,
    help="Take files as they are that were open for writing when an earlier mount ended.",
)

staging_mount_options = click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="OPT[,OPT...]",
    help="allow_other, file_references=on|off, timeout=S.",
)
foreground_option = click.option(
    "-f", "--foreground", is_flag=True, help="Stay, and log to standard error."
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
