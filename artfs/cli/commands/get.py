"""`artfs get`: download a version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from artfs.cli.frame import (
    default_project,
    json_option,
    open_repository,
    store_option,
    version_value,
)
from artfs.cli.output import format_size, plural, print_json, print_line, print_note
from artfs.cli.progress import ProgressLine
from artfs.system.progress import ProgressMeter

if TYPE_CHECKING:
    from artfs.sdk.materialize import Placements


@click.command(short_help="Download a version; `artfs download` is the same.")
@click.argument("target", metavar="PROJECT/NAME[:VERSION]")
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to (artifacts/NAME:vN).",
)
@click.option(
    "--link",
    is_flag=True,
    help="Hard-link large files in place of copying them; they are read-only.",
)
@store_option
@json_option
def command(
    *, target: str, root: Path | None, link: bool, store: str | None, as_json: bool
) -> None:
    """Write the files of a version below DIR; those that are right already stay as they are.

    All content is verified. It can be broken off at any time, and goes on when it is run again.
    Where a file system can, copies share the disk space of the store until they are changed. What
    is hard-linked is the store's own file: whoever writes to it, as root can, damages the store.

    \b
    Examples:
      artfs get demo/digits:v0 --root ./digits
      artfs get demo/model --root /scratch/model --link
    """
    from artfs.sdk.download import download_tree  # noqa: PLC0415 - takes long to import

    with open_repository(store) as repository, ProgressLine("downloading") as progress:
        version = repository.resolve(target, project=default_project())
        root = root or Path("artifacts") / f"{version.name}:{version.version}"
        meter = ProgressMeter(progress.show)
        meter.expect(files=version.file_count, size_bytes=version.size_bytes)
        done = download_tree(repository, version.tree, root, link=link, meter=meter)
    if as_json:
        counts = {how.value: count for how, count in done.counts.items()}
        print_json(version_value(version) | {"root": str(root.absolute()), "files": counts})
    else:
        content = f"{plural(version.file_count, 'file')}, {format_size(version.size_bytes)}"
        print_line(f"{version.path}: {content} in {root}{_sharing(done)}")
    if done.not_linked:
        files = plural(done.not_linked, "large file was", "large files were")
        print_note(f"{files} copied in place of being hard-linked: {done.why_not_linked}")


def _sharing(done: Placements) -> str:
    """What of a download takes no space of its own."""
    from artfs.sdk.materialize import Placement  # noqa: PLC0415 - takes long to import

    shared = [
        f"{done.counts[how]:,} {how.value}"
        for how in (Placement.LINKED, Placement.REFLINKED)
        if done.counts[how]
    ]
    return f" ({', '.join(shared)})" if shared else ""
