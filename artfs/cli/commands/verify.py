"""`artfs verify`: read and verify every byte."""

from __future__ import annotations

import click
import msgspec

from artfs.cli.frame import default_project, json_option, open_repository, store_option
from artfs.cli.output import format_size, plural, print_json, print_line
from artfs.cli.progress import ByteProgress
from artfs.errors import IntegrityError
from artfs.repository.anew import reading_anew
from artfs.repository.verify import VerifyListener, VerifyReport, verify


@click.command(short_help="Read and verify every byte of a version or of the store.")
@click.argument("target", required=False, metavar="[PROJECT/NAME[:VERSION]]")
@store_option
@json_option
def command(*, target: str | None, store: str | None, as_json: bool) -> int:
    """Read and verify everything that a version holds, or every version of the store.

    Names the paths that are damaged, and then ends with exit code 5.

    \b
    Examples:
      artfs verify
      artfs verify demo/digits:v0
    """
    with (
        open_repository(store) as opened,
        reading_anew(opened) as repository,
        ByteProgress("verifying") as progress,
    ):
        if target is None:
            versions = [version for version, _ in repository.catalog.live_trees()]
        else:
            versions = [repository.resolve(target, project=default_project())]
        listener = VerifyListener(expect=progress.expect, advance=progress.advance)
        report = verify(repository, versions, listener=listener)
    if as_json:
        print_json({"ok": not report.damages, **msgspec.to_builtins(report)})
    else:
        _print_report(report)
    return IntegrityError.exit_code if report.damages else 0


def _print_report(report: VerifyReport) -> None:
    for damage in report.damages:
        print_line(f"DAMAGED {damage.version}/{damage.path}: {damage.reason}")
    what = (
        f"{plural(report.versions, 'version')}, {plural(report.files, 'file')}, "
        f"{plural(report.blobs, 'blob')} of {format_size(report.blob_bytes)} read"
    )
    if report.references:
        what += f", {plural(report.references, 'reference')} not read"
    verdict = f"{plural(len(report.damages), 'path')} damaged" if report.damages else "all right"
    print_line(f"{what}: {verdict}")
