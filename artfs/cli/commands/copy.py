"""`artfs copy`: copy artifacts from one store to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click
import msgspec

from artfs.cli.completing import complete_version
from artfs.cli.frame import default_project, json_option, open_repository
from artfs.cli.output import error_value, format_size, plural, print_json, print_line, print_note
from artfs.cli.progress import ProgressLine
from artfs.cli.stores_named import NamedPlace, parse_place
from artfs.credentials import without_credentials
from artfs.errors import ArtfsError, InvalidArgument, InvalidName, StoreNotFound
from artfs.system.progress import ProgressMeter
from artfs.targets import Target, parse_artifact_path, project_of

if TYPE_CHECKING:
    from artfs.repository.facade import Repository
    from artfs.upkeep.copy_selection import CopiedVersion, CopyReport, CopyRequest


@click.command(short_help="Copy artifacts from one store to another.")
@click.argument("source", metavar="SOURCE", shell_complete=complete_version)
@click.argument("target", metavar="TARGET")
@click.option("--all-versions", is_flag=True, help="Copy all versions, not only `latest`.")
@click.option("--aliases", is_flag=True, help="Let aliases name the same versions in TARGET.")
@click.option("--lineage", is_flag=True, help="Copy the runs that made and used the versions.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--store", metavar="URL", help="The store of a SOURCE or TARGET that names none.")
@json_option
def command(
    *,
    source: str,
    target: str,
    all_versions: bool,
    aliases: bool,
    lineage: bool,
    dry_run: bool,
    store: str | None,
    as_json: bool,
) -> int:
    """Copy a version, an artifact, a project or all of a store into another store.

    SOURCE is STORE, STORE#PROJECT, STORE#PROJECT/NAME or STORE#PROJECT/NAME:VERSION; without
    STORE# it is in your own store. TARGET is STORE, or STORE#PROJECT[/NAME] to call it otherwise
    there; or PROJECT[/NAME] of your own store. STORE is a directory (begin it with /, ./, ../ or
    ~), the URL of a shared store's catalog or, as SOURCE, wandb://HOST/ENTITY[/PROJECT[/NAME]].
    A TARGET that is a directory is made where there is none.

    Of an artifact it is the version `latest`, or all with --all-versions. Only what TARGET does
    not have is sent, and verified on its way: run it again after it was broken off. Digests,
    metadata, tags, times and, where TARGET has no others of that artifact, numbers stay the same;
    else versions get the next numbers, and content that is there makes no new one. References stay
    references.

    \b
    Examples:
      artfs copy demo/digits ./backup
      artfs copy demo/digits:v1 ./backup#archive/numbers
      artfs copy demo ./backup --all-versions --aliases --lineage
      artfs copy demo/digits postgresql://ada@db.example.org/artfs --dry-run
      artfs copy postgresql://ada@db.example.org/artfs#demo/model demo/model
      artfs copy demo/digits:best demo/reference
    """
    from artfs.settings import store_location  # noqa: PLC0415 - `--help` does not need it
    from artfs.upkeep.copy_selection import CopyReport, select  # noqa: PLC0415 - slow to import
    from artfs.upkeep.copying import copy  # noqa: PLC0415 - slow to import

    places = parse_place(source), parse_place(target)
    report = CopyReport(dry_run=dry_run)
    with open_repository(places[0].store or store) as from_store:
        request = _request(
            from_store,
            places,
            all_versions=all_versions,
            aliases=aliases,
            lineage=lineage,
        )
        selection = select(from_store, request, report)
        location = store_location(places[1].store or store)
        to_store = _open_target(location, entity=from_store.info.entity, dry_run=dry_run)
        try:
            _refuse_same(from_store, to_store, request, target)
            _run(
                lambda meter: copy(
                    from_store, to_store, request, selection, report=report, meter=meter
                ),
                report,
                lambda: _print(from_store, to_store, location, report, as_json=as_json),
            )
        finally:
            if to_store is not None:
                to_store.close()
    return report.failures[0].error.exit_code if report.failures else 0


def _request(
    source: Repository,
    places: tuple[NamedPlace, NamedPlace],
    *,
    all_versions: bool,
    aliases: bool,
    lineage: bool,
) -> CopyRequest:
    """What the names in SOURCE and TARGET ask for. Raises: InvalidName, InvalidArgument."""
    from artfs.upkeep.copy_selection import CopyRequest  # noqa: PLC0415 - slow to import

    wanted = source.target(places[0].names or None, project=default_project())
    if wanted.path:
        raise InvalidArgument(
            places[0].names, "names a file in a version", hint="whole versions are copied"
        )
    if wanted.selector is not None and all_versions:
        raise InvalidArgument(places[0].names, "names one version", hint="leave --all-versions out")
    names = places[1].names
    if names.count("/") > 1 or ":" in names:
        raise InvalidName(names, "not a TARGET", hint="write STORE#PROJECT[/NAME]")
    called = _new_name(names)
    if called.project is not None and wanted.project is None:
        raise InvalidArgument(names, "names a project, and SOURCE a whole store", hint="name one")
    if called.name is not None and wanted.name is None:
        raise InvalidArgument(names, "names an artifact, and SOURCE none", hint="name a project")
    return CopyRequest(
        project=wanted.project,
        name=wanted.name,
        selector=wanted.selector,
        new_project=called.project,
        new_name=called.name,
        all_versions=all_versions,
        aliases=aliases,
        lineage=lineage,
    )


def _new_name(names: str) -> Target:
    """`[PROJECT[/NAME]]`. Raises: InvalidName."""
    if not names:
        return Target()
    alone = project_of(names)
    if alone is not None:
        return Target(alone)
    path = parse_artifact_path(names)
    return Target(path.project, path.name)


def _open_target(location: str, *, entity: str, dry_run: bool) -> Repository | None:
    """The target; None where it would only be made. A new one belongs to whom the source does."""
    from artfs.repository.stores import open_store  # noqa: PLC0415 - slow to import
    from artfs.settings import is_url  # noqa: PLC0415 - as above

    try:
        return open_store(location, create=not dry_run, entity=entity)
    except StoreNotFound:
        if dry_run and not is_url(location):
            return None
        raise


def _refuse_same(
    source: Repository, target: Repository | None, request: CopyRequest, text: str
) -> None:
    """Raises: InvalidArgument where all would be copied onto itself."""
    if target is None:
        return
    roots = source.info.root, target.info.root
    if roots[0] is not None and roots[1] is not None:
        is_same = roots[0].samefile(roots[1])
    else:
        is_same = roots == (None, None) and source.info.id == target.info.id != ""
    projects = {None, request.project}
    if is_same and request.new_project in projects and request.new_name in {None, request.name}:
        raise InvalidArgument(
            text, "is where SOURCE is", hint="name another store, or another PROJECT/NAME"
        )


def _run(
    work: Callable[[ProgressMeter], None], report: CopyReport, show: Callable[[], None]
) -> None:
    """Do the work, and say what was done of it, however it ends."""
    try:
        with ProgressLine("copying") as progress:
            work(ProgressMeter(progress.show))
    except (ArtfsError, KeyboardInterrupt) as error:
        if report.versions:
            show()
        if isinstance(error, KeyboardInterrupt):
            print_note("artfs: run it again to go on: what was sent is not sent again")
        raise
    show()


def _print(
    source: Repository,
    target: Repository | None,
    location: str,
    report: CopyReport,
    *,
    as_json: bool,
) -> None:
    for failure in report.failures:
        subject = f"{failure.source}: not copied: " if failure.source else ""
        print_note(f"artfs: {subject}{failure.error}")
    for text in report.unresolved:
        path, _, version_id = text.rpartition(": ")
        print_note(f"{path} refers to a version that the target does not have ({version_id})")
    shown = without_credentials(location) if target is None else target.info.location
    if as_json:
        print_json(
            {
                "source": source.info.location,
                "target": shown,
                "dry_run": report.dry_run,
                "store_created": target is not None and target.is_new,
                "versions": [msgspec.to_builtins(each) for each in report.versions],
                "sent_bytes": report.sent_bytes,
                "aliases": report.aliases,
                "links": report.links,
                "runs": report.runs,
                "uses": report.uses,
                "unresolved": report.unresolved,
                "failures": [
                    {"source": each.source, "error": error_value(each.error)}
                    for each in report.failures
                ],
            }
        )
        return
    for each in report.created:
        print_line(_version_text(each))
    for text in (*report.aliases, *report.links):
        print_line(text)
    print_line(_summary(report, shown))


def _version_text(copied: CopiedVersion) -> str:
    called = "" if copied.target == copied.source else f" -> {copied.target}"
    content = f"{plural(copied.file_count, 'file')}, {format_size(copied.size_bytes)}"
    return f"{copied.source}{called}: {content}"


def _summary(report: CopyReport, target: str) -> str:
    created = len(report.created)
    there = len(report.versions) - created
    sent = format_size(report.sent_bytes)
    parts = []
    if created and report.dry_run:
        parts.append(f"{plural(created, 'version')} would be copied, {sent} sent")
    elif created:
        parts.append(f"{plural(created, 'version')} copied, {sent} sent")
    if there:
        parts.append(f"{plural(there, 'version')} there already")
    if report.runs or report.uses:
        parts.append(f"{plural(report.runs, 'run')} and {plural(report.uses, 'use')} recorded")
    if not created:
        parts.insert(0, "nothing sent")
    return f"{target}: {'; '.join(parts)}"
