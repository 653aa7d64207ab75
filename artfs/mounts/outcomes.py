"""What became of staged work, for whoever waited or comes later.

The mount's process leaves word beside the area (artfs/staging/listing.py); where it could not, what
is there tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.errors import UNDECODABLE, ArtfsError, MountError
from artfs.mounts.daemons import OVER, daemons
from artfs.mounts.messages import Failure, decode_line, encode_line, mountpoint_key
from artfs.repository.facade import StoreInfo
from artfs.staging.area import staging_path
from artfs.staging.listing import AreaOutcome, last_outcome_at, read_outcome, staging_areas
from artfs.system.directories import own_directory
from artfs.system.mountinfo import MountedFileSystem, locate_mountpoint, mounted_at
from artfs.system.user_places import log_directory

_DIRECTORY = "staged"
_SUFFIX = ".json"
_MAX_REMEMBERED = 200
AskStore = Callable[[], StoreInfo | None]
"""Finds the store that may know of an area; None where there is none to be asked."""


class LastStaging(msgspec.Struct, frozen=True, kw_only=True):
    """The staging area that was last mounted at a place."""

    mountpoint: Path
    id: str
    area: Path
    """The area's directory."""


def no_store() -> None:
    """Knows nothing of what another session of the same user remembers."""


def remember(last: LastStaging) -> None:
    """Keep it for whoever asks later; as well as that can be done, for nothing depends on it.

    It is found by the mountpoint, and by the area, which a mount that is left says itself.
    """
    with suppress(OSError, ArtfsError):
        path = log_directory() / _DIRECTORY
        with own_directory(path) as directory:
            for key in (mountpoint_key(last.mountpoint), last.id):
                directory.replace(f"{key}{_SUFFIX}", encode_line(last))
        found = sorted(path.glob(f"*{_SUFFIX}"), key=lambda each: each.stat().st_mtime_ns)
        for old in found[:-_MAX_REMEMBERED]:
            old.unlink(missing_ok=True)


def last_staging(
    place: Path, mounted: MountedFileSystem | None, ask: AskStore = no_store
) -> LastStaging | None:
    """The area of the staging mount that is at a place, or was; None where nothing is known.

    What is mounted, however it came there, says itself which area it is. Without that it is what
    was last staged here. `ask` gives the store to be asked where this session remembers nothing:
    it may be another user's, or one with another HOME.
    """
    area_id = None if mounted is None else mounted.area_id
    last = _remembered(mountpoint_key(place) if area_id is None else area_id)
    if last is not None and (last.mountpoint == place if area_id is None else last.id == area_id):
        return last
    store = ask()
    if store is None:
        return None
    if area_id is None:
        area_id = _last_id_at(store, place)
    area = staging_path(store) / (area_id or "")
    if area_id is None or not (area.exists() or read_outcome(area) is not None):
        return None
    return LastStaging(mountpoint=place, id=area_id, area=area)


def _remembered(key: str) -> LastStaging | None:
    # Who has no place for it knows nothing.
    with suppress(OSError, ArtfsError, *UNDECODABLE):
        path = log_directory() / _DIRECTORY / f"{key}{_SUFFIX}"
        return decode_line(path.read_bytes(), LastStaging)
    return None


def _last_id_at(store: StoreInfo, place: Path) -> str | None:
    for record in reversed(staging_areas(store)):
        if record.meta.mountpoint == str(place) and record.owner is None:
            return record.meta.id
    outcome = last_outcome_at(store, place)
    return None if outcome is None else outcome.id


def outcome_of(
    mountpoint: Path,
    last: LastStaging | None,
    *,
    mounted: MountedFileSystem | None = None,
    killed: bool = False,
) -> AreaOutcome:
    """What came of a staging area whose process has ended; `mounted`: what is left at the place."""
    area_id = (mounted and mounted.area_id) or ""
    if last is not None:
        outcome, area_id = read_outcome(last.area), last.id
        if outcome is not None:
            return outcome
    why = "its process was killed" if killed else "its process ended, and did not say what it made"
    if last is None:
        why = "its process ended, and what became of the work is not known here"
        hint = f"`artfs staging ls` of its store tells of the area {area_id}".rstrip()
        if not area_id:
            hint = "`artfs staging ls` of its store tells what was kept, and what became a version"
    elif (again := _staged_again(last, mounted)) is not None:
        hint = f"everything is kept: it is staged on {again} again"
    elif not last.area.parent.is_dir():
        why = "its process ended, and the place of its work is gone"
        hint = (
            f"is the disk of {last.area.parent} mounted? Once it is, `artfs staging ls` tells what "
            f"was kept of the area {area_id}"
        )
    elif last.area.exists():
        # It may have made the version and died before it could say so.
        hint = (
            f"everything is kept: `artfs staging commit {area_id}` makes a version of it, "
            "or finds the one that was made"
        )
    else:
        why = "its process ended, and could not say what became of it"
        hint = "its area was committed or dropped: `artfs ls` shows the versions"
    return AreaOutcome(
        id=area_id,
        artifact="",
        failure=(MountError.__name__, str(mountpoint), why, hint),
        finished_at_ns=time.time_ns(),
    )


def _staged_again(last: LastStaging, mounted: MountedFileSystem | None) -> Path | None:
    """Where another mount has the area by now."""
    left = OVER if mounted is None else mounted.device
    for each in daemons():
        if each.record.area == last.area and each.record.device not in {None, OVER, left}:
            return each.record.mountpoint
    return None


def last_outcome(mountpoint: Path, ask: AskStore = no_store) -> AreaOutcome | None:
    """What became of what was last staged at a place where no process serves it any more.

    `ask` as for `last_staging`. None where nothing is known.
    """
    place = locate_mountpoint(mountpoint)
    mounted = mounted_at(place)
    if mounted is not None and not mounted.is_artfs:
        mounted = None
    last = last_staging(place, mounted, ask)
    if last is not None and (mounted is not None or last.area.exists()):
        return outcome_of(mountpoint, last, mounted=mounted, killed=True)
    if last is not None:
        return read_outcome(last.area)
    return None if mounted is None else outcome_of(mountpoint, None, mounted=mounted)


def what_became(mountpoint: Path) -> str:
    """The same in words, empty where nothing is known."""
    outcome = last_outcome(mountpoint)
    if outcome is None:
        return ""
    error = failure_of(outcome)
    return f"what was staged here last: {error}" if error is not None else said_of(outcome)


def said_of(outcome: AreaOutcome) -> str:
    """What came of work with which nothing was wrong."""
    if outcome.dropped:
        return "what was staged here last was dropped"
    return f"what was staged here last became {outcome.version or 'no version: it was empty'}"


def failure_of(outcome: AreaOutcome) -> ArtfsError | None:
    """The error that an outcome tells of, in its class, with its reason and hint."""
    return None if outcome.failure is None else Failure(*outcome.failure).as_error()
