"""`artfs doctor --rebuild-catalog`: making a catalog again, and saying what came back."""

from __future__ import annotations

import msgspec

from artfs.cli.frame import confirm
from artfs.cli.output import format_age, plural, print_json, print_line
from artfs.cli.progress import ProgressLine
from artfs.errors import IntegrityError
from artfs.repository.replacement import lost_catalog
from artfs.upkeep.rebuild import RebuildReport, rebuild_catalog

_MAX_NAMED = 20


def rebuild_and_print(
    location: str, *, blobs: str | None, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Rebuild the catalog of the store at `location`; the exit code.

    Raises: what `lost_catalog` and `rebuild_catalog` raise; InvalidArgument, click's Exit where
    the catalog is sound and nobody wants it to be rebuilt.
    """
    lost = lost_catalog(location, blobs=blobs)

    def ask() -> None:
        confirm(
            f"The catalog of {lost.location} is sound. Rebuild it all the same?",
            yes=yes,
            command="doctor --rebuild-catalog: the catalog is sound",
        )

    with ProgressLine("rebuilding") as progress:
        report = rebuild_catalog(
            lost,
            dry_run=dry_run,
            on_sound=ask,
            on_step=lambda what, done, total: progress.note(f"{done:,} of {total:,} {what}"),
        )
    if as_json:
        found = {"ok": report.ok, "store": lost.location} | msgspec.to_builtins(report)
        print_json(found)
    else:
        _print_report(report)
    return 0 if report.ok else IntegrityError.exit_code


def _print_report(report: RebuildReport) -> None:
    verb = "Would bring back" if report.dry_run else "Brought back"
    print_line(
        f"{verb} {plural(report.artifacts, 'artifact')} with {plural(report.versions, 'version')},"
        f" {plural(report.runs, 'run')}; found {plural(report.blobs, 'blob')} and"
        f" {plural(report.packs, 'pack')}"
    )
    _print_names(report)
    _print_some(report.replayed.renumbered, "had a number that another version has")
    _print_some(report.replayed.left_out, "were left out: their names belong to something else")
    _print_some(report.unusable, "records or packs cannot be read; they stay where they are")
    damages = [f"{each.version}/{each.path}: {each.reason}" for each in report.damages]
    _print_some(
        damages,
        "paths are damaged; put the lost objects back, or `artfs put` the same files again",
    )
    if report.aside is not None:
        print_line(f"The old catalog is kept as {report.aside}")
    if report.ok and report.versions:
        print_line("All that these versions hold is there; `artfs verify` reads it")


def _print_names(report: RebuildReport) -> None:
    added = plural(len(report.replayed.added), "version")
    if report.was_sound:
        print_line("Names are those of the old catalog, which was sound")
    elif report.checkpoint_at_ns is not None:
        age = format_age(report.checkpoint_at_ns)
        since = f", and of {added} committed since" if report.replayed.added else ""
        print_line(f"Names are those of {age}{since}")
        print_line(
            "Lost is what else changed since: aliases, tags, descriptions, metadata, portfolios,"
            " runs; versions that were deleted since are back"
        )
    elif not report.lacks_names:
        print_line(
            f"No checkpoint was found: names are those of {added} as they were committed, without"
            " later changes, portfolios and what runs used"
        )
    else:
        print_line(
            "No names were found: which versions there were is lost, and what they held is kept"
            " until `artfs gc` removes it"
        )


def _print_some(lines: list[str], what: str) -> None:
    if not lines:
        return
    print_line(f"{len(lines):,} {what}:")
    for line in lines[:_MAX_NAMED]:
        print_line(f"    {line}")
    if len(lines) > _MAX_NAMED:
        print_line("    …")
