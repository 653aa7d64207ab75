"""`artfs export`: a version as a tar archive, or as an image in the OCI's layout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artfs.cli.completing import complete_path
from artfs.cli.frame import (
    default_project,
    exclude_option,
    include_option,
    json_option,
    open_repository,
    store_option,
)
from artfs.cli.output import OutputLost, format_size, plural, print_json, print_line
from artfs.cli.progress import ProgressLine
from artfs.errors import InvalidArgument
from artfs.system.progress import ProgressMeter

if TYPE_CHECKING:
    from artfs.catalog.records import VersionRecord
    from artfs.repository.facade import Repository
    from artfs.repository.path_filter import PathFilter
    from artfs.upkeep.exporting import Exported


@click.command(short_help="Write a version as a tar archive or an OCI image.")
@click.argument("target", metavar="PROJECT/NAME[:VERSION[/PATH]]", shell_complete=complete_path)
@click.option(
    "--tar",
    "archive",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="A tar archive, compressed where FILE ends with .gz; -: to standard output.",
)
@click.option(
    "--oci",
    "layout",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new OCI image layout with one image, whose tag is the version.",
)
@include_option
@exclude_option
@store_option
@json_option
def command(
    *,
    target: str,
    archive: Path | None,
    layout: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """Write the files of a version, or those at and below a PATH in it, into one archive, verified.

    References are read, and their content goes in. Files have their times, and the modes that a
    mount shows; the same version is always the same bytes. skopeo, umoci and oras push the image
    to a registry, from where a Kubernetes image volume mounts it.

    \b
    Examples:
      artfs export demo/digits:v0 --tar digits.tar.gz
      artfs export demo/digits:latest/train --oci ./image
    """
    from artfs.repository.path_filter import PathFilter  # noqa: PLC0415 - takes long to import

    if (archive is None) == (layout is None):
        raise InvalidArgument("export", "wants one of --tar and --oci", hint="say which")
    to_stdout = str(archive) == "-"
    if to_stdout and as_json:
        raise InvalidArgument("--tar -", "and --json both want standard output")
    with open_repository(store) as repository, ProgressLine("exporting") as progress:
        version, path = repository.locate(target, project=default_project())
        chosen = PathFilter(path, include=include, exclude=exclude)
        meter = ProgressMeter(progress.show)
        if chosen.takes_all:
            meter.expect(files=version.file_count, size_bytes=version.size_bytes)
        done = _export(repository, version, chosen, archive or layout, meter, is_tar=layout is None)
    where = "standard output" if to_stdout else str((archive or layout or Path()).absolute())
    if as_json:
        print_json(
            {
                "version": version.path,
                "path": path,
                "written": where,
                "file_count": done.files,
                "size_bytes": done.size_bytes,
                "image_digest": done.digest,
            }
        )
    elif not to_stdout:
        content = f"{plural(done.files, 'file')}, {format_size(done.size_bytes)}"
        image = f" as {version.version}, {done.digest}" if done.digest else ""
        print_line(f"{version.path}: {content} in {archive or layout}{image}")


def _export(
    repository: Repository,
    version: VersionRecord,
    chosen: PathFilter,
    place: Path | None,
    meter: ProgressMeter,
    *,
    is_tar: bool,
) -> Exported:
    from artfs.upkeep.exporting import (  # noqa: PLC0415 - slow to import
        archive_file,
        export_oci,
        export_tar,
    )

    assert place is not None
    if not is_tar:
        return export_oci(repository, version, chosen, place, meter=meter)
    if str(place) != "-":
        with archive_file(place) as file:
            return export_tar(repository, version, chosen, file, meter=meter)
    try:
        done = export_tar(repository, version, chosen, sys.stdout.buffer, meter=meter)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(error.errno, error.strerror) from None
    return done
