"""Ending a mount: here, in its process, and with that wherever else it is mounted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from artfs.errors import MountError
from artfs.mounts.contact import (
    ANSWER_TIMEOUT_S,
    NO_ANSWER,
    ActiveMount,
    ask,
    ended,
    is_dead,
    look,
    serves_fuse,
)
from artfs.mounts.daemons import Daemon
from artfs.mounts.holders import Process, holders, named, users, users_elsewhere
from artfs.mounts.messages import Command, MountStatus, socket_path
from artfs.system.mountinfo import mounted_at

_POLL_S = 0.05
Watch = Callable[[MountStatus], None]


def unmount(place: Path, *, lazy: bool = False) -> None:
    """Unmount what nobody uses; with `lazy` also what is in use.

    Raises: MountError, which names who uses it.
    """
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", str(place)]
    try:
        # From elsewhere, with nothing of ours: it must not be a user of what it unmounts.
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd="/"
        )
    except FileNotFoundError:
        raise MountError("fusermount3", "not installed", hint="install the package fuse3") from None
    if done.returncode == 0 or mounted_at(place) is None:
        return
    message = done.stderr.strip().removeprefix("fusermount3: ")
    if "busy" not in message.lower():
        raise MountError(str(place), message or "fusermount3 failed")
    raise busy(place, users(place))


def busy(place: Path, processes: Iterable[Process]) -> MountError:
    """What is said of a mount that somebody uses."""
    who = named(processes)
    return MountError(
        str(place),
        f"busy, in use by {who}" if who else "busy, something in it is open",
        hint="end that, or use `artfs umount --force`",
    )


def end(
    found: ActiveMount,
    *,
    force: bool = False,
    timeout_s: float | None = 30.0,
    watch: Watch | None = None,
) -> list[Process]:
    """Unmount, and return when the mount's process has ended: who held it in other namespaces.

    With `force` also while it is in use: open files then answer ENOTCONN. A staging mount that
    answers is waited for as long as it takes to commit.
    Blocks: at most about `timeout_s`, where there is one. Raises: MountError, where it is busy
    (the users are named), is another user's, or its process does not end.
    """
    place, daemon, device = found.place, found.daemon, found.device
    if not found.is_ours:
        raise MountError(str(place), f"belongs to another user (uid {found.owner})")
    pidfd = None if daemon is None else daemon.open_pidfd()
    if daemon is None or pidfd is None:
        if found.mounted is not None:
            _check_dead(found)
            if _is_there(found):
                unmount(place, lazy=True)
        socket_path(place).unlink(missing_ok=True)
        return []
    held: list[Process] = []
    may_signal = serves_fuse(pidfd)
    try:
        if device is not None:
            held = holders(device, daemon.pid)
            if not force and (there := users_elsewhere(device, daemon.pid)):
                raise busy(place, there)
        if found.mounted is not None:
            if held and not force:
                _write_back(place)
            unmount(place, lazy=force)
        _tell(daemon, pidfd, signal_it=force and may_signal)
        if not _has_ended(
            daemon, pidfd, kill=force and may_signal, timeout_s=timeout_s, watch=watch
        ):
            raise MountError(
                str(place),
                f"unmounted, but its process (pid {daemon.pid}) did not end within {timeout_s:g} s"
                + (f"; mounted still for {named(held)}" if held else ""),
                hint="`artfs umount --force` ends it",
            )
    finally:
        os.close(pidfd)
    clean_up(place, device)
    return holders(device, daemon.pid) if device is not None and held else []


def _check_dead(found: ActiveMount) -> None:
    """Check that nobody serves a mount whose process is not to be found.

    To unmount it here would end it nowhere else, and what became of it nobody could tell.
    Raises: MountError.
    """
    deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
    while _is_there(found) and not is_dead(found):
        # One that is being killed just now is gone from /proc before its mount is dead.
        if time.monotonic() >= deadline_s:
            raise MountError(
                str(found.place),
                "its process cannot be seen from here, as in another PID namespace",
                hint="unmount it where that process runs; `fusermount3 -uz` takes it away here",
            )
        time.sleep(_POLL_S)


def _is_there(found: ActiveMount) -> bool:
    mounted = mounted_at(found.place)
    return mounted is not None and mounted.device == found.device


def _write_back(place: Path) -> None:
    """Let the kernel give its process what others have mapped and changed."""
    with suppress(subprocess.TimeoutExpired, OSError):
        command = ["sync", "-f", "--", str(place)]
        subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
        )


def _tell(daemon: Daemon, pidfd: int, *, signal_it: bool) -> None:
    """Say that it is to end: where another namespace has it mounted, the kernel does not say so."""
    with suppress(ProcessLookupError):
        if signal_it:
            # A process that hangs takes no order from its socket.
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        else:
            with suppress(MountError, *NO_ANSWER):
                ask(daemon, Command("stop"))


def _has_ended(
    daemon: Daemon, pidfd: int, *, kill: bool, timeout_s: float | None, watch: Watch | None
) -> bool:
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    while not ended(pidfd, _POLL_S):
        late = deadline_s is not None and time.monotonic() >= deadline_s
        if watch is None and not late:
            continue
        status = _status(daemon)
        if status is not None and watch is not None:
            watch(status)
        if not late:
            continue
        if status is not None and status.staging is not None:
            # It is making a version.
            continue
        if not kill:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        ended(pidfd, timeout_s or 0)
        return True
    return True


def _status(daemon: Daemon) -> MountStatus | None:
    with suppress(MountError, *NO_ANSWER):
        return ask(daemon, Command("status"))
    return None


def clean_up(place: Path, device: str | None) -> None:
    """Remove what a killed process left: its socket, and its mount where that was not ours yet."""
    with suppress(MountError):
        left = look(place)
        # Its number alone says little: what is there by now may be another one's, who has it again.
        if (
            left is not None
            and left.mounted is not None
            and left.mounted.device == device
            and left.daemon is None
        ):
            unmount(place, lazy=True)
    with suppress(OSError):
        found = look(place)
        if found is None:
            socket_path(place).unlink(missing_ok=True)
