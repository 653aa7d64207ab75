"""Committing, aborting and ending staging mounts, from another process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.errors import MountError
from artfs.mounts import client
from artfs.mounts.contact import ask, daemon_pidfd, ended
from artfs.mounts.messages import (
    Command,
    CommitStatus,
    Failure,
    MountState,
    MountStatus,
    StagingStatus,
)
from artfs.mounts.mountinfo import locate_mountpoint, mounted_at
from artfs.mounts.unmounting import unmount
from artfs.staging.listing import Outcome, read_outcome

_POLL_S = 0.05
_BUSY = (OSError, msgspec.DecodeError)
"""What asking a process ends with that has just ended, or takes long to answer."""

OnProgress = Callable[[CommitStatus], None]


def staging_status(mountpoint: Path) -> StagingStatus:
    """The staging area that is mounted here. Raises: MountError. Blocks: at most about 3 s."""
    status = client.status(mountpoint)
    if status.state is MountState.DEAD:
        raise MountError(
            str(mountpoint),
            "its process was killed",
            hint="everything is kept: see `artfs staging ls`",
        )
    if status.staging is None:
        raise MountError(
            str(mountpoint),
            "does not answer" if status.state is MountState.UNRESPONSIVE else "not a staging mount",
            hint="" if status.state is MountState.UNRESPONSIVE else "`artfs stage` makes one",
        )
    return status.staging


def commit(
    mountpoint: Path,
    *,
    wait_writers_s: float = 0.0,
    expect: str | None = None,
    take_unfinished: bool = False,
    on_progress: OnProgress | None = None,
) -> CommitStatus:
    """Make a version of a staging mount, which goes on.

    Blocks: until it is done. Raises: MountError; what made the commit fail.
    """
    began_at_ns = time.time_ns()
    staging = staging_status(mountpoint)
    order = Command(
        "commit",
        wait_writers_s=wait_writers_s,
        expect=expect,
        take_unfinished=take_unfinished,
    )
    place = locate_mountpoint(mountpoint)
    pidfd = daemon_pidfd(place)
    found = _commit_status(_order(place, order), place)
    question = Command("commit-status", number=found.number)
    try:
        while found.running:
            if on_progress is not None:
                on_progress(found)
            if pidfd is None or ended(pidfd, _POLL_S):
                # Somebody has unmounted it, and that made a version of it, or it was killed.
                outcome = _outcome(mountpoint, staging, began_at_ns)
                found = CommitStatus(
                    number=found.number,
                    running=False,
                    version=outcome.version,
                    created=outcome.created,
                )
                break
            with suppress(*_BUSY):
                found = _commit_status(ask(place, question), place)
    finally:
        if pidfd is not None:
            os.close(pidfd)
    if found.failure is not None:
        raise found.failure.as_error()
    return found


def is_staging(mountpoint: Path) -> bool:
    """Whether a staging area is mounted here, or was when its process was killed."""
    try:
        status = client.status(mountpoint)
    except MountError:
        return False
    if status.state is MountState.DEAD:
        mounted = mounted_at(status.mountpoint)
        return mounted is not None and mounted.is_writable
    return status.staging is not None


def abort(mountpoint: Path, *, timeout_s: float = 600.0) -> None:
    """End a staging mount and keep nothing. Blocks: at most about `timeout_s`.

    Raises: MountError.
    """
    staging_status(mountpoint)
    place = locate_mountpoint(mountpoint)
    pidfd = daemon_pidfd(place)
    try:
        _order(place, Command("abort"))
        if pidfd is not None and not ended(pidfd, timeout_s):
            raise MountError(str(mountpoint), f"did not end within {timeout_s:g} s")
    finally:
        if pidfd is not None:
            os.close(pidfd)


def finish(mountpoint: Path, *, on_progress: OnProgress | None = None) -> Outcome:
    """Unmount a staging mount, and return when it has become a version.

    Where its process was killed the mountpoint is free afterwards, too.
    Blocks: until it is committed. Raises: MountError, where it is busy or its process was killed;
    what made the commit fail: the staging area then is kept.
    """
    began_at_ns = time.time_ns()
    try:
        staging = staging_status(mountpoint)
    except MountError:
        if client.status(mountpoint).state is MountState.DEAD:
            client.stop(mountpoint)
        raise
    place = locate_mountpoint(mountpoint)
    pidfd = daemon_pidfd(place)
    unmount(place)
    if pidfd is not None:
        try:
            while not ended(pidfd, _POLL_S):
                if on_progress is not None:
                    _tell_progress(place, on_progress)
        finally:
            os.close(pidfd)
    return _outcome(mountpoint, staging, began_at_ns)


def _outcome(mountpoint: Path, staging: StagingStatus, began_at_ns: int) -> Outcome:
    """What came of a staging area whose process has ended. Raises: as `finish`."""
    outcome = read_outcome(staging.path)
    if outcome is None or outcome.finished_at_ns < began_at_ns:
        if not staging.path.exists():
            raise MountError(
                str(mountpoint),
                "its process ended, and could not say what became of it",
                hint="its area was committed or dropped: `artfs ls` shows the versions",
            )
        raise MountError(
            str(mountpoint),
            "its process ended before the version was made",
            hint=f"everything is kept: `artfs staging commit {staging.id}` makes it",
        )
    if outcome.failure is not None:
        raise Failure(*outcome.failure).as_error()
    return outcome


def _order(place: Path, command: Command) -> MountStatus:
    try:
        return ask(place, command)
    except _BUSY as error:
        raise MountError(str(place), f"does not answer ({error})") from None


def _tell_progress(place: Path, on_progress: OnProgress) -> None:
    try:
        status = ask(place, Command("status"))
    except (MountError, *_BUSY):
        # It has just ended, or is too busy: there will be another time.
        return
    if status.staging is not None and status.staging.commit is not None:
        on_progress(status.staging.commit)


def _commit_status(status: MountStatus, place: Path) -> CommitStatus:
    if status.staging is None or status.staging.commit is None:
        raise MountError(str(place), "is being unmounted, which commits it")
    return status.staging.commit
