"""What is mounted at a place and whose process that is; asking that process."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import subprocess
from pathlib import Path

import msgspec

from artfs.errors import UNDECODABLE, MountError
from artfs.mounts.daemons import OVER, Daemon, find_daemon
from artfs.mounts.holders import holders
from artfs.mounts.messages import (
    Command,
    MountState,
    MountStatus,
    Reply,
    decode_line,
    encode_line,
)
from artfs.system.mountinfo import MountedFileSystem, locate_mountpoint, mounted_at

ANSWER_TIMEOUT_S = 8.0
"""How long a process may be silent. One that is busy is not: it says that it works."""
_FUSE_DEVICE = "/dev/fuse"
_NOBODY_SERVES = (errno.ENOTCONN, errno.ECONNABORTED)
NO_ANSWER = (OSError, *UNDECODABLE)
"""What asking a process ends with that has just ended, or takes long to answer."""


class ActiveMount(msgspec.Struct, frozen=True):
    """A mount of artfs at a place."""

    place: Path
    mounted: MountedFileSystem | None
    """None where it is not mounted in this mount namespace, or not any more."""
    daemon: Daemon | None
    """None where nobody serves it, or who does is not ours to ask."""

    @property
    def device(self) -> str | None:
        """`major:minor`, where it is known."""
        if self.mounted is not None:
            return self.mounted.device
        return None if self.daemon is None else self.daemon.record.device or None

    @property
    def owner(self) -> int | None:
        """The uid of who mounted it."""
        if self.daemon is not None:
            return self.daemon.uid
        return None if self.mounted is None else self.mounted.owner

    @property
    def is_stage(self) -> bool:
        """Whether it is a staging mount, also where nobody serves it any more."""
        if self.daemon is not None and self.daemon.record.area is not None:
            return True
        # That it is one artfs says of its mounts; an earlier one did not, but only these are `rw`.
        found = self.mounted
        return found is not None and (found.area_id is not None or found.is_writable)

    @property
    def is_ours(self) -> bool:
        """Whether we may ask and end it."""
        return os.geteuid() in {0, self.owner, self.daemon and self.daemon.uid}


def look(mountpoint: Path) -> ActiveMount | None:
    """The mount of artfs at a path, mounted here or elsewhere.

    Raises: MountError where something else is mounted.
    """
    place = locate_mountpoint(mountpoint)
    mounted = mounted_at(place)
    if mounted is not None and not mounted.is_artfs:
        raise MountError(str(mountpoint), f"not a mount of artfs ({mounted.type})")
    daemon = find_daemon(place, mounted)
    if mounted is None and daemon is None:
        return None
    return without_stranger(ActiveMount(place, mounted, daemon))


def without_stranger(found: ActiveMount) -> ActiveMount:
    """The mount, without a process that only has the number of one whose own process is gone.

    A process that is stopped does not know that its mount has ended, and claims the number still.
    Blocks: briefly, where a process says that it is mounted at another place; there as `is_dead`.
    """
    daemon = found.daemon
    if daemon is None or found.mounted is None or daemon.record.mountpoint == found.place:
        return found
    if found.mounted.area_id is not None:
        # It says itself whose it is.
        return found
    return msgspec.structs.replace(found, daemon=None) if is_dead(found) else found


def ask(daemon: Daemon, command: Command) -> MountStatus:
    """Tell a mount's process something; its status after that.

    Blocks: at most about 8 s where it is silent, 60 s where it says that it works. Raises:
    MountError; OSError and msgspec.DecodeError where there is no process, or none that answers.
    """
    with daemon.connected() as connection:
        reply = _ask(connection, command)
    if reply.status is None:
        raise MountError(str(daemon.record.mountpoint), reply.error or "no answer")
    # Who it is the kernel knows better.
    return msgspec.structs.replace(reply.status, pid=daemon.pid, owner=daemon.uid)


def mount_status(found: ActiveMount) -> MountStatus:
    """A mount of artfs, whatever has become of it. Blocks: as `ask`."""
    daemon, kind = found.daemon, "stage" if found.is_stage else "mount"
    if daemon is None:
        state = MountState.UNRESPONSIVE
        if not found.is_ours:
            state = MountState.FOREIGN
        elif is_dead(found):
            state = MountState.DEAD
        return MountStatus(mountpoint=found.place, state=state, owner=found.owner, kind=kind)
    try:
        status = ask(daemon, Command("status"))
    except (MountError, *NO_ANSWER):
        return MountStatus(
            mountpoint=found.place,
            state=MountState.UNRESPONSIVE,
            pid=daemon.pid,
            owner=daemon.uid,
            kind=kind,
        )
    if found.mounted is not None:
        # It may have been moved there, or bound, or be a copy in another namespace.
        status = msgspec.structs.replace(status, mountpoint=found.place)
    if found.mounted is None or daemon.record.device == OVER:
        held = () if found.device is None else tuple(map(str, holders(found.device, daemon.pid)))
        status = msgspec.structs.replace(status, state=MountState.DETACHED, held_by=held)
    return status


def is_dead(found: ActiveMount) -> bool:
    """Whether nobody serves a mount any more.

    Blocks: at most about 8 s; a child asks, which a mount that hangs cannot make us wait for.
    """
    command = ["stat", "--file-system", "--format=%T", "--", str(found.place)]
    owner = found.owner
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_TIMEOUT_S,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            # Root is told nothing of what another user has mounted for himself.
            user=owner if os.geteuid() == 0 and owner else None,
        )
    except (subprocess.TimeoutExpired, subprocess.SubprocessError, OSError):
        return False
    # The one is said of a process that is gone, the other of one that is going just now.
    return any(os.strerror(number) in done.stderr for number in _NOBODY_SERVES)


def serves_fuse(pidfd: int) -> bool:
    """Whether a process has a FUSE file system, says the kernel: only such a one is signalled."""
    with contextlib.suppress(OSError, ValueError):
        said = Path(f"/proc/self/fdinfo/{pidfd}").read_text("ascii")
        pid = int(said.partition("Pid:")[2].split(maxsplit=1)[0])
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(entry.path) == _FUSE_DEVICE:  # noqa: PTH115 - compared as text
                        # What was looked at is that process, and no later one of its number.
                        return not ended(pidfd, 0)
    return False


def ended(pidfd: int, timeout_s: float) -> bool:
    """Whether the process ends in time; a child of ours is reaped."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    if not poller.poll(timeout_s * 1000):
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    return True


def _ask(connection: socket.socket, command: Command) -> Reply:
    connection.settimeout(ANSWER_TIMEOUT_S)
    connection.sendall(encode_line(command))
    with connection.makefile("rb") as lines:
        while (reply := decode_line(lines.readline(), Reply)).working:
            pass
    return reply
