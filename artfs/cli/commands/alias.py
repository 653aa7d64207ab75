"""`artfs alias`: names of versions that can be moved."""

from __future__ import annotations

import click
import msgspec

from artfs.catalog.records import VersionUpdate
from artfs.cli.completing import complete_alias, complete_artifact, complete_version
from artfs.cli.forgiving import ForgivingGroup, swapped
from artfs.cli.frame import (
    default_project,
    json_option,
    open_repository,
    store_option,
    version_value,
)
from artfs.cli.output import print_json, print_line
from artfs.errors import InvalidArgument, InvalidName
from artfs.model import check_alias
from artfs.repository.facade import LATEST


@click.group(cls=ForgivingGroup, short_help="Give names to versions, or take them away.")
def command() -> None:
    """Give names to versions, or take them away.

    An alias names one version of an artifact and can be moved; `latest` moves by itself.

    \b
    Example:
      artfs alias add demo/digits:v3 best
    """


@command.command(short_help="Let aliases name a version.")
@click.argument("target", metavar="PROJECT/NAME[:VERSION]", shell_complete=complete_version)
@click.argument(
    "aliases", nargs=-1, required=True, metavar="ALIAS...", shell_complete=complete_alias
)
@store_option
@json_option
def add(*, target: str, aliases: tuple[str, ...], store: str | None, as_json: bool) -> None:
    """Let each ALIAS name the version; one that names another version moves.

    \b
    Example:
      artfs alias add demo/digits:v3 best
    """
    _check_aliases("alias add", target, aliases)
    with open_repository(store) as repository:
        version = repository.resolve(target, project=default_project())
        changed = repository.catalog.update_version(version.id, VersionUpdate(add_aliases=aliases))
    if as_json:
        print_json(version_value(changed))
    else:
        print_line(f"{changed.path}: {', '.join(changed.aliases)}")


@command.command(short_help="Take aliases away from an artifact.")
@click.argument("target", metavar="PROJECT/NAME", shell_complete=complete_artifact)
@click.argument(
    "aliases", nargs=-1, required=True, metavar="ALIAS...", shell_complete=complete_alias
)
@store_option
@json_option
def rm(*, target: str, aliases: tuple[str, ...], store: str | None, as_json: bool) -> None:
    """Take each ALIAS away from the artifact, whichever version it names. The versions stay.

    \b
    Example:
      artfs alias rm demo/digits best
    """
    _check_aliases("alias rm", target, aliases)
    with open_repository(store) as repository:
        path = repository.meant(target, project=default_project())
        if path.selector is not None:
            raise InvalidName(target, "names a version", hint="write PROJECT/NAME ALIAS")
        found = [
            (repository.resolve(msgspec.structs.replace(path, selector=alias)), alias)
            for alias in aliases
        ]
        for version, alias in found:
            repository.catalog.update_version(version.id, VersionUpdate(remove_aliases=(alias,)))
    if as_json:
        print_json(
            {"removed": [{"alias": alias, "version": version.path} for version, alias in found]}
        )
        return
    for version, alias in found:
        print_line(f"{version.path}: no longer {alias}")


def _check_aliases(command: str, target: str, aliases: tuple[str, ...]) -> None:
    """Raises: InvalidArgument, InvalidName."""
    if len(aliases) == 1 and "/" in aliases[0] and not {"/", ":"} & set(target):
        raise swapped(command, [aliases[0], target])
    for alias in aliases:
        check_alias(alias)
        if alias == LATEST:
            raise InvalidArgument(LATEST, "follows every new version by itself", hint="use another")
