"""`artfs history`: the versions of an artifact with the runs that made and used them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artfs.cli.completing import complete_version
from artfs.cli.frame import (
    default_project,
    json_option,
    open_repository,
    raise_damage,
    run_value,
    store_option,
    version_value,
)
from artfs.cli.output import format_age, format_count, format_size, print_json, print_table
from artfs.errors import DamagedRecord

if TYPE_CHECKING:
    from artfs.catalog.records import RunRecord, VersionRecord


@click.command(short_help="Show who made and used the versions of an artifact.")
@click.argument("target", metavar="PROJECT/NAME[:VERSION]", shell_complete=complete_version)
@click.option(
    "-n",
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    help="Show the newest N versions only.",
)
@store_option
@json_option
def command(*, target: str, limit: int | None, store: str | None, as_json: bool) -> None:
    """Show the versions of an artifact, newest first, with the runs that made and used them.

    \b
    Example:
      artfs history demo/digits
    """
    damaged: list[DamagedRecord] = []
    with open_repository(store) as repository:
        parsed = repository.meant(target, project=default_project())
        catalog = repository.catalog
        if parsed.selector is None:
            artifact = repository.artifact(parsed, on_damage=damaged.append)
            versions = catalog.versions(artifact.id, limit=limit, on_damage=damaged.append)
        else:
            versions = [repository.resolve(parsed)]
        found = [(each, catalog.maker_of(each.id), catalog.users_of(each.id)) for each in versions]
    if as_json:
        print_json(
            [
                version_value(version)
                | {
                    "made_by": None if maker is None else run_value(maker),
                    "used_by": [run_value(run) for run in users],
                }
                for version, maker, users in found
            ]
        )
        raise_damage(damaged)
        return
    header = ("VERSION", "AGE", "FILES", "SIZE", "MADE BY", "USED BY", "ALIASES", "DESCRIPTION")
    rows = [_row(version, maker, users) for version, maker, users in found]
    print_table(header, rows, right=frozenset({"FILES", "SIZE"}))
    raise_damage(damaged)


def _row(
    version: VersionRecord, maker: RunRecord | None, users: list[RunRecord]
) -> tuple[str, ...]:
    return (
        version.version,
        format_age(version.created_at_ns),
        format_count(version.file_count),
        format_size(version.size_bytes),
        "-" if maker is None else maker.name,
        ", ".join(run.name for run in users) or "-",
        ", ".join(version.aliases),
        version.description or "",
    )
