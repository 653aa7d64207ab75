"""What became of staged work, for whoever waited or comes later.

The mount's process leaves word beside the area (artfs/staging/listing.py); where it could not, what
is there tells.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.errors import UNDECODABLE, ArtfsError, MountError
from artfs.mounts.messages import Failure, decode_line, encode_line, mountpoint_key
from artfs.repository.facade import StoreInfo
from artfs.staging.area import staging_path
from artfs.staging.listing import AreaOutcome, last_outcome_at, read_outcome, staging_areas
from artfs.system.directories import own_directory
from artfs.system.mountinfo import locate_mountpoint
from artfs.system.user_places import log_directory

_DIRECTORY = "staged"
_SUFFIX = ".json"
_MAX_REMEMBERED = 100


class LastStaging(msgspec.Struct, frozen=True, kw_only=True):
    """The staging area that was last mounted at a place."""

    mountpoint: Path
    id: str
    artifact: str
    """`project/name`."""
    area: Path
    """The area's directory."""


def remember(last: LastStaging) -> None:
    """Keep it for whoever asks later; as well as that can be done, for nothing depends on it."""
    with suppress(OSError, ArtfsError):
        directory = log_directory() / _DIRECTORY
        own_directory(directory).close()
        path = directory / f"{mountpoint_key(last.mountpoint)}{_SUFFIX}"
        temporary = path.with_suffix(".new")
        temporary.write_bytes(encode_line(last))
        temporary.rename(path)
        found = sorted(directory.glob(f"*{_SUFFIX}"), key=lambda each: each.stat().st_mtime_ns)
        for old in found[:-_MAX_REMEMBERED]:
            old.unlink(missing_ok=True)


def last_staging(place: Path) -> LastStaging | None:
    """The area that this user last had mounted here; None where nothing is known."""
    # Who has no place for it knows nothing.
    with suppress(OSError, ArtfsError, *UNDECODABLE):
        path = log_directory() / _DIRECTORY / f"{mountpoint_key(place)}{_SUFFIX}"
        last = decode_line(path.read_bytes(), LastStaging)
        if last.mountpoint == place:
            return last
    return None


def outcome_of(mountpoint: Path, area_id: str, area: Path, *, killed: bool = False) -> AreaOutcome:
    """What came of a staging area whose process has ended."""
    outcome = read_outcome(area) if area_id else None
    if outcome is not None:
        return outcome
    why = "its process was killed" if killed else "its process ended before the version was made"
    hint = "everything is kept: see `artfs staging ls`"
    if area_id and area.exists():
        hint = f"everything is kept: `artfs staging commit {area_id}` makes a version of it"
    elif area_id:
        why = "its process ended, and could not say what became of it"
        hint = "its area was committed or dropped: `artfs ls` shows the versions"
    return AreaOutcome(
        id=area_id,
        artifact="",
        failure=(MountError.__name__, str(mountpoint), why, hint),
        finished_at_ns=time.time_ns(),
    )


def last_outcome(mountpoint: Path, store: StoreInfo | None = None) -> AreaOutcome | None:
    """What became of what was last staged at a place where nothing is mounted any more.

    A session with another HOME remembers nothing of it; `store` is then asked. None where nothing
    is known.
    """
    place = locate_mountpoint(mountpoint)
    last = last_staging(place)
    if last is not None:
        if not last.area.exists():
            return read_outcome(last.area)
        return outcome_of(mountpoint, last.id, last.area, killed=True)
    if store is None:
        return None
    for record in reversed(staging_areas(store)):
        if record.meta.mountpoint == str(place) and record.owner is None:
            area = staging_path(store) / record.meta.id
            return outcome_of(mountpoint, record.meta.id, area, killed=True)
    return last_outcome_at(store, place)


def what_became(mountpoint: Path) -> str:
    """The same in words, empty where nothing is known."""
    outcome = last_outcome(mountpoint)
    if outcome is None:
        return ""
    error = failure_of(outcome)
    if error is not None:
        return f"what was staged here last: {error}"
    if outcome.dropped:
        return "what was staged here last was dropped"
    return f"what was staged here last became {outcome.version or 'no version: it was empty'}"


def failure_of(outcome: AreaOutcome) -> ArtfsError | None:
    """The error that an outcome tells of, in its class, with its reason and hint."""
    return None if outcome.failure is None else Failure(*outcome.failure).as_error()
