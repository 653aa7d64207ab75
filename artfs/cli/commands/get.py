"""`artfs get`: download a version, or a part of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artfs.cli.completing import complete_path
from artfs.cli.forgiving import looks_like_path
from artfs.cli.frame import (
    confirm,
    default_project,
    dry_run_option,
    exclude_option,
    include_option,
    json_option,
    link_option,
    open_repository,
    store_option,
    version_value,
    yes_option,
)
from artfs.cli.output import format_size, plural, print_json, print_line, print_note
from artfs.cli.progress import ProgressLine
from artfs.cli.values import path_value
from artfs.system.progress import ProgressMeter

if TYPE_CHECKING:
    from artfs.catalog.records import VersionRecord
    from artfs.repository.facade import Repository
    from artfs.repository.path_filter import PathFilter
    from artfs.sdk.checkout import Comparison
    from artfs.sdk.materialize import Placements


@click.command(short_help="Download a version, or a part of it; `artfs download` is the same.")
@click.argument("target", metavar="PROJECT/NAME[:VERSION[/PATH]]", shell_complete=complete_path)
@click.argument("rest", nargs=-1, metavar="", type=click.UNPROCESSED)
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to (artifacts/NAME:vN).",
)
@include_option
@exclude_option
@click.option("--exact", is_flag=True, help="Remove what is below DIR and not in the version.")
@link_option
@dry_run_option
@yes_option
@store_option
@json_option
def command(
    *,
    target: str,
    rest: tuple[str, ...],
    root: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    exact: bool,
    link: bool,
    dry_run: bool,
    yes: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Write the files of a version below DIR; those that are right already stay as they are.

    With a PATH, only what is at and below it, to the place that it has in the version. PATH may be
    a pattern, in which * also matches slashes. --include and --exclude choose of that. With
    --exact, what is chosen and not in the version is removed from DIR, once you have agreed.

    All content is verified. It can be broken off at any time, and goes on when it is run again.
    Where a file system can, copies share the disk space of the store until they are changed. What
    is hard-linked is the store's own file: whoever writes to it, as root can, damages the store.

    \b
    Examples:
      artfs get demo/digits:v0 --root ./digits
      artfs get demo/digits:v0/train --exclude '*.png'
      artfs get demo/digits:latest --root ./digits --exact --dry-run
      artfs get demo/model --root /scratch/model --link
    """
    if rest:
        _refuse(target, rest)
    from artfs.repository.path_filter import PathFilter  # noqa: PLC0415 - takes long to import
    from artfs.sdk.checkout import compare_directory, prune_directory  # noqa: PLC0415 - as above
    from artfs.sdk.download import download_tree  # noqa: PLC0415 - as above

    with open_repository(store) as repository, ProgressLine("downloading") as progress:
        version, path = repository.locate(target, project=default_project())
        root = root or Path("artifacts") / f"{version.name}:{version.version}"
        chosen = PathFilter(path, include=include, exclude=exclude)
        if dry_run:
            found = compare_directory(repository, version.tree, root, chosen)
            _print_plan(version, root, found, exact=exact, as_json=as_json)
            return
        surplus: list[str] = []
        if exact:
            surplus = compare_directory(repository, version.tree, root, chosen).surplus
        if surplus:
            number = plural(len(surplus), "file")
            question = f"Remove {number} below {root} that {version.path} does not have?"
            confirm(question, yes=yes, command="get --exact")
        meter = ProgressMeter(progress.show)
        files, size_bytes = _expected(repository, version, chosen)
        meter.expect(files=files, size_bytes=size_bytes)
        if surplus:
            prune_directory(repository, version.tree, root, chosen)
        done = download_tree(repository, version.tree, root, chosen=chosen, link=link, meter=meter)
    if as_json:
        counts = {how.value: count for how, count in done.counts.items()}
        where = {"root": str(root.absolute()), "path_in_version": path}
        print_json(version_value(version) | where | {"files": counts, "removed": surplus})
    else:
        content = f"{plural(files, 'file')}, {format_size(size_bytes)}"
        removed = f"; {len(surplus):,} removed" if surplus else ""
        shown = version.path + (f"/{path}" if path else "")
        print_line(f"{shown}: {content} in {root}{_sharing(done)}{removed}")
    if done.not_linked:
        files_copied = plural(done.not_linked, "large file was", "large files were")
        print_note(f"{files_copied} copied in place of being hard-linked: {done.why_not_linked}")


def _refuse(target: str, rest: tuple[str, ...]) -> None:
    """Raises: click.UsageError, with what was meant."""
    text = f"unexpected argument {rest[0]!r}"
    if len(rest) == 1:
        words = [rest[0], "--root", target] if looks_like_path(target) else None
        words = words or [target, "--root", rest[0]]
        text += f": did you mean `artfs get {shlex.join(words)}`?"
    raise click.UsageError(text, click.get_current_context())


def _expected(
    repository: Repository, version: VersionRecord, chosen: PathFilter
) -> tuple[int, int]:
    """How many files there are to be written, and their bytes. Raises: PathNotFound for none."""
    from artfs.manifest.entries import SymlinkEntry  # noqa: PLC0415 - takes long to import

    if chosen.takes_all:
        return version.file_count, version.size_bytes
    files = size_bytes = 0
    for _, entry in chosen.select(repository.directory, version.tree):
        files += 1
        size_bytes += 0 if isinstance(entry, SymlinkEntry) else entry.size_bytes or 0
    return files, size_bytes


def _print_plan(
    version: VersionRecord, root: Path, found: Comparison, *, exact: bool, as_json: bool
) -> None:
    surplus = found.surplus if exact else []
    if as_json:
        print_json(
            version_value(version)
            | {
                "root": str(root.absolute()),
                "dry_run": True,
                "write": [path_value(path, entry) for path, entry in found.to_write],
                "right": found.right,
                "remove": surplus,
            }
        )
        return
    for path, _ in found.to_write:
        print_line(f"would write {path}")
    for path in surplus:
        print_line(f"would remove {path}")
    summary = f"{len(found.to_write):,} to write, {found.right:,} right already"
    print_line(f"{version.path}: {summary}" + (f", {len(surplus):,} to remove" if exact else ""))


def _sharing(done: Placements) -> str:
    """What of a download takes no space of its own."""
    from artfs.sdk.materialize import Placement  # noqa: PLC0415 - takes long to import

    shared = [
        f"{done.counts[how]:,} {how.value}"
        for how in (Placement.LINKED, Placement.REFLINKED)
        if done.counts[how]
    ]
    return f" ({', '.join(shared)})" if shared else ""
