"""`artfs gc`: free the space of what is no longer used."""

from __future__ import annotations

import click
import msgspec

from artfs.cli.frame import (
    Duration,
    dry_run_option,
    json_option,
    open_repository,
    raise_damage,
    store_option,
)
from artfs.cli.output import format_duration, format_size, plural, print_json, print_line
from artfs.errors import ArtfsError
from artfs.staging.listing import staged_trees
from artfs.upkeep.gc import DEFAULT_GRACE_S, GcReport, Tally, collect


@click.command(short_help="Free the space of what is no longer used.")
@click.option(
    "--grace",
    "grace_s",
    type=Duration(),
    default=DEFAULT_GRACE_S,
    metavar="TIME",
    help="Keep what was in use less than this ago: 12h, 7d; s, min, h, d, w (7d).",
)
@dry_run_option
@store_option
@json_option
def command(*, grace_s: float, dry_run: bool, store: str | None, as_json: bool) -> None:
    """Remove what no version uses, what killed processes left behind, and versions whose time to
    live is over.

    Content that is found to be unused is condemned first, and removed by the gc that finds it
    unused still after the grace period: so long it can be read where it is mounted. What a running
    `artfs put`, commit or script may need stays, whatever the grace period. A version with an
    alias besides `latest`, or in a portfolio, outlives its time. Beside a version that is damaged
    nothing is condemned: what it needs is unknown.

    \b
    Examples:
      artfs gc --dry-run
      artfs gc --grace 12h
    """
    obstacles: list[ArtfsError] = []
    with open_repository(store) as repository:
        report = collect(
            repository,
            grace_s=grace_s,
            dry_run=dry_run,
            staged_trees=lambda: staged_trees(repository.info),
            on_obstacle=obstacles.append,
        )
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _print_report(report, grace_s)
    raise_damage(obstacles)


def _print_report(report: GcReport, grace_s: float) -> None:
    done, to_do = ("Would remove", "Would rewrite") if report.dry_run else ("Removed", "Rewrote")
    for path in report.expired:
        print_line(f"{done} {path}: its time to live is over")
    for kept in report.kept:
        print_line(f"Kept {kept}, though its time to live is over")
    if report.leases:
        print_line(
            f"{plural(report.leases, 'other')} at work: what was stored or condemned since stays"
        )
    lines = [
        (report.removed, done, "blob", "that no version uses"),
        (report.packs_removed, done, "pack", "that held nothing else"),
        (report.packs_rewritten, to_do, "pack", "that held little else"),
        (report.orphans, done, "object", "that no commit took"),
        (report.temporaries, done, "temporary file", "that nobody holds"),
    ]
    for tally, verb, noun, why in lines:
        if tally.count:
            print_line(
                f"{verb} {plural(tally.count, noun)} {why} ({format_size(tally.size_bytes)})"
            )
    if report.waiting.count:
        print_line(_waiting(report.waiting, report.condemned, grace_s))
    if not (
        report.expired
        or report.kept
        or report.waiting.count
        or any(tally.count for tally, *_ in lines)
    ):
        print_line("Nothing to remove")


def _waiting(waiting: Tally, condemned: Tally, grace_s: float) -> str:
    return (
        f"{plural(waiting.count, 'blob')} ({format_size(waiting.size_bytes)}) that no version uses "
        f"will be removed {format_duration(grace_s)} after they were condemned"
        f" ({condemned.count:,} of them now)"
    )
