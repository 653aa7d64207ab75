"""`artfs cat`: print files of versions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from artfs.cli.completing import complete_path
from artfs.cli.frame import default_project, json_option, open_repository, store_option
from artfs.cli.output import print_bytes, print_json
from artfs.cli.values import path_value
from artfs.content.base import read_blocks
from artfs.errors import InvalidArgument, PathNotFound
from artfs.manifest.entries import DirectoryEntry, FileEntry, ReferenceEntry, SymlinkEntry
from artfs.repository.path_filter import PathFilter, is_pattern

if TYPE_CHECKING:
    from artfs.catalog.records import VersionRecord
    from artfs.manifest.entries import Entry
    from artfs.repository.facade import Repository

_MAX_LINKS = 40


@click.command(short_help="Print files of a version.")
@click.argument(
    "targets",
    nargs=-1,
    required=True,
    metavar="PROJECT/NAME[:VERSION]/PATH...",
    shell_complete=complete_path,
)
@store_option
@json_option
def command(*, targets: tuple[str, ...], store: str | None, as_json: bool) -> None:
    """Print each file at PATH, verified, one after the other; nothing is written to disk.

    PATH may be a pattern, in which * also matches slashes. Links are followed inside the version,
    and references are read where they lead. Whatever all of them name is looked for first. With
    --json, say what is at each PATH in place of printing it.

    \b
    Examples:
      artfs cat demo/digits:latest/7/0.txt
      artfs cat 'demo/digits:v0/train/*.txt' > all.txt
    """
    with open_repository(store) as repository:
        found = [
            (version, path, entry)
            for target in targets
            for version, path, entry in _found(repository, target)
        ]
        if as_json:
            print_json(
                {
                    "paths": [
                        {"version": version.path} | path_value(path, entry)
                        for version, path, entry in found
                    ]
                }
            )
            return
        repository.prepare([entry for *_, entry in found])
        for *_, entry in found:
            for block in read_blocks(repository.content(entry)):
                print_bytes(block)


def _found(
    repository: Repository, target: str
) -> Iterator[tuple[VersionRecord, str, FileEntry | ReferenceEntry]]:
    version, path = repository.locate(target, project=default_project())
    if not path:
        hint = f"`artfs ls {version.path}` shows what is in it"
        raise InvalidArgument(target, "names no file in a version", hint=hint)
    if not is_pattern(path):
        yield version, path, _followed(repository, version, path)
        return
    for each, _ in PathFilter(path).select(repository.directory, version.tree):
        yield version, each, _followed(repository, version, each)


def _followed(
    repository: Repository, version: VersionRecord, path: str
) -> FileEntry | ReferenceEntry:
    """The file or reference at a path, over links.

    Raises: PathNotFound, InvalidArgument for a directory.
    """
    at = path
    for _ in range(_MAX_LINKS):
        prefix = ""
        for part in at.split("/"):
            prefix = f"{prefix}/{part}" if prefix else part
            entry: Entry = repository.find(version.tree, prefix)
            if isinstance(entry, SymlinkEntry):
                rest = at[len(prefix) + 1 :]
                at = _target(
                    version, path, prefix, f"{entry.target}/{rest}" if rest else entry.target
                )
                break
        else:
            if isinstance(entry, DirectoryEntry):
                hint = f"`artfs ls {version.path}/{at}` lists it"
                raise InvalidArgument(f"{version.path}/{path}", "is a directory", hint=hint)
            assert isinstance(entry, (FileEntry, ReferenceEntry))
            return entry
    raise PathNotFound(f"{version.path}/{path}", "too many links lead on from it")


def _target(version: VersionRecord, path: str, link: str, target: str) -> str:
    """Where a link leads, inside the version. Raises: PathNotFound where that is outside."""
    at = posixpath.normpath(posixpath.join(posixpath.dirname(link), target))
    if at.startswith(("/", "../")) or at in {".", ".."}:
        raise PathNotFound(f"{version.path}/{path}", f"is a link that leads out of it, to {target}")
    return at
