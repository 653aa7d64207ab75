"""`artfs rm`: delete versions, or artifacts with all their versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click
import msgspec

from artfs.cli.completing import complete_version
from artfs.cli.frame import (
    confirm,
    default_project,
    dry_run_option,
    json_option,
    open_repository,
    store_option,
    yes_option,
)
from artfs.cli.output import format_size, plural, print_json, print_line, print_note
from artfs.errors import ArtfsError, Conflict, DamagedRecord, InvalidArgument

if TYPE_CHECKING:
    from artfs.catalog.records import ArtifactRecord, VersionRecord
    from artfs.repository.facade import Repository

_NAMED = 5


@click.command(short_help="Delete versions, or artifacts with all their versions.")
@click.argument(
    "targets",
    nargs=-1,
    required=True,
    metavar="PROJECT/NAME[:VERSION]...",
    shell_complete=complete_version,
)
@click.option(
    "--keep-last",
    type=click.IntRange(min=1),
    metavar="N",
    help="Delete all but the newest N versions of each PROJECT/NAME.",
)
@yes_option
@click.option("--aliases", "with_aliases", is_flag=True, help="Also versions that have aliases.")
@dry_run_option
@store_option
@json_option
def command(
    *,
    targets: tuple[str, ...],
    keep_last: int | None,
    yes: bool,
    with_aliases: bool,
    dry_run: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Delete each PROJECT/NAME:VERSION, or PROJECT/NAME with all its versions.

    Names may be patterns (*, ? and [a-z]), in quotes. All of them are looked for first, and
    nothing is deleted where one is not there. A version with an alias besides latest is deleted
    with --aliases only: named by itself it is an error, one that a pattern or --keep-last stands
    for is kept. The number of a deleted version is never used again. `artfs gc` frees the space
    later.

    \b
    Examples:
      artfs rm demo/digits:v3
      artfs rm 'demo/digits:v[0-2]' demo/model --dry-run
      artfs rm demo/digits --keep-last 10
    """
    with open_repository(store) as repository:
        plan = _Plan(repository, with_aliases=with_aliases)
        for target in targets:
            plan.add(target, keep_last=keep_last)
        for path, named in plan.kept:
            print_note(f"artfs: {path}: kept: has {_aliases(named)}; `--aliases` deletes it")
        deleted: list[str] = []
        try:
            if plan.doomed and not dry_run:
                confirm(plan.question(), yes=yes, command="rm")
            for path, each in plan.doomed.items():
                if not dry_run:
                    each.delete()
                deleted.append(path)
        except ArtfsError:
            # What was deleted before is said, whatever went wrong then.
            if deleted:
                _print(deleted, plan, dry_run=dry_run, as_json=as_json)
            raise
    _print(deleted, plan, dry_run=dry_run, as_json=as_json)


def _print(deleted: list[str], plan: _Plan, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        kept = [path for path, _ in plan.kept]
        print_json({"deleted": deleted, "kept": kept, "dry_run": dry_run})
        return
    for path in deleted:
        done = f"Deleted {path}; `artfs gc` frees its space"
        print_line(f"Would delete {path}" if dry_run else done)
    if not deleted:
        print_line("Nothing to delete")


class _Doomed(msgspec.Struct, frozen=True):
    """What is to be deleted."""

    text: str
    """For a person."""
    delete: Callable[[], None]


class _Plan:
    """What is to be deleted, by path, before anything is."""

    def __init__(self, repository: Repository, *, with_aliases: bool) -> None:
        self._repository = repository
        self._catalog = repository.catalog
        self._with_aliases = with_aliases
        self.doomed: dict[str, _Doomed] = {}
        self.kept: list[tuple[str, list[str]]] = []

    def add(self, target: str, *, keep_last: int | None) -> None:
        """Raises: NotFound, Conflict, InvalidArgument, InvalidName."""
        from artfs.repository.name_patterns import matching  # noqa: PLC0415 - few need it
        from artfs.repository.path_filter import is_pattern  # noqa: PLC0415 - as above

        if is_pattern(target):
            found = matching(self._repository, target, project=default_project())
            artifacts, versions = found.artifacts, found.versions
        else:
            path = self._repository.meant(target, project=default_project())
            if path.selector is not None and keep_last is None:
                self._add_named(str(path))
                return
            # What is damaged goes as well.
            artifacts = [self._repository.artifact(path, on_damage=lambda _: None)]
            versions = None if path.selector is None else []
        if keep_last is not None:
            if versions is not None:
                raise InvalidArgument(target, "names a version", hint="leave --keep-last out")
            for each in artifacts:
                self._add_versions(self._catalog.versions(each.id)[keep_last:])
        elif versions is not None:
            self._add_versions(versions)
        else:
            for each in artifacts:
                self._add_artifact(each)

    def question(self) -> str:
        """Asks whether all of it may be deleted."""
        texts = [each.text for each in self.doomed.values()]
        more = f" and {len(texts) - _NAMED:,} more" if len(texts) > _NAMED else ""
        return f"Delete {', '.join(texts[:_NAMED])}{more}?"

    def _add_artifact(self, artifact: ArtifactRecord) -> None:
        text = f"{artifact.path} with {plural(artifact.version_count, 'version')}"
        delete = lambda: self._catalog.delete_artifact(artifact.id)  # noqa: E731
        self.doomed[artifact.path] = _Doomed(text, delete)

    def _add_versions(self, versions: list[VersionRecord]) -> None:
        for version in versions:
            named = _other_aliases(version)
            if named and not self._with_aliases:
                self.kept.append((version.path, named))
            else:
                self._add_version(version)

    def _add_named(self, path: str) -> None:
        try:
            version = self._repository.resolve(path)
        except DamagedRecord as error:
            if error.version_id is None:
                raise
            self._doom(error.subject, f"{error.subject}, which is damaged", error.version_id)
            return
        named = _other_aliases(version)
        if named and not self._with_aliases:
            raise Conflict(
                version.path, f"has {_aliases(named)}", hint="`--aliases` deletes it all the same"
            )
        self._add_version(version)

    def _add_version(self, version: VersionRecord) -> None:
        files, size = plural(version.file_count, "file"), format_size(version.size_bytes)
        self._doom(version.path, f"{version.path} ({files}, {size})", version.id)

    def _doom(self, path: str, text: str, version_id: str) -> None:
        delete = lambda: self._catalog.delete_version(  # noqa: E731
            version_id, delete_aliases=self._with_aliases
        )
        self.doomed[path] = _Doomed(text, delete)


def _other_aliases(version: VersionRecord) -> list[str]:
    return [alias for alias in version.aliases if alias != "latest"]


def _aliases(named: list[str]) -> str:
    return f"{plural(len(named), 'alias', 'aliases')} ({', '.join(named)})"
