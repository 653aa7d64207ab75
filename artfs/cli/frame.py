"""What all commands share: the store, targets, JSON values of records."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from artfs.cli.output import iso_time
from artfs.errors import ArtfsError, ArtifactNotFound, InvalidArgument, InvalidName
from artfs.model import Metadata, check_name, parse_artifact_path

if TYPE_CHECKING:
    from artfs.catalog.records import RunRecord, VersionRecord
    from artfs.repository.facade import Repository


def open_repository(store: str | None, *, create: bool = False) -> Repository:
    """The store that `--store` names, or the one of the environment or configuration.

    Raises: StoreNotFound, StoreFormatError, ConfigError, PermissionDenied, BackendUnavailable.
    """
    from artfs.repository.opening import open_store  # noqa: PLC0415 - takes long to import
    from artfs.settings import store_location  # noqa: PLC0415 - `--help` does not need it

    return open_store(store_location(store), create=create)


def default_project() -> str | None:
    """The project of names that mention none. Raises: ConfigError."""
    from artfs.settings import default_project as configured  # noqa: PLC0415 - as above

    return configured()


class Target(msgspec.Struct, frozen=True):
    """What `[PROJECT[/NAME[:VERSION[/PATH]]]]` says; parts that it leaves out are None."""

    project: str | None = None
    name: str | None = None
    selector: str | None = None
    path: str = ""
    """Inside the version; empty for its root."""


def parse_target(text: str | None, *, entity: str) -> Target:
    """Read what `artfs ls` lists; the store's own entity may stand in front.

    Raises: InvalidName; ArtifactNotFound for another entity; ConfigError.
    """
    if not text:
        return Target()
    names, colon, rest = text.partition(":")
    selector, _, path = rest.partition("/")
    parts = names.rstrip("/").split("/")
    if len(parts) == 3:
        if parts[0] != entity:
            raise ArtifactNotFound(text, f"this store belongs to the entity {entity!r}")
        parts = parts[1:]
    if len(parts) == 1 and colon and (project := default_project()) is not None:
        parts = [project, *parts]
    if len(parts) == 1 and not colon:
        return Target(check_name(parts[0], kind="project"))
    if len(parts) != 2 or (colon and not selector):
        raise InvalidName(text, "not a target", hint="write PROJECT[/NAME[:VERSION[/PATH]]]")
    parsed = parse_artifact_path("/".join(parts) + (f":{selector}" if selector else ""))
    return Target(parsed.project, parsed.name, parsed.selector, path.rstrip("/"))


def raise_damage(damaged: Sequence[ArtfsError]) -> None:
    """End a command that has shown the rest, where something is damaged. Raises: the first."""
    if damaged:
        raise damaged[0]


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
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(option, f"is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise InvalidArgument(option, "is not a JSON object", hint='write {"key": value}')
    return value
