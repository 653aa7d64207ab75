"""What all commands share: the store, targets, JSON values of records."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from artfs.cli.output import escaped, format_size, iso_time, plural
from artfs.errors import UNDECODABLE, ArtfsError, InvalidArgument
from artfs.model import Metadata

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from artfs.catalog.records import ArtifactRecord, CommitResult, RunRecord, VersionRecord
    from artfs.repository.facade import Repository, StoreInfo

_UNITS_S = {"": 1, "s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?) *(s|min|h|d|w|)")

store_option = click.option(
    "--store",
    metavar="URL",
    help="The store: a directory, or the URL of a shared store's catalog.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of a text."
)
# What a new version is.
type_option = click.option(
    "-t", "--type", "type_name", metavar="TYPE", help="The artifact's type (dataset)."
)
alias_option = click.option(
    "-a", "--alias", "aliases", multiple=True, metavar="ALIAS", help="An alias besides latest."
)
description_option = click.option("--description", metavar="TEXT", help="A text for people.")
metadata_option = click.option(
    "--metadata", metavar="JSON|@FILE", help="A JSON object, or a file that holds one."
)


class Duration(click.ParamType[float]):
    """A number of seconds, or of what a unit says."""

    name = "duration"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The duration in seconds."""
        if isinstance(value, (int, float)):
            return value
        match = _DURATION.fullmatch(value.strip())
        if match is None or not math.isfinite(float(match[1])):
            self.fail(f"{value!r} is no duration: write 12h, 7d or 0", param, ctx)
        return float(match[1]) * _UNITS_S[match[2]]


class TimeToLive(Duration):
    """A duration of at least a second."""

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The duration in seconds."""
        found = super().convert(value, param, ctx)
        if found < 1:
            self.fail(f"{value!r} is no time that anything could live", param, ctx)
        return found


def _read_tags(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        return ()
    from artfs.sdk.metadata import check_tags  # noqa: PLC0415 - `--help` does not need it

    return tuple(check_tags(value))


tag_option = click.option(
    "--tag", "tags", multiple=True, metavar="TAG", callback=_read_tags, help="A tag."
)
ttl_option = click.option(
    "--ttl", "ttl_s", type=TimeToLive(), metavar="TIME", help="How long it is kept: 12h, 30d."
)
link_option = click.option(
    "--link",
    is_flag=True,
    help="Hard-link large files in place of copying them; they become read-only.",
)
# How it is committed.
expect_option = click.option(
    "--expect",
    metavar="VERSION",
    help="Commit only if `latest` is this version; none: only if there is none; any: whatever.",
)
take_unfinished_option = click.option(
    "--take-unfinished",
    is_flag=True,
    help="Take files as they are that were open for writing when an earlier mount ended.",
)
staging_mount_options = click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="OPT[,OPT...]",
    help="allow_other, file_references=on|off, timeout=S.",
)
foreground_option = click.option(
    "-f", "--foreground", is_flag=True, help="Stay, and log to standard error."
)
dry_run_option = click.option("-n", "--dry-run", is_flag=True, help="Only say what would be done.")
include_option = click.option(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help="Only what matches one of these; the syntax is that of .gitignore.",
)
exclude_option = click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Leave out what matches one of these."
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


class UnaskedPath(click.ParamType[Path]):
    """A path about which no file system is asked: one that hangs would hang who wants to end it.

    click.Path asks for the status of whatever it is given.
    """

    name = "path"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """The path as it was written."""
        if "\0" in str(value):
            self.fail("a path has no NUL in it", param, ctx)
        return Path(value)


class LocalPath(click.ParamType[str]):
    """A path as it was written; a shell completes it."""

    name = "path"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002 - as above
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Leaves it to the shell."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only for completion

        return [CompletionItem(incomplete, type="file")]


def complete_mountpoint(
    context: click.Context,  # noqa: ARG001 - click's signature
    parameter: click.Parameter,  # noqa: ARG001 - as above
    incomplete: str,
) -> list[CompletionItem[str]]:
    """Where something of artfs is mounted."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only for completion

    from artfs.system.mountinfo import mounted_file_systems  # noqa: PLC0415 - as above

    places = [str(each.mountpoint) for each in mounted_file_systems() if each.is_artfs]
    found = [CompletionItem(each) for each in places if each.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="dir")]


