"""`artfs ls`: projects, artifacts, versions, and the files inside a version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from artfs.cli.completing import complete_path
from artfs.cli.frame import (
    artifact_value,
    default_project,
    json_option,
    open_repository,
    raise_damage,
    store_option,
    version_value,
)
from artfs.cli.output import (
    format_age,
    format_count,
    format_size,
    iso_time,
    print_json,
    print_line,
    print_note,
    print_table,
)
from artfs.cli.values import path_value, print_long_listing
from artfs.errors import DamagedRecord, InvalidArgument
from artfs.manifest.entries import DirectoryEntry, Entry
from artfs.repository.path_filter import PathFilter, is_pattern

if TYPE_CHECKING:
    from artfs.catalog.records import ArtifactRecord, VersionRecord
    from artfs.repository.facade import Repository
    from artfs.targets import Target


@click.command(short_help="List projects, artifacts, versions or the files of a version.")
@click.argument(
    "target",
    required=False,
    metavar="[PROJECT[/NAME[:VERSION[/PATH]]]]",
    shell_complete=complete_path,
)
@click.option("-l", "--long", is_flag=True, help="Show mode, size and time of files.")
@click.option("--digest", "digests", is_flag=True, help="Show the digests of files (with -l).")
@click.option("-t", "--type", "type_name", metavar="TYPE", help="Only artifacts of this type.")
@click.option(
    "-r",
    "--recursive",
    is_flag=True,
    help="Of the store all artifacts, of a project all versions, of a version all paths.",
)
@store_option
@json_option
def command(
    *,
    target: str | None,
    long: bool,
    digests: bool,
    type_name: str | None,
    recursive: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """List projects; the artifacts of a PROJECT; the versions of PROJECT/NAME; or the files in
    PROJECT/NAME:VERSION and below a PATH in it.

    VERSION is an alias, vN or a digest.

    \b
    Examples:
      artfs ls
      artfs ls demo/digits
      artfs ls -l demo/digits:latest/7
      artfs ls -t model
      artfs ls -r demo/digits:latest
    """
    with open_repository(store) as repository:
        wanted = repository.target(target, project=default_project())
        if wanted.name is not None and type_name is not None:
            raise InvalidArgument(
                str(target), "is one artifact", hint="-t chooses among those of a project"
            )
        if wanted.name is None and (recursive or type_name is not None):
            _list_all(repository, wanted.project, type_name, recursive=recursive, as_json=as_json)
        elif wanted.project is None:
            _list_projects(repository, as_json=as_json)
        elif wanted.name is None:
            _list_artifacts(repository, wanted.project, None, as_json=as_json)
        elif wanted.selector is None:
            _list_versions(repository, [f"{wanted.project}/{wanted.name}"], as_json=as_json)
        else:
            show = _Show(long=long or digests, digests=digests, as_json=as_json)
            _list_files(repository, wanted, show, recursive=recursive)


class _Show(msgspec.Struct, frozen=True):
    """How files are shown."""

    long: bool
    digests: bool
    as_json: bool


def _list_all(
    repository: Repository,
    project: str | None,
    type_name: str | None,
    *,
    recursive: bool,
    as_json: bool,
) -> None:
    if project is None or not recursive:
        _list_artifacts(repository, project, type_name, as_json=as_json)
        return
    repository.require_project(project)
    damaged: list[DamagedRecord] = []
    found = repository.catalog.artifacts(
        project=project, type_name=type_name, on_damage=damaged.append
    )
    _list_versions(repository, [each.path for each in found], as_json=as_json, project=project)
    raise_damage(damaged)


def _list_projects(repository: Repository, *, as_json: bool) -> None:
    damaged: list[DamagedRecord] = []
    projects = repository.catalog.projects(on_damage=damaged.append)
    if as_json:
        value = [
            {
                "name": project.name,
                "artifact_count": project.artifact_count,
                "created_at": iso_time(project.created_at_ns),
            }
            for project in projects
        ]
        print_json({"store": repository.info.location, "projects": value})
    elif projects:
        rows = [
            (each.name, format_count(each.artifact_count), format_age(each.created_at_ns))
            for each in projects
        ]
        print_table(("PROJECT", "ARTIFACTS", "AGE"), rows, right=frozenset({"ARTIFACTS"}))
    elif not damaged:
        print_note(f"{repository.info.location} is empty: `artfs put` fills it")
    raise_damage(damaged)


def _list_artifacts(
    repository: Repository, project: str | None, type_name: str | None, *, as_json: bool
) -> None:
    damaged: list[DamagedRecord] = []
    artifacts = repository.catalog.artifacts(
        project=project, type_name=type_name, on_damage=damaged.append
    )
    if not artifacts and not damaged and project is not None:
        repository.require_project(project)
    if as_json:
        print_json({"project": project, "artifacts": [artifact_value(each) for each in artifacts]})
        raise_damage(damaged)
        return
    header = ("ARTIFACT", "TYPE", "LATEST", "FILES", "SIZE", "AGE", "ALIASES")
    rows = [_artifact_row(each) for each in artifacts]
    print_table(header, rows, right=frozenset({"FILES", "SIZE"}))
    raise_damage(damaged)


def _artifact_row(artifact: ArtifactRecord) -> tuple[str, ...]:
    latest = artifact.latest
    if latest is None:
        return (artifact.path, artifact.type, "-", "-", "-", format_age(artifact.created_at_ns), "")
    return (
        artifact.path,
        artifact.type,
        latest.version,
        format_count(latest.file_count),
        format_size(latest.size_bytes),
        format_age(latest.created_at_ns),
        ", ".join(latest.aliases),
    )


def _list_versions(
    repository: Repository, paths: list[str], *, as_json: bool, project: str | None = None
) -> None:
    """The versions of one artifact, or of all those of a project."""
    damaged: list[DamagedRecord] = []
    found = []
    for path in paths:
        artifact = repository.artifact(path, on_damage=lambda _: None)
        found.append((artifact, repository.catalog.versions(artifact.id, on_damage=damaged.append)))
    if as_json:
        values = [
            artifact_value(artifact) | {"versions": [version_value(each) for each in versions]}
            for artifact, versions in found
        ]
        print_json(values[0] if project is None else {"project": project, "artifacts": values})
        raise_damage(damaged)
        return
    header = ("VERSION", "FILES", "SIZE", "AGE", "DIGEST", "ALIASES")
    rows = [
        (
            each.version if project is None else each.path,
            format_count(each.file_count),
            format_size(each.size_bytes),
            format_age(each.created_at_ns),
            each.digest,
            ", ".join(each.aliases),
        )
        for _, versions in found
        for each in versions
    ]
    rows += [
        (
            each.subject.rpartition(":")[2] if project is None else each.subject,
            *("-", "-", "-", "damaged", ""),
        )
        for each in damaged
    ]
    print_table(header, rows, right=frozenset({"FILES", "SIZE"}))
    raise_damage(damaged)


def _list_files(repository: Repository, target: Target, show: _Show, *, recursive: bool) -> None:
    version = repository.resolve(f"{target.project}/{target.name}:{target.selector}")
    if recursive or is_pattern(target.path):
        chosen = PathFilter(target.path)
        entries: list[tuple[str, Entry]] = [*chosen.select(repository.directory, version.tree)]
    else:
        entries = list(_directly_in(repository, version, target.path))
    if show.as_json:
        value = [path_value(path, entry) for path, entry in entries]
        print_json({"version": version.path, "path": target.path, "entries": value})
        return
    # Named by their paths where they may be of several directories.
    by_path = recursive or is_pattern(target.path)
    named = [(path if by_path else entry.name, entry) for path, entry in entries]
    if show.long:
        print_long_listing(named, digests=show.digests)
    else:
        for name, entry in named:
            print_line(name + ("/" if isinstance(entry, DirectoryEntry) else ""))


def _directly_in(
    repository: Repository, version: VersionRecord, path: str
) -> Iterator[tuple[str, Entry]]:
    found: Entry = repository.find(version.tree, path) if path else version.root
    if not isinstance(found, DirectoryEntry):
        yield path, found
        return
    prefix = f"{path}/" if path else ""
    for entry in repository.directory(found.sha256).entries():
        yield prefix + entry.name, entry
