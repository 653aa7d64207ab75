"""`artfs staging`: staging areas, mounted or left behind."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from artfs.cli.commands.stage import mount_staging
from artfs.cli.forgiving import ForgivingGroup
from artfs.cli.frame import (
    confirm,
    expect_option,
    foreground_option,
    json_option,
    mountpoint_argument,
    open_repository,
    staging_mount_options,
    store_option,
    take_unfinished_option,
    yes_option,
)
from artfs.cli.output import (
    error_value,
    format_age,
    format_size,
    iso_time,
    plural,
    print_json,
    print_line,
    print_note,
    print_table,
)
from artfs.cli.progress import ProgressLine
from artfs.cli.values import outcome_text, print_outcome
from artfs.settings import store_location
from artfs.system.progress import ProgressMeter

if TYPE_CHECKING:
    from artfs.staging.listing import AreaRecord, DamagedArea

_WAY_OUT = "`artfs staging salvage {0} DIRECTORY` copies its files out"


@click.group(cls=ForgivingGroup, short_help="List, resume, commit or drop staging areas.")
def command() -> None:
    """List, resume, commit or drop staging areas.

    What is written into `artfs stage` is kept on local disk until it is a version: when a commit
    fails, or the process or the host dies, it is still there.

    \b
    Example:
      artfs staging ls
    """


@command.command(short_help="List staging areas.")
@store_option
@json_option
def ls(*, store: str | None, as_json: bool) -> None:
    """List staging areas: what is in them, from when, how much, and who has them.

    \b
    Example:
      artfs staging ls
    """
    from artfs.staging.area import staging_path  # noqa: PLC0415 - takes long
    from artfs.staging.listing import outcomes, staging_areas  # noqa: PLC0415 - takes long

    damaged: list[DamagedArea] = []
    with open_repository(store) as repository:
        records = staging_areas(repository.info, damaged.append)
        ended = outcomes(repository.info)
        place = staging_path(repository.info)
    if as_json:
        print_json([*map(_value, records), *map(_damaged_value, damaged)])
        return
    header = ("ID", "ARTIFACT", "BASE", "STATE", "FILES", "SIZE", "CREATED", "MOUNTPOINT", "PID")
    rows = [*map(_row, records), *map(_damaged_row, damaged)]
    if rows:
        print_table(header, rows, right=frozenset({"FILES", "SIZE", "PID"}))
    for record in records:
        if record.owner is None and record.error is not None:
            print_line(f"{record.meta.id}: no version was made: {record.error}")
        if record.lost:
            print_line(f"{record.meta.id}: {lost_text(record.lost, place / record.meta.id)}")
    for each in damaged:
        print_line(f"{each.id}: {each.error}: {_WAY_OUT.format(each.id)}")
    for outcome in ended:
        text = outcome_text(outcome.artifact, outcome.version, created=outcome.created)
        if outcome.dropped:
            text = f"{outcome.artifact}: aborted"
        print_line(f"{outcome.id} ended {format_age(outcome.finished_at_ns)}: {text}")


@command.command(short_help="Mount a staging area again.")
@click.argument("area", metavar="ID")
@mountpoint_argument
@foreground_option
@staging_mount_options
@store_option
@json_option
def resume(
    *,
    area: str,
    mountpoint: Path,
    foreground: bool,
    options: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """Mount the staging area ID on the empty directory MOUNTPOINT, as it was left.

    \b
    Example:
      artfs staging resume 1f3a9c04 /mnt/new
    """
    from artfs.mounts import client  # noqa: PLC0415 - takes long
    from artfs.mounts.messages import MountRequest, StageOrder  # noqa: PLC0415 - takes long

    request = MountRequest(
        store=store_location(store),
        target=None,
        mountpoint=mountpoint,
        options=client.parse_options(options),
        stage=StageOrder(resume=area),
    )
    mount_staging(request, foreground=foreground, as_json=as_json)


@command.command(short_help="Make a version of a staging area without mounting it.")
@click.argument("area", metavar="ID")
@expect_option
@take_unfinished_option
@store_option
@json_option
def commit(
    *, area: str, expect: str | None, take_unfinished: bool, store: str | None, as_json: bool
) -> None:
    """Make a version of the staging area ID, which nobody has mounted, and remove it.

    A version never holds half a file: where files were open for writing when the mount ended, they
    are named, and no version is made unless they are to be taken as they are.

    \b
    Example:
      artfs staging commit 1f3a9c04
    """
    from artfs.staging.area import Area  # noqa: PLC0415 - takes long to import
    from artfs.staging.commit import commit_area, set_expected  # noqa: PLC0415 - takes long to import
    from artfs.staging.listing import AreaOutcome, write_outcome  # noqa: PLC0415 - takes long to import

    with open_repository(store) as repository, ProgressLine("committing") as bar:
        opened = Area.open(repository, area)
        dropped = False
        try:
            if take_unfinished:
                opened.contents.accept_unfinished()
            if expect is not None:
                set_expected(opened, expect)
            report = commit_area(opened, ProgressMeter(bar.show))
            artifact = opened.meta.path
            version = None if report.version is None else report.version.path
            with suppress(OSError):
                # For whoever asks for what became of the mount that it had.
                write_outcome(
                    opened.path,
                    AreaOutcome(
                        id=opened.id,
                        artifact=artifact,
                        version=version,
                        created=report.created,
                        mountpoint=opened.meta.mountpoint,
                        finished_at_ns=time.time_ns(),
                    ),
                )
            dropped = True
            lost, place = opened.lost(), opened.path
            opened.finish()
        finally:
            if not dropped:
                opened.close()
    print_outcome(artifact, version, created=report.created, as_json=as_json)
    if lost:
        print_note(f"{area} is kept: {lost_text(len(lost), place)}")


@command.command(short_help="Copy the files of a damaged staging area out of it.")
@click.argument("area", metavar="ID")
@click.argument("directory", metavar="DIRECTORY", type=click.Path(path_type=Path))
@store_option
@json_option
def salvage(*, area: str, directory: Path, store: str | None, as_json: bool) -> None:
    """Copy all content of the staging area ID into DIRECTORY, which is new or empty.

    For an area that is damaged, or has files that no name leads to any more. Files go to
    `named/PATH` where their path is known still, and to `unnamed/NUMBER` else. The area stays as it
    is. What it only shows of its base is not copied: `artfs get` has that.

    \b
    Example:
      artfs staging salvage 1f3a9c04 rescued
    """
    from artfs.staging.salvage import salvage_area  # noqa: PLC0415 - takes long to import

    with open_repository(store) as repository:
        report = salvage_area(repository.info, area, directory)
    if as_json:
        print_json({"named": report.named, "unnamed": report.unnamed})
    else:
        print_line(f"{plural(report.named, 'file')} with a name, {report.unnamed} without")


@command.command(short_help="Drop a staging area with all that is in it.")
@click.argument("area", metavar="ID")
@yes_option
@store_option
@json_option
def drop(*, area: str, yes: bool, store: str | None, as_json: bool) -> None:
    """Remove the staging area ID, which nobody has mounted, and everything in it.

    \b
    Example:
      artfs staging drop 1f3a9c04
    """
    from artfs.staging.area import drop_area  # noqa: PLC0415 - takes long to import
    from artfs.staging.listing import remove_outcome, staging_areas  # noqa: PLC0415 - takes long

    with open_repository(store) as repository:
        records = {record.meta.id: record for record in staging_areas(repository.info)}
        what = f"{area}, which is damaged"
        if (record := records.get(area)) is not None:
            what = f"{record.meta.path} with {plural(record.files, 'file')}"
        drop_area(
            repository.info,
            area,
            ask=lambda: confirm(f"Drop {what}?", yes=yes, command="staging drop"),
        )
        remove_outcome(repository.info, area)
    if as_json:
        print_json({"dropped": area})
    else:
        print_line(f"{area} is dropped")


def lost_text(count: int, area: Path) -> str:
    """What to say of files that an area has set aside."""
    return (
        f"no name leads to {plural(count, 'file')}, now in {area}/lost: "
        f"`artfs staging drop {area.name}` removes the area with them"
    )


def _damaged_value(area: DamagedArea) -> dict[str, Any]:
    fields = ("artifact", "type", "base", "mountpoint", "pid", "host", "created_at")
    return {
        "id": area.id,
        **dict.fromkeys(fields),
        "state": "damaged",
        "error": error_value(area.error),
        "files": area.files,
        "bytes": area.size_bytes,
        "lost": 0,
    }


def _damaged_row(area: DamagedArea) -> tuple[str, ...]:
    size = format_size(area.size_bytes)
    return (area.id, "-", "-", "damaged", str(area.files), size, "-", "-", "-")


def _value(record: AreaRecord) -> dict[str, Any]:
    meta = record.meta
    return {
        "id": meta.id,
        "artifact": meta.path,
        "type": meta.type,
        "base": meta.base_version,
        "mountpoint": meta.mountpoint,
        "pid": record.owner.pid if record.owner else None,
        "host": record.owner.host if record.owner else None,
        "state": record.state,
        "error": None if record.error is None else error_value(record.error),
        "created_at": iso_time(meta.created_at_ns),
        "files": record.files,
        "bytes": record.size_bytes,
        "lost": record.lost,
    }


def _row(record: AreaRecord) -> tuple[str, ...]:
    meta = record.meta
    return (
        meta.id,
        meta.path,
        meta.base_version or "-",
        record.state,
        str(record.files),
        format_size(record.size_bytes),
        format_age(meta.created_at_ns),
        meta.mountpoint or "-",
        str(record.owner.pid) if record.owner else "-",
    )
