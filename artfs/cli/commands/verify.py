"""`artfs verify`: read and verify every byte, and ask the sources of references."""

from __future__ import annotations

import click
import msgspec

from artfs.cli.completing import complete_version
from artfs.cli.frame import (
    default_project,
    json_option,
    open_repository,
    raise_damage,
    store_option,
)
from artfs.cli.output import format_size, plural, print_json, print_line
from artfs.cli.progress import ProgressLine
from artfs.errors import DamagedRecord, IntegrityError
from artfs.model import Digest
from artfs.system.progress import ProgressMeter
from artfs.upkeep.quarantine import SetAside, set_aside
from artfs.upkeep.sources import (
    SourcesReport,
    SourceState,
    check_sources,
    exit_code,
)
from artfs.upkeep.verify import VerifyReport, reading_anew, verify


@click.command(short_help="Read and verify every byte of a version or of the store.")
@click.argument(
    "target", required=False, metavar="[PROJECT/NAME[:VERSION]]", shell_complete=complete_version
)
@click.option(
    "--references",
    "with_sources",
    is_flag=True,
    help="Ask the source of each reference, too, whether it is still what was pinned.",
)
@click.option(
    "--quarantine",
    is_flag=True,
    help="Set damaged content aside, so that putting the same files again heals it.",
)
@store_option
@json_option
def command(
    *, target: str | None, with_sources: bool, quarantine: bool, store: str | None, as_json: bool
) -> int:
    """Read and verify everything that a version holds, or every version of the store.

    Names the paths that are damaged, and then ends with exit code 5. The content of references is
    elsewhere and not read. `--references` asks where it is for size and pin, and names the paths
    whose source changed or is missing (exit code 6), does not answer (7) or refuses (8).

    Content that is lost is stored again by the next `artfs put` of the same files, under whatever
    name. Content that is damaged stays as it is until `--quarantine` sets it aside.

    \b
    Examples:
      artfs verify
      artfs verify demo/digits:v0 --references
      artfs verify --quarantine
    """
    damaged: list[DamagedRecord] = []
    with (
        open_repository(store) as opened,
        reading_anew(opened) as repository,
        ProgressLine("verifying") as progress,
    ):
        if target is None:
            versions = [
                version for version, _ in repository.catalog.live_trees(on_damage=damaged.append)
            ]
        else:
            versions = [repository.resolve(target, project=default_project())]
        report = verify(repository, versions, meter=ProgressMeter(progress.show))
        aside = None
        if quarantine:
            aside = set_aside(opened, [Digest(bytes.fromhex(each)) for each in report.suspects])
        sources = None
        if with_sources:
            sources = check_sources(
                repository,
                versions,
                meter=ProgressMeter(
                    lambda at: progress.note(f"{at.files_done:,} of {at.files_total:,} references")
                ),
            )
    ok = not damaged and not report.damages and not (sources and sources.findings)
    if as_json:
        found = {"ok": ok, **msgspec.to_builtins(report)}
        more = {"sources": sources, "quarantine": aside}
        print_json(found | {key: msgspec.to_builtins(each) for key, each in more.items() if each})
    else:
        _print_report(report, asked=sources is not None, aside=aside)
        if sources is not None:
            _print_sources(sources)
    if report.damages:
        return IntegrityError.exit_code
    raise_damage(damaged)
    return exit_code(sources) if sources else 0


def _print_report(report: VerifyReport, *, asked: bool, aside: SetAside | None) -> None:
    for damage in report.damages:
        print_line(f"DAMAGED {damage.version}/{damage.path}: {damage.reason}")
    what = (
        f"{plural(report.versions, 'version')}, {plural(report.files, 'file')}, "
        f"{plural(report.blobs, 'blob')} of {format_size(report.blob_bytes)} read"
    )
    verdict = f"{plural(len(report.damages), 'path')} damaged" if report.damages else "all right"
    print_line(f"{what}: {verdict}")
    if aside is not None:
        for path in aside.files:
            print_line(f"set aside: {path}")
        if aside.forgotten:
            print_line(f"forgotten: {plural(aside.forgotten, 'small blob')}")
    if report.damages:
        first = "" if aside is not None else "`artfs verify --quarantine`, then "
        print_line(f"to heal it: {first}`artfs put` the same files again")
    if report.references and not asked:
        references = plural(report.references, "reference")
        print_line(f"{references} not checked: `--references` asks their sources")


def _print_sources(report: SourcesReport) -> None:
    for finding in report.findings:
        where = f"{finding.version}/{finding.path} -> {finding.uri}"
        print_line(f"{finding.state.upper()} {where}: {finding.reason}")
    told = [
        f"{report.states[state]:,} {state.value}" for state in SourceState if state in report.states
    ]
    references = plural(sum(report.states.values()), "reference")
    print_line(f"{references}: {', '.join(told)}" if told else references)
