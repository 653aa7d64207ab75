"""`artfs diff`: what changed from one version to another."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from artfs.cli.completing import complete_version
from artfs.cli.frame import default_project, json_option, open_repository, store_option
from artfs.cli.output import format_count, format_size, print_json, print_line
from artfs.cli.values import path_value
from artfs.manifest.diff import Change, ChangeKind, diff_trees
from artfs.manifest.entries import LeafEntry, SymlinkEntry

_LETTERS = {ChangeKind.ADDED: "A", ChangeKind.REMOVED: "D", ChangeKind.MODIFIED: "M"}


@click.command(short_help="Show what changed from one version to another.")
@click.argument("before", metavar="A", shell_complete=complete_version)
@click.argument("after", metavar="B", shell_complete=complete_version)
@store_option
@json_option
def command(*, before: str, after: str, store: str | None, as_json: bool) -> None:
    """Show which files were added (A), deleted (D) or modified (M) from version A to version B.

    Both are written PROJECT/NAME[:VERSION], and need not be of one artifact.

    \b
    Example:
      artfs diff demo/digits:v0 demo/digits:latest
    """
    with open_repository(store) as repository:
        old = repository.resolve(before, project=default_project())
        new = repository.resolve(after, project=default_project())
        changes = diff_trees(repository.directory, old.tree, new.tree)
        if as_json:
            value = [_change_value(change) for change in changes]
            print_json({"before": old.path, "after": new.path, "changes": value})
            return
        counts: Counter[ChangeKind] = Counter()
        for change in changes:
            counts[change.kind] += 1
            print_line(f"{_LETTERS[change.kind]} {change.path}  {_sizes(change)}")
    if counts:
        print_line(
            ", ".join(f"{format_count(counts[kind])} {kind.value}" for kind in _LETTERS)
            + f" from {old.path} to {new.path}"
        )
    else:
        print_line(f"{old.path} and {new.path} have the same content")


def _sizes(change: Change) -> str:
    sizes = [_size(entry) for entry in (change.before, change.after) if entry is not None]
    return " → ".join(sizes)


def _size(entry: LeafEntry) -> str:
    if isinstance(entry, SymlinkEntry):
        return "link"
    return "?" if entry.size_bytes is None else format_size(entry.size_bytes)


def _change_value(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind.value,
        "path": change.path,
        "before": None if change.before is None else path_value(change.path, change.before),
        "after": None if change.after is None else path_value(change.path, change.after),
    }