mountpoint_argument = click.argument(
    "mountpoint", metavar="MOUNTPOINT", type=UnaskedPath(), shell_complete=complete_mountpoint
)


def confirm(question: str, *, yes: bool, command: str) -> None:
    """Go on only if a person says so, or `--yes` did.

    Raises: InvalidArgument without a terminal; click.exceptions.Exit for a no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidArgument(command, "cannot ask without a terminal", hint="say `--yes`")
    if not click.confirm(escaped(question), err=True):
        raise click.exceptions.Exit(1)


def open_repository(store: str | None, *, create: bool = False) -> Repository:
    """The store that `--store` names, or the one of the environment or configuration.

    Raises: StoreNotFound, StoreFormatError, ConfigError, PermissionDenied, BackendUnavailable.
    """
    from artfs.repository.stores import open_store  # noqa: PLC0415 - takes long to import
    from artfs.settings import store_location  # noqa: PLC0415 - `--help` does not need it

    return open_store(store_location(store), create=create)


def asked_store(store: str | None = None) -> StoreInfo | None:
    """What is known of that store, to be asked for what became of staged work; None without one."""
    with suppress(ArtfsError), open_repository(store) as repository:
        return repository.info
    return None


def default_project() -> str | None:
    """The project of names that mention none. Raises: ConfigError."""
    from artfs.settings import default_project as configured  # noqa: PLC0415 - as above

    return configured()


def raise_damage(damaged: Sequence[ArtfsError]) -> None:
    """End a command that has shown the rest, where something is damaged. Raises: the first."""
    if damaged:
        raise damaged[0]


def artifact_value(artifact: ArtifactRecord) -> dict[str, Any]:
    """An artifact as JSON shows it."""
    return {
        "path": artifact.path,
        "project": artifact.project,
        "name": artifact.name,
        "type": artifact.type,
        "is_portfolio": artifact.is_portfolio,
        "version_count": artifact.version_count,
        "created_at": iso_time(artifact.created_at_ns),
        "latest": None if artifact.latest is None else version_value(artifact.latest),
    }


def version_value(version: VersionRecord) -> dict[str, Any]:
    """A version as JSON shows it."""
    return {
        "path": version.path,
        "project": version.project,
        "name": version.name,
        "version": version.version,
        "type": version.type,
        "aliases": list(version.aliases),
        "tags": list(version.tags),
        "id": version.id,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "file_count": version.file_count,
        "description": version.description,
        "metadata": version.metadata,
        "created_at": iso_time(version.created_at_ns),
        "source": f"{version.source_project}/{version.source_name}:v{version.source_index}",
        "ttl_s": version.ttl_s,
    }


def stored_value(outcome: CommitResult, *, store_created: bool) -> dict[str, Any]:
    """What came of storing something, as JSON shows it."""
    return version_value(outcome.version) | {
        "created": outcome.created,
        "changed": list(outcome.changed),
        "store_created": store_created,
    }


def stored_text(outcome: CommitResult, more: str = "") -> str:
    """What came of storing something, in a line; `more` is about its content."""
    version = outcome.version
    size = format_size(version.size_bytes)
    content = f"{version.path}: {plural(version.file_count, 'file')}, {size}{more}"
    if outcome.created:
        return content
    set_now = f"; {' and '.join(outcome.changed)} set" if outcome.changed else ""
    return f"{content}: the same content, so no new version{set_now}"


def run_value(run: RunRecord) -> dict[str, Any]:
    """A run as JSON shows it."""
    return {
        "id": run.id,
        "name": run.name,
        "project": run.project,
        "job_type": run.job_type,
        "state": run.state.value,
        "created_at": iso_time(run.created_at_ns),
        "finished_at": None if run.finished_at_ns is None else iso_time(run.finished_at_ns),
    }


def json_object(text: str | None, *, option: str) -> Metadata:
    """The value of an option that takes JSON, `@FILE` or `@-`. Raises: InvalidArgument."""
    if text is None:
        return {}
    if text.startswith("@"):
        try:
            path = text[1:]
            text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not UTF-8"
            raise InvalidArgument(f"{option} {text}", reason) from None
    try:
        value = json.loads(text)
    except UNDECODABLE as error:
        raise InvalidArgument(option, f"is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise InvalidArgument(option, "is not a JSON object", hint='write {"key": value}')
    return value
