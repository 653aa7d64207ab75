"""`artfs warm`: fetch a version, or a part of it, into the block cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from artfs.cli.completing import complete_path
from artfs.cli.frame import default_project, json_option, open_repository, store_option
from artfs.cli.output import error_value, format_size, plural, print_json, print_line, print_note
from artfs.cli.progress import ProgressLine
from artfs.errors import InvalidArgument
from artfs.system.progress import ProgressMeter

if TYPE_CHECKING:
    from artfs.upkeep.warm import WarmReport


@click.command(short_help="Fetch a version, or a part of it, into the block cache.")
@click.argument("target", metavar="PROJECT/NAME[:VERSION[/PATH]]", shell_complete=complete_path)
@click.option("--pin", is_flag=True, help="Keep it in the cache until --unpin.")
@click.option("--unpin", is_flag=True, help="Undo --pin of the same target; fetch nothing.")
@store_option
@json_option
def command(*, target: str, pin: bool, unpin: bool, store: str | None, as_json: bool) -> int:
    """Fetch everything in PROJECT/NAME:VERSION (latest), or at and below a PATH in it, so that
    it can be read without the network. PATH may be a pattern, in which * also matches slashes.

    What is in the cache already is not fetched again: run an interrupted command once more.

    \b
    Examples:
      artfs warm demo/digits
      artfs warm demo/digits:v3/train
      artfs warm 'demo/digits:latest/*.png' --pin
    """
    if pin and unpin:
        raise InvalidArgument("--pin and --unpin", "cannot be given together")
    from artfs.upkeep.warm import warm  # noqa: PLC0415 - slow to import

    with open_repository(store) as repository, ProgressLine("fetching") as progress:
        wanted = repository.meant(target, project=default_project())
        # However it is written, it is one pin.
        label = str(msgspec.structs.replace(wanted, entity=None))
        if unpin:
            return _unpin(repository.cache.unpin(label), target)
        version, path = repository.locate(wanted)
        report = warm(
            repository,
            version.tree,
            path,
            meter=ProgressMeter(progress.show),
            pin=label if pin else None,
        )
    for failure in report.failures:
        print_note(f"artfs: {failure.path}: {failure.error}")
    if as_json:
        failures = [
            {"path": each.path, "error": error_value(each.error)} for each in report.failures
        ]
        print_json(
            {
                "version": version.path,
                "files": report.files,
                "local": report.local,
                "fetched_bytes": report.fetched_bytes,
                "cached_bytes": report.cached_bytes,
                "failures": failures,
            }
        )
    else:
        print_line(_summary(version.path, report))
    return report.failures[0].error.exit_code if report.failures else 0


def _unpin(existed: bool, target: str) -> int:
    print_line(f"{target}: {'no longer pinned' if existed else 'was not pinned'}")
    return 0


def _summary(version: str, report: WarmReport) -> str:
    parts = [f"{format_size(report.fetched_bytes)} fetched"]
    if report.cached_bytes:
        parts.append(f"{format_size(report.cached_bytes)} were in the cache")
    if report.local:
        parts.append(f"{plural(report.local, 'file')} on this disk anyway")
    if report.failures:
        parts.append(f"{plural(len(report.failures), 'file')} failed")
    return f"{version}: {plural(report.files, 'file')}: {', '.join(parts)}"
