"""Entries of directories, as a person and as JSON sees them."""

from __future__ import annotations

import pwd
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from artfs.cli.output import error_value, format_size, iso_time, print_json, print_line, print_table
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, ReferenceEntry
from artfs.mounts.messages import MountStatus


def print_long_listing(entries: Iterable[tuple[str, Entry]], *, digests: bool) -> None:
    """Print named entries as `ls -l` does; with `digests` also the W&B digests of files."""
    header = ("MODE", "SIZE", "MODIFIED", *(["DIGEST"] if digests else []), "NAME")
    rows = []
    for called, entry in entries:
        mode, size, modified, digest, name = _long_row(entry, called)
        rows.append((mode, size, modified, *([digest] if digests else []), name))
    print_table(header, rows, right=frozenset({"SIZE"}))


def _long_row(entry: Entry, name: str) -> tuple[str, str, str, str, str]:
    if isinstance(entry, FileEntry):
        mode = "-rwxr-xr-x" if entry.executable else "-rw-r--r--"
        size = format_size(entry.size_bytes)
        return mode, size, _local_time(entry.mtime_ns), entry.digest, name
    if isinstance(entry, ReferenceEntry) and entry.is_server_file:
        size = "-" if entry.size_bytes is None else format_size(entry.size_bytes)
        return "-rw-r--r--", size, _local_time(entry.mtime_ns), entry.digest, name
    if isinstance(entry, ReferenceEntry):
        size = "-" if entry.size_bytes is None else format_size(entry.size_bytes)
        modified = _local_time(entry.mtime_ns) if entry.mtime_ns else "-"
        unverified = "" if entry.pin.proof != "none" else " (unverified)"
        name = f"{name} -> {entry.uri}{unverified}"
        return "-rw-r--r--", size, modified, entry.digest, name
    if isinstance(entry, DirectoryEntry):
        return "drwxr-xr-x", format_size(entry.size_bytes), "-", "-", f"{name}/"
    return "lrwxrwxrwx", "-", "-", "-", f"{name} -> {entry.target}"


def _local_time(at_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_ns / 1e9))


def entry_value(entry: Entry) -> dict[str, Any]:
    """An entry as JSON shows it."""
    if isinstance(entry, FileEntry):
        return {
            "name": entry.name,
            "kind": "file",
            "size_bytes": entry.size_bytes,
            "digest": entry.digest,
            "sha256": entry.sha256.hex(),
            "executable": entry.executable,
            "modified_at": iso_time(entry.mtime_ns),
        }
    if isinstance(entry, ReferenceEntry):
        return {
            "name": entry.name,
            "kind": "file" if entry.is_server_file else "reference",
            "size_bytes": entry.size_bytes,
            "digest": entry.digest,
            "uri": entry.uri,
            "modified_at": iso_time(entry.mtime_ns) if entry.mtime_ns else None,
            "pinned": entry.pin.proof,
        }
    if isinstance(entry, DirectoryEntry):
        return {
            "name": entry.name,
            "kind": "directory",
            "size_bytes": entry.size_bytes,
            "file_count": entry.file_count,
        }
    return {"name": entry.name, "kind": "symlink", "size_bytes": None, "target": entry.target}


def path_value(path: str, entry: Entry) -> dict[str, Any]:
    """What is at a path in a version, as JSON shows it."""
    return {"path": path} | entry_value(entry)


def mounted_name(status: MountStatus) -> str:
    """What a mount shows, for a person."""
    if status.store is None:
        return "-"
    return status.version or status.target or f"the store {status.store}"


def mount_value(status: MountStatus) -> dict[str, Any]:
    """A mount as JSON shows it."""
    value: dict[str, Any] = msgspec.to_builtins(status, enc_hook=str)
    value["started_at"] = _iso_of(value.pop("started_at_s"))
    if value["staging"] is not None:
        staging = value["staging"]
        staging["created_at"] = _iso_of(staging.pop("created_at_s"))
        commit = staging["commit"]
        if commit is not None:
            failure = status.staging.commit.failure  # type: ignore[union-attr] # as just looked at
            del commit["failure"]
            commit["error"] = None if failure is None else error_value(failure.as_error())
    return value


def _iso_of(at_s: float | None) -> str | None:
    return None if at_s is None else iso_time(int(at_s * 1e9))


def owner_name(status: MountStatus) -> str:
    """Who mounted it: a user's name, or the number of one without."""
    if status.owner is None:
        return "-"
    try:
        return pwd.getpwuid(status.owner).pw_name
    except KeyError:
        return str(status.owner)


def outcome_text(artifact: str, version: str | None, *, created: bool) -> str:
    """What came of a commit, for a person."""
    if version is None:
        return f"{artifact}: nothing was staged, so no new version"
    return version if created else f"{version}: nothing changed, so no new version"


def print_outcome(
    artifact: str,
    version: str | None,
    *,
    created: bool,
    as_json: bool,
    besides: dict[str, Any] | None = None,
) -> None:
    """Print what came of a commit; `besides` goes into the JSON document."""
    if as_json:
        value = {"artifact": artifact, "version": version, "created": created}
        print_json(value | (besides or {}))
    else:
        print_line(outcome_text(artifact, version, created=created))
