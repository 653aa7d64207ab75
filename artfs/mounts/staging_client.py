"""Committing, aborting and ending staging mounts, from another process."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.errors import ArtfsError, MountError
from artfs.mounts import client
from artfs.mounts.contact import (
    ANSWER_TIMEOUT_S,
    NO_ANSWER,
    ActiveMount,
    ask,
    ended,
    look,
    mount_status,
)
from artfs.mounts.daemons import Daemon
from artfs.mounts.ending import clean_up, end
from artfs.mounts.messages import Command, CommitStatus, MountState, MountStatus, StagingStatus
from artfs.mounts.outcomes import (
    AskStore,
    LastStaging,
    failure_of,
    last_outcome,
    last_staging,
    no_store,
    outcome_of,
    remember,
    said_of,
)
from artfs.staging.listing import AreaOutcome
from artfs.system.progress import OnProgress

_POLL_S = 0.05


def staging_status(mountpoint: Path) -> StagingStatus:
    """The staging area that is mounted here. Raises: MountError. Blocks: as `contact.ask`."""
    return _asked(mountpoint)[0]


def _staging(mountpoint: Path, status: MountStatus) -> StagingStatus:
    if status.state is MountState.DEAD and status.kind == "stage":
        outcome = last_outcome(mountpoint)
        hint = "" if outcome is None else said_of(_raised(outcome))
        raise MountError(str(mountpoint), "its mount has ended", hint=hint)
    if status.state is MountState.FOREIGN:
        raise MountError(str(mountpoint), f"belongs to another user (uid {status.owner})")
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
    staging, daemon = _asked(mountpoint)
    order = Command(
        "commit",
        wait_writers_s=wait_writers_s,
        expect=expect,
        take_unfinished=take_unfinished,
    )
    place = daemon.record.mountpoint
    pidfd = daemon.open_pidfd()
    found = _commit_status(_order(daemon, order), place)
    question = Command("commit-status", number=found.number)
    try:
        while found.running:
            if on_progress is not None:
                on_progress(found.progress)
            if pidfd is None or ended(pidfd, _POLL_S):
                # Somebody has unmounted it, and that made a version of it, or it was killed.
                outcome = _raised(outcome_of(mountpoint, _last(staging, place)))
                found = CommitStatus(
                    number=found.number,
                    running=False,
                    version=outcome.version,
                    created=outcome.created,
                )
                break
            with suppress(*NO_ANSWER):
                found = _commit_status(ask(daemon, question), place)
    finally:
        if pidfd is not None:
            os.close(pidfd)
    if found.failure is not None:
        raise found.failure.as_error()
    return found


def is_staging(mountpoint: Path) -> bool:
    """Whether a staging area is mounted here, or was when its process was killed."""
    try:
        found = look(mountpoint)
    except MountError:
        return False
    if found is None:
        return False
    if found.is_stage:
        return True
    # One of another PID namespace, which shows no mark.
    return mount_status(found).staging is not None


def abort(mountpoint: Path, *, timeout_s: float = 600.0) -> None:
    """End a staging mount and keep nothing. Blocks: at most about `timeout_s`.

    Raises: MountError.
    """
    found, status = _settled(mountpoint, patience_s=ANSWER_TIMEOUT_S)
    staging, daemon = _served(mountpoint, found, status)
    remember(_last(staging, found.place))
    pidfd = daemon.open_pidfd()
    try:
        _order(daemon, Command("abort"))
        if pidfd is not None and not ended(pidfd, timeout_s):
            raise MountError(str(mountpoint), f"did not end within {timeout_s:g} s")
    finally:
        if pidfd is not None:
            os.close(pidfd)
    # Its process has freed the place where it mounted; it may have been moved since.
    clean_up(found.place, found.device)


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a staging mount that was ended, and of the work in it."""

    outcome: AreaOutcome
    held_by: tuple[str, ...] = ()
    """Processes of other mount namespaces, where it now answers ENOTCONN."""

    @property
    def error(self) -> ArtfsError | None:
        """Why the work was kept without a version; None where it was not."""
        return failure_of(self.outcome)


