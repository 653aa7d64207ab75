"""`artfs rm`: delete a version, or an artifact with all its versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artfs.cli.frame import (
    confirm,
    default_project,
    json_option,
    open_repository,
    store_option,
    yes_option,
)
from artfs.cli.output import format_size, plural, print_json, print_line
from artfs.errors import Conflict, DamagedRecord

if TYPE_CHECKING:
    from artfs.repository.facade import Repository


@click.command(short_help="Delete a version, or an artifact with all its versions.")
@click.argument("target", metavar="PROJECT/NAME[:VERSION]")
@yes_option
@click.option("--aliases", "with_aliases", is_flag=True, help="Also when the version has aliases.")
@store_option
@json_option
def command(
    *, target: str, yes: bool, with_aliases: bool, store: str | None, as_json: bool
) -> None:
    """Delete PROJECT/NAME:VERSION, or PROJECT/NAME with all its versions.

    The number of a deleted version is never used again. `artfs gc` frees the space later.

    \b
    Example:
      artfs rm demo/digits:v3
    """
    with open_repository(store) as repository:
        parsed = repository.parse(target, project=default_project())
        if parsed.selector is None:
            assert parsed.project is not None
            deleted = _rm_artifact(repository, parsed.project, parsed.name, yes=yes)
        else:
            deleted = _rm_version(repository, str(parsed), yes=yes, with_aliases=with_aliases)
    if as_json:
        print_json({"deleted": deleted})
    else:
        print_line(f"Deleted {deleted}; `artfs gc` frees its space")


def _rm_artifact(repository: Repository, project: str, name: str, *, yes: bool) -> str:
    # What is damaged goes as well.
    artifact = repository.catalog.artifact(project, name, on_damage=lambda _: None)
    versions = plural(artifact.version_count, "version")
    confirm(f"Delete {artifact.path} with {versions}?", yes=yes, command="rm")
    repository.catalog.delete_artifact(artifact.id)
    return artifact.path


def _rm_version(repository: Repository, path: str, *, yes: bool, with_aliases: bool) -> str:
    try:
        version = repository.resolve(path)
    except DamagedRecord as error:
        if error.version_id is None:
            raise
        confirm(f"Delete {error.subject}, which is damaged?", yes=yes, command="rm")
        repository.catalog.delete_version(error.version_id, delete_aliases=with_aliases)
        return error.subject
    named = [alias for alias in version.aliases if alias != "latest"]
    if named and not with_aliases:
        raise Conflict(
            version.path,
            f"has {plural(len(named), 'alias', 'aliases')} ({', '.join(named)})",
            hint="`--aliases` deletes it all the same",
        )
    size = format_size(version.size_bytes)
    files = plural(version.file_count, "file")
    confirm(f"Delete {version.path} ({files}, {size})?", yes=yes, command="rm")
    repository.catalog.delete_version(version.id, delete_aliases=with_aliases)
    return version.path
