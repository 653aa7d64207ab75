"""The processes behind mounts, found by what the kernel says of them.

A mount's process holds a memfd, its *mark*, that says where it is mounted and where its control
socket is. /proc shows a mark to the user of that process and to root alone, whatever their
session, XDG_RUNTIME_DIR or mount namespace. Nothing that a mark says is believed before the
kernel has confirmed that the process that has the mark is who answers at the socket.

The kernel gives the device number of a mount that has ended to the next one, while the process of
the first may be making a version still. So a mark says since when it claims its number, and a
process whose mount has ended claims none. A staging mount says itself whose area it is.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from artfs.errors import UNDECODABLE
from artfs.mounts.messages import decode_line, encode_line, socket_address, socket_path
from artfs.system.mountinfo import MountedFileSystem

_PROC = Path("/proc")
_MARK = "artfs-mount"
_MARK_LINK = f"/memfd:{_MARK} (deleted)"
_MARK_FDS = range(910, 914)
"""Where a mark is looked for: few, high enough to be free when a mount's process begins."""
_MAX_MARK_BYTES = 65536
_CONNECT_TIMEOUT_S = 3.0

OVER = ""
"""The device of a mount that has ended."""


class MountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a mount's process says of itself."""

    mountpoint: Path
    socket: Path
    """Of its control, in its own mount namespace."""
    device: str | None = None
    """`major:minor`, once it is mounted; OVER when it is no more."""
    claimed_at_ns: int = 0
    """Since when `device` is so, on the clock that runs since this machine was started."""
    area: Path | None = None
    """The directory of the staging area."""


class Mark:
    """The mark of this process."""

    def __init__(self) -> None:
        self._fd = -1

    def set(self, record: MountRecord) -> None:
        """Show a record in the place of an earlier one. Raises: OSError."""
        fd = os.memfd_create(_MARK, os.MFD_CLOEXEC)
        try:
            os.write(fd, encode_line(record))
            if self._fd < 0:
                self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _MARK_FDS.start)
            else:
                # In one step: a reader finds the old or the new one.
                os.dup2(fd, self._fd, inheritable=False)
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Show nothing any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """A process behind a mount."""

    pid: int
    uid: int
    record: MountRecord

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A connection to its control socket. Raises: OSError where it is not there to be asked."""
        path = self.record.socket
        # Its mount namespace may be another one, and may not be ours to look into.
        for candidate in (_PROC / str(self.pid) / "root" / path.relative_to("/"), path):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            with connection:
                connection.settimeout(_CONNECT_TIMEOUT_S)
                try:
                    with socket_address(candidate) as address:
                        connection.connect(address)
                except OSError:
                    continue
                if peer_of(connection) == (self.pid, self.uid):
                    yield connection
                    return
        raise ConnectionRefusedError(f"process {self.pid} does not answer at {path}")

    def open_pidfd(self) -> int | None:
        """A descriptor of the process; None where it is gone."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return None
        # Its number may have gone to another process before we had a hold on it.
        found = _marked(_PROC / str(self.pid))
        if found is not None and found.record.mountpoint == self.record.mountpoint:
            return pidfd
        with suppress(OSError), self.connected():
            return pidfd
        os.close(pidfd)
        return None


def daemons() -> list[Daemon]:
    """The processes of all mounts of this user; for root those of everybody."""
    found = []
    own, is_root = os.geteuid(), os.geteuid() == 0
    with os.scandir(_PROC) as entries:
        for entry in entries:
            if not entry.name.isdecimal():
                continue
            with suppress(OSError):
                if is_root or entry.stat().st_uid == own:
                    daemon = _marked(Path(entry.path))
                    if daemon is not None:
                        found.append(daemon)
    return found


def find_daemon(place: Path, mounted: MountedFileSystem | None) -> Daemon | None:
    """The process of what is mounted; where that is nothing, of what is mounted elsewhere so."""
    candidates, own = daemons(), os.geteuid()
    if mounted is not None:
        return daemon_of(mounted, candidates) or _unmarked(place)
    for each in sorted(candidates, key=lambda daemon: daemon.uid != own):
        if each.record.mountpoint == place:
            return each
    return _unmarked(place)


def daemon_of(mounted: MountedFileSystem, candidates: Iterable[Daemon]) -> Daemon | None:
    """Which of them is the process of what is mounted."""
    fitting = [
        each
        for each in candidates
        # Root sees marks of everybody, whatever they say.
        if each.uid in {mounted.owner, os.geteuid()} and _fits(each.record, mounted)
    ]
    return max(fitting, key=lambda each: each.record.claimed_at_ns, default=None)


def _fits(record: MountRecord, mounted: MountedFileSystem) -> bool:
    if mounted.area_id is not None:
        if record.area is None or record.area.name != mounted.area_id:
            return False
        if record.device == OVER:
            # Nobody else can have the area until its process is done.
            return True
    return record.device == mounted.device or (
        # Before the kernel talks to it, it does not know its device yet.
        record.device is None and record.mountpoint == mounted.mountpoint
    )


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Process and user at the other end of a connection, as the kernel knows them."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return int(pid), int(uid)


def _unmarked(place: Path) -> Daemon | None:
    """Who listens at the socket of a mountpoint, where /proc does not show it: it may be that of
    another PID namespace.
    """
    path = socket_path(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(_CONNECT_TIMEOUT_S)
        try:
            with socket_address(path) as address:
                connection.connect(address)
        except OSError:
            return None
        pid, uid = peer_of(connection)
    if uid not in {os.geteuid(), 0} or _marked(_PROC / str(pid)) is not None:
        # Somebody else's, or one that is at another place.
        return None
    return Daemon(pid=pid, uid=uid, record=MountRecord(mountpoint=place, socket=path))


def _marked(process: Path) -> Daemon | None:
    """What the mark of a process says; None where it has none, or it is not ours to read."""
    for number in _MARK_FDS:
        link = f"{process}/fd/{number}"
        try:
            if os.readlink(link) != _MARK_LINK:  # noqa: PTH115 - for each process: a string is cheaper
                continue
            # A link may be called anything; what it leads to may hang whoever opens it.
            if _mount_id(process, number) != _memfd_mount_id():
                continue
            fd = os.open(link, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            if number == _MARK_FDS.start:
                return None
            continue
        try:
            uid = os.fstat(fd).st_uid
            owner = process.stat().st_uid
            record = decode_line(os.read(fd, _MAX_MARK_BYTES), MountRecord)
        except (OSError, *UNDECODABLE):
            continue
        finally:
            os.close(fd)
        if uid == owner and record.socket.is_absolute():
            return Daemon(pid=int(process.name), uid=owner, record=record)
    return None


def _memfd_mount_id() -> int:
    """The mount that every memfd is on, and nothing else."""
    fd = os.memfd_create(_MARK, os.MFD_CLOEXEC)
    try:
        return _mount_id(_PROC / "self", fd)
    finally:
        os.close(fd)


def _mount_id(process: Path, number: int) -> int:
    for line in (process / "fdinfo" / str(number)).read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "mnt_id":
            return int(value)
    raise OSError(f"/proc does not say on which mount descriptor {number} is")
