"""`artfs get`: download a version."""

from __future__ import annotations

from pathlib import Path

import click

from artfs.cli.frame import (
    default_project,
    json_option,
    open_repository,
    store_option,
    version_value,
)
from artfs.cli.output import format_size, plural, print_json, print_line
from artfs.cli.progress import ByteProgress


@click.command(short_help="Download a version.")
@click.argument("target", metavar="PROJECT/NAME[:VERSION]")
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to (artifacts/NAME:vN).",
)
@store_option
@json_option
def command(*, target: str, root: Path | None, store: str | None, as_json: bool) -> None:
    """Write the files of a version below DIR; those that are right already stay as they are.

    \b
    Example:
      artfs get demo/digits:v0 --root ./digits
    """
    from artfs.sdk.download import download_tree  # noqa: PLC0415 - takes long to import
    from artfs.sdk.intake import ProgressMeter  # noqa: PLC0415 - takes long to import

    with open_repository(store) as repository, ByteProgress("downloading") as progress:
        version = repository.resolve(target, project=default_project())
        root = root or Path("artifacts") / f"{version.name}:{version.version}"
        meter = ProgressMeter(
            lambda at: progress.show(at.bytes_done, at.bytes_total),
            files_total=version.file_count,
            bytes_total=version.size_bytes,
        )
        download_tree(repository, version.tree, root, meter=meter)
    if as_json:
        print_json(version_value(version) | {"root": str(root.absolute())})
    else:
        content = f"{plural(version.file_count, 'file')}, {format_size(version.size_bytes)}"
        print_line(f"{version.path}: {content} in {root}")
