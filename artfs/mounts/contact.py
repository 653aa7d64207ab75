"""Reaching the process behind a mount: by its control socket, or by what the kernel knows."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import subprocess
from pathlib import Path

import msgspec

from artfs.errors import MountError
from artfs.mounts.messages import (
    Command,
    MountState,
    MountStatus,
    Reply,
    decode_line,
    encode_line,
    socket_address,
    socket_path,
)

_ANSWER_TIMEOUT_S = 3.0
_FUSE_DEVICE = "/dev/fuse"


def ask(place: Path, command: Command) -> MountStatus:
    """Tell a mount's process something; its status after that.

    Blocks: at most about 3 s. Raises: MountError; OSError and msgspec.DecodeError where there is
    no process, or none that answers.
    """
    with _connect(place) as connection:
        reply = _ask(connection, command)
    if reply.status is None:
        raise MountError(str(place), reply.error or "no answer")
    return reply.status


def mount_status(place: Path) -> MountStatus:
    """The mount of artfs at a mountpoint, whatever has become of it. Blocks: at most about 3 s."""
    try:
        with _connect(place) as connection:
            pid = _peer(connection).pid
            connection.settimeout(_ANSWER_TIMEOUT_S)
            try:
                reply = _ask(connection, Command("status"))
            except (OSError, msgspec.DecodeError):
                return MountStatus(mountpoint=place, state=MountState.UNRESPONSIVE, pid=pid)
    except OSError:
        # Its socket may be in another runtime directory: only the kernel knows whether it is dead.
        state = MountState.DEAD if is_dead(place) else MountState.UNRESPONSIVE
        return MountStatus(mountpoint=place, state=state)
    if reply.status is None:
        return MountStatus(mountpoint=place, state=MountState.UNRESPONSIVE, pid=pid)
    return reply.status


def is_dead(place: Path) -> bool:
    """Whether nobody serves a mount any more.

    Blocks: at most about 3 s; a child asks, which a mount that hangs cannot make us wait for.
    """
    command = ["stat", "--file-system", "--format=%T", "--", str(place)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_ANSWER_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return False
    return os.strerror(errno.ENOTCONN) in done.stderr


def daemon_pidfd(place: Path) -> int | None:
    """A descriptor of the process behind a mount; None where it is gone.

    The kernel names it: the one that made the mount's control socket, of this user or of root.
    """
    try:
        with _connect(place) as connection:
            return os.pidfd_open(_peer(connection).pid)
    except OSError:
        return None


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


def _connect(place: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(_ANSWER_TIMEOUT_S)
        with socket_address(socket_path(place)) as address:
            connection.connect(address)
        _check_peer(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _ask(connection: socket.socket, command: Command) -> Reply:
    connection.sendall(encode_line(command))
    with connection.makefile("rb") as lines:
        return decode_line(lines.readline(), Reply)


class _Peer(msgspec.Struct, frozen=True):
    """Who made a socket, as the kernel says."""

    pid: int
    uid: int


def _peer(connection: socket.socket) -> _Peer:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return _Peer(pid, uid)


def _check_peer(connection: socket.socket) -> None:
    """Raises: PermissionError where another user answers: what that one says counts for nothing."""
    if _peer(connection).uid not in {os.geteuid(), 0}:
        raise PermissionError(errno.EPERM, "another user has made the control socket")
