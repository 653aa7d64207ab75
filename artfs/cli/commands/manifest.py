"""`artfs manifest`: the W&B manifest of a version."""

from __future__ import annotations

import click

from artfs.cli.completing import complete_version
from artfs.cli.frame import default_project, json_option, open_repository, store_option
from artfs.cli.output import print_text
from artfs.manifest.wandb import manifest_text, tree_entries


@click.command(short_help="Print the W&B manifest of a version.")
@click.argument("target", metavar="PROJECT/NAME[:VERSION]", shell_complete=complete_version)
@store_option
@json_option
def command(*, target: str, store: str | None, as_json: bool) -> None:  # noqa: ARG001 - it is JSON in any case
    """Print the version's manifest as W&B writes it: `wandb_manifest.json`, format version 1.

    \b
    Example:
      artfs manifest demo/digits:v0 > wandb_manifest.json
    """
    with open_repository(store) as repository:
        version = repository.resolve(target, project=default_project())
        text = manifest_text(tree_entries(repository.directory, version.tree))
    print_text(f"{text}\n")
