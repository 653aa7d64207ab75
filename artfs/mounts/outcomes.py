"""What became of staged work, for whoever waited or comes later.

The mount's process leaves word beside the area (artfs/staging/listing.py); where it could not, what
is there tells.
"""

from __future__ import annotations

import time
from pathlib import Path

from artfs.errors import ArtfsError, MountError
from artfs.mounts.messages import Failure
from artfs.mounts.mountinfo import locate_mountpoint
from artfs.mounts.remembered import last_staging
from artfs.staging.listing import Outcome, read_outcome


def outcome_of(mountpoint: Path, area_id: str, area: Path, *, killed: bool = False) -> Outcome:
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
    return Outcome(
        id=area_id,
        artifact="",
        failure=(MountError.__name__, str(mountpoint), why, hint),
        finished_at_ns=time.time_ns(),
    )


def last_outcome(mountpoint: Path) -> Outcome | None:
    """What became of what was last staged at a place where nothing is mounted any more.

    None where nothing is known.
    """
    last = last_staging(locate_mountpoint(mountpoint))
    if last is None:
        return None
    if not last.area.exists():
        return read_outcome(last.area)
    return outcome_of(mountpoint, last.id, last.area, killed=True)


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


def failure_of(outcome: Outcome) -> ArtfsError | None:
    """The error that an outcome tells of, in its class, with its reason and hint."""
    return None if outcome.failure is None else Failure(*outcome.failure).as_error()
