"""`artfs ls`: projects, artifacts, versions, and the files inside a version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from artfs.cli.frame import (
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
from artfs.cli.values import entry_value, print_long_listing
from artfs.errors import DamagedRecord
from artfs.manifest.entries import DirectoryEntry, Entry

if TYPE_CHECKING:
    from artfs.catalog.records import ArtifactRecord
    from artfs.repository.facade import Repository
    from artfs.targets import Target


@click.command(short_help="List projects, artifacts, versions or the files of a version.")
@click.argument("target", required=False, metavar="[PROJECT[/NAME[:VERSION[/PATH]]]]")
@click.option("-l", "--long", is_flag=True, help="Show mode, size and time of files.")
@click.option("--digest", "digests", is_flag=True, help="Show the digests of files (with -l).")
@store_option
@json_option
def command(
    *, target: str | None, long: bool, digests: bool, store: str | None, as_json: bool
) -> None:
    """List projects; the artifacts of a PROJECT; the versions of PROJECT/NAME; or the files in
    PROJECT/NAME:VERSION and below a PATH in it.

    VERSION is an alias, vN or a digest.

    \b
    Examples:
      artfs ls
      artfs ls demo/digits
      artfs ls -l demo/digits:latest/7
    """
    with open_repository(store) as repository:
        wanted = repository.target(target, project=default_project())
        if wanted.project is None:
            _list_projects(repository, as_json=as_json)
        elif wanted.name is None:
            _list_artifacts(repository, wanted.project, as_json=as_json)
        elif wanted.selector is None:
            _list_versions(repository, f"{wanted.project}/{wanted.name}", as_json=as_json)
        else:
            _list_files(repository, wanted, long=long or digests, digests=digests, as_json=as_json)


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


def _list_artifacts(repository: Repository, project: str, *, as_json: bool) -> None:
    damaged: list[DamagedRecord] = []
    artifacts = repository.catalog.artifacts(project=project, on_damage=damaged.append)
    if not artifacts and not damaged:
        repository.require_project(project)
    if as_json:
        print_json({"project": project, "artifacts": [_artifact_value(each) for each in artifacts]})
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


def _artifact_value(artifact: ArtifactRecord) -> dict[str, Any]:
    return {
        "path": artifact.path,
        "name": artifact.name,
        "type": artifact.type,
        "is_portfolio": artifact.is_portfolio,
        "version_count": artifact.version_count,
        "created_at": iso_time(artifact.created_at_ns),
        "latest": None if artifact.latest is None else version_value(artifact.latest),
    }


def _list_versions(repository: Repository, path: str, *, as_json: bool) -> None:
    damaged: list[DamagedRecord] = []
    artifact = repository.artifact(path, on_damage=lambda _: None)
    versions = repository.catalog.versions(artifact.id, on_damage=damaged.append)
    if as_json:
        value = _artifact_value(artifact)
        print_json(value | {"versions": [version_value(each) for each in versions]})
        raise_damage(damaged)
        return
    header = ("VERSION", "FILES", "SIZE", "AGE", "DIGEST", "ALIASES")
    rows = [
        (
            each.version,
            format_count(each.file_count),
            format_size(each.size_bytes),
            format_age(each.created_at_ns),
            each.digest,
            ", ".join(each.aliases),
        )
        for each in versions
    ]
    rows += [(each.subject.rpartition(":")[2], "-", "-", "-", "damaged", "") for each in damaged]
    print_table(header, rows, right=frozenset({"FILES", "SIZE"}))
    raise_damage(damaged)


def _list_files(
    repository: Repository, target: Target, *, long: bool, digests: bool, as_json: bool
) -> None:
    version = repository.resolve(f"{target.project}/{target.name}:{target.selector}")
    found = repository.find(version.tree, target.path) if target.path else None
    entries: Iterable[Entry]
    if found is None:
        entries = repository.directory(version.tree).entries()
    elif isinstance(found, DirectoryEntry):
        entries = repository.directory(found.sha256).entries()
    else:
        entries = [found]
    if as_json:
        value = [entry_value(entry) for entry in entries]
        print_json({"version": version.path, "path": target.path, "entries": value})
    elif long:
        print_long_listing(entries, digests=digests)
    else:
        for entry in entries:
            print_line(entry.name + ("/" if isinstance(entry, DirectoryEntry) else ""))