def conclude(
    mountpoint: Path,
    *,
    force: bool = False,
    timeout_s: float = 30.0,
    on_progress: OnProgress | None = None,
    ask: AskStore = no_store,
) -> Ending:
    """End a staging mount, and say what became of the work; `force` as for `end`.

    `ask` as for `outcomes.last_staging`.
    Blocks: until it is committed. Raises: MountError where it is busy, or is none of ours.
    """
    found, status = _settled(mountpoint, patience_s=0.0 if force else ANSWER_TIMEOUT_S)
    if not force and status.state is MountState.UNRESPONSIVE:
        _staging(mountpoint, status)
    last = _area_of(found, status, mountpoint, ask)
    if last is not None:
        # Whoever asks later where it was moved or bound to is told as well.
        remember(last)

    def watch(now: MountStatus) -> None:
        if on_progress is not None and now.staging is not None and now.staging.commit is not None:
            on_progress(now.staging.commit.progress)

    # Without force it may take as long as it takes: nothing is to be lost.
    held = end(found, force=force, timeout_s=timeout_s if force else None, watch=watch)
    killed = status.state is MountState.DEAD
    outcome = outcome_of(mountpoint, last, mounted=found.mounted, killed=killed)
    return Ending(outcome=outcome, held_by=tuple(map(str, held)))


def finish(mountpoint: Path, *, on_progress: OnProgress | None = None) -> AreaOutcome:
    """Unmount a staging mount, and return when it has become a version.

    Where its process was killed the mountpoint is free afterwards, too.
    Blocks: until it is committed. Raises: MountError, where it is busy or its process was killed;
    what made the commit fail: the staging area then is kept.
    """
    return _raised(conclude(mountpoint, on_progress=on_progress).outcome)


def _raised(outcome: AreaOutcome) -> AreaOutcome:
    error = failure_of(outcome)
    if error is not None:
        raise error
    return outcome


def _asked(mountpoint: Path) -> tuple[StagingStatus, Daemon]:
    """A staging mount, and whom to ask. Raises: MountError."""
    return _served(mountpoint, *_settled(mountpoint, patience_s=ANSWER_TIMEOUT_S))


def _served(
    mountpoint: Path, found: ActiveMount, status: MountStatus
) -> tuple[StagingStatus, Daemon]:
    staging = _staging(mountpoint, status)
    assert found.daemon is not None
    return staging, found.daemon


def _settled(mountpoint: Path, *, patience_s: float) -> tuple[ActiveMount, MountStatus]:
    """A mount, and how it is: one whose process is just being killed does not answer for a moment.

    Raises: MountError.
    """
    deadline_s = time.monotonic() + patience_s
    while True:
        found = look(mountpoint)
        if found is None:
            raise client.nothing_here(mountpoint)
        status = mount_status(found)
        left_s = deadline_s - time.monotonic()
        if status.state is not MountState.UNRESPONSIVE or left_s <= 0:
            return found, status
        pidfd = None if found.daemon is None else found.daemon.open_pidfd()
        if pidfd is None:
            time.sleep(_POLL_S)
        else:
            try:
                ended(pidfd, left_s)
            finally:
                os.close(pidfd)


def _area_of(
    found: ActiveMount, status: MountStatus, mountpoint: Path, ask: AskStore
) -> LastStaging | None:
    """Its area, whoever can tell of it. Raises: MountError."""
    if status.staging is not None:
        return _last(status.staging, found.place)
    if found.daemon is not None and (area := found.daemon.record.area) is not None:
        return LastStaging(mountpoint=found.place, id=area.name, area=area)
    if not found.is_stage:
        _staging(mountpoint, status)
    last = last_staging(found.place, found.mounted, ask)
    return None if last is None else msgspec.structs.replace(last, mountpoint=found.place)


def _last(staging: StagingStatus, place: Path) -> LastStaging:
    return LastStaging(mountpoint=place, id=staging.id, area=staging.path)


def _order(daemon: Daemon, command: Command) -> MountStatus:
    try:
        return ask(daemon, command)
    except NO_ANSWER as error:
        raise MountError(str(daemon.record.mountpoint), f"does not answer ({error})") from None


def _commit_status(status: MountStatus, place: Path) -> CommitStatus:
    if status.staging is None or status.staging.commit is None:
        raise MountError(str(place), "is being unmounted, which commits it")
    return status.staging.commit
