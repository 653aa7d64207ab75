"""Starting, asking and ending mounts, from another process. Imports neither trio nor pyfuse3."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import msgspec

import artfs
import artfs.errors
from artfs.daemon.messages import (
    Command,
    MountRequest,
    MountState,
    MountStatus,
    Ready,
    Reply,
    decode_line,
    encode_line,
    log_name,
    socket_address,
    socket_path,
)
from artfs.daemon.mountinfo import (
    MountedFileSystem,
    locate_mountpoint,
    mounted_at,
    mounted_file_systems,
)
from artfs.daemon.options import AliasStyle, MountOptions, parse_options
from artfs.engine.counters import Counters
from artfs.errors import ArtfsError, MountError
from artfs.settings import is_url, state_path

__all__ = [
    "AliasStyle",
    "Counters",
    "MountOptions",
    "MountRequest",
    "MountState",
    "MountStatus",
    "mounts",
    "parse_options",
    "run_foreground",
    "start",
    "status",
    "stop",
]

_START_TIMEOUT_S = 60.0
_ANSWER_TIMEOUT_S = 3.0
_END_TIMEOUT_S = 10.0
_MAX_NAMED_USERS = 3
_FUSE_DEVICE = Path("/dev/fuse")


def start(request: MountRequest) -> MountStatus:
    """Mount in a process of its own, and return once the mount answers.

    A dead mount of ours at the mountpoint is cleaned up first.
    Blocks: until it answers, at most a minute.
    Raises: MountError; InvalidName, ArtifactNotFound, VersionNotFound, AliasNotFound for an
    unknown target; StoreNotFound, StoreFormatError, BackendUnavailable.
    """
    request = _prepared(request)
    log = state_path() / log_name(request.mountpoint)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "artfs.daemon", str(request.mountpoint)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(encode_line(request))
                process.stdin.flush()
            line = _read_line(process.stdout.fileno(), _START_TIMEOUT_S)
        except BaseException:
            # Ctrl-C while it starts.
            _end(process)
            raise
    ready = decode_line(line, Ready) if line else Ready()
    if ready.status is not None:
        # The process goes on as a daemon; it is not ours to wait for.
        process.returncode = 0
        return ready.status
    _end(process)
    raise _start_error(request.mountpoint, ready, log)


def run_foreground(request: MountRequest) -> None:
    """Mount in this process, and return when the mount has ended: unmounted, or by a signal.

    Raises: as `start`.
    """
    from artfs.daemon.session import run_mount  # noqa: PLC0415 - trio and pyfuse3 take long

    run_mount(_prepared(request))


def stop(mountpoint: Path, *, timeout_s: float = 30.0, force: bool = False) -> None:
    """Unmount, and return when its process has ended.

    With `force` also while it is in use: open files then answer ENOTCONN.
    Blocks: at most about `timeout_s`. Raises: MountError, where nothing of ours is mounted there,
    where it is busy (the users are named), and where the process does not end.
    """
    place = locate_mountpoint(mountpoint)
    mounted = mounted_at(place)
    if mounted is None:
        raise MountError(str(mountpoint), "nothing is mounted here")
    if not mounted.is_artfs:
        raise MountError(str(mountpoint), f"not a mount of artfs ({mounted.type})")
    pidfd = daemon_pidfd(place)
    if pidfd is None:
        _unmount(place, lazy=force or _is_dead(place))
        socket_path(place).unlink(missing_ok=True)
        return
    try:
        _unmount(place, lazy=force)
        if force:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not ended(pidfd, timeout_s):
            if not force:
                raise MountError(
                    str(mountpoint),
                    f"unmounted, but its process did not end within {timeout_s:g} s",
                    hint="`artfs umount --force` ends it",
                )
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            ended(pidfd, timeout_s)
            socket_path(place).unlink(missing_ok=True)
    finally:
        os.close(pidfd)


def status(mountpoint: Path) -> MountStatus:
    """The mount at a mountpoint.

    Blocks: at most about 3 s. Raises: MountError where nothing of ours is mounted there.
    """
    place = locate_mountpoint(mountpoint)
    mounted = mounted_at(place)
    if mounted is None:
        raise MountError(str(mountpoint), "nothing is mounted here")
    if not mounted.is_artfs:
        raise MountError(str(mountpoint), f"not a mount of artfs ({mounted.type})")
    return _status(mounted)


def mounts() -> list[MountStatus]:
    """All mounts of this user, by mountpoint. Blocks: at most about 3 s for each hung one."""
    own = {
        each.mountpoint: each
        for each in mounted_file_systems()
        if each.is_artfs and each.owner in {None, os.getuid()}
    }
    return [_status(own[mountpoint]) for mountpoint in sorted(own)]


# --- starting ------------------------------------------------------------------------------


def _prepared(request: MountRequest) -> MountRequest:
    """The request with absolute paths, once everything that can be checked is right."""
    mountpoint = _free_mountpoint(request.mountpoint)
    if not _FUSE_DEVICE.exists():
        raise MountError(
            str(_FUSE_DEVICE),
            "there is no such device",
            hint="load the kernel module fuse; a container needs `--device /dev/fuse`",
        )
    if shutil.which("fusermount3") is None:
        raise MountError("fusermount3", "not installed", hint="install the package fuse3")
    store = request.store
    if not is_url(store):
        store = str(Path(store).expanduser().absolute())
    return msgspec.structs.replace(request, mountpoint=mountpoint, store=store)


def _free_mountpoint(path: Path) -> Path:
    place = locate_mountpoint(path)
    mounted = mounted_at(place)
    if mounted is not None:
        if not mounted.is_artfs:
            raise MountError(str(path), f"something else is mounted here ({mounted.type})")
        found = _status(mounted)
        if found.state is not MountState.DEAD:
            shown = (
                f"{found.target} of {found.store}" if found.target else f"the store {found.store}"
            )
            what = f" ({shown})" if found.store else ""
            raise MountError(
                str(path), f"already mounted{what}", hint=f"`artfs umount {path}` ends it"
            )
        _unmount(place, lazy=True)
        socket_path(place).unlink(missing_ok=True)
    try:
        with os.scandir(place) as entries:
            occupied = next(entries, None) is not None
    except FileNotFoundError:
        raise MountError(str(path), "there is no such directory", hint="make it first") from None
    except NotADirectoryError:
        raise MountError(str(path), "not a directory") from None
    except OSError as error:
        raise MountError(str(path), error.strerror or str(error)) from None
    if occupied:
        raise MountError(str(path), "not empty", hint="mount on an empty directory")
    return place


def _environment() -> dict[str, str]:
    """The environment in which a new process finds the same artfs as this one."""
    environment = dict(os.environ)
    root = str(Path(artfs.__file__).resolve().parent.parent)
    if Path(root).name not in {"site-packages", "dist-packages"}:
        paths = [root, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that did not come to serve; it unmounts what it may have mounted."""
    process.terminate()
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read_line(fd: int, timeout_s: float) -> bytes:
    """Bytes up to a newline, the end of the pipe, or the deadline."""
    deadline = time.monotonic() + timeout_s
    data = b""
    while not data.endswith(b"\n"):
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0 or not select.select([fd], [], [], remaining_s)[0]:
            return b""
        chunk = os.read(fd, 65536)
        if not chunk:
            break
        data += chunk
    return data


def _start_error(mountpoint: Path, ready: Ready, log: Path) -> ArtfsError:
    if ready.error is None:
        return MountError(str(mountpoint), "the mount did not start", hint=f"see {log}")
    name, subject, reason, hint = ready.error
    kind = getattr(artfs.errors, name, MountError)
    if isinstance(kind, type) and issubclass(kind, ArtfsError):
        return kind(subject, reason, hint=hint)
    return MountError(subject, reason, hint=hint)


# --- asking --------------------------------------------------------------------------------


def _status(mounted: MountedFileSystem) -> MountStatus:
    place = mounted.mountpoint
    try:
        with _connect(place) as connection:
            pid = _peer_pid(connection)
            connection.settimeout(_ANSWER_TIMEOUT_S)
            try:
                reply = _ask(connection, Command("status"))
            except (OSError, msgspec.DecodeError):
                return MountStatus(mountpoint=place, state=MountState.UNRESPONSIVE, pid=pid)
    except OSError:
        # Its socket may be in another runtime directory: only the kernel knows whether it is dead.
        state = MountState.DEAD if _is_dead(place) else MountState.UNRESPONSIVE
        return MountStatus(mountpoint=place, state=state)
    if reply.status is None:
        return MountStatus(mountpoint=place, state=MountState.UNRESPONSIVE, pid=pid)
    return reply.status


def _is_dead(place: Path) -> bool:
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


def unmount(place: Path) -> None:
    """Unmount what nobody uses. Raises: MountError, which names who uses it."""
    _unmount(place, lazy=False)


def _connect(place: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(_ANSWER_TIMEOUT_S)
        with socket_address(socket_path(place)) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def _ask(connection: socket.socket, command: Command) -> Reply:
    connection.sendall(encode_line(command))
    with connection.makefile("rb") as lines:
        return decode_line(lines.readline(), Reply)


def _peer_pid(connection: socket.socket) -> int:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[0])


# --- ending --------------------------------------------------------------------------------


def daemon_pidfd(place: Path) -> int | None:
    """A descriptor of the process behind a mount; None where it is gone."""
    try:
        with _connect(place) as connection:
            return os.pidfd_open(_peer_pid(connection))
    except OSError:
        return None


def ended(pidfd: int, timeout_s: float) -> bool:
    """Whether the process ends in time; a child of ours is reaped."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    if not poller.poll(timeout_s * 1000):
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    return True


def _unmount(place: Path, *, lazy: bool) -> None:
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MountError("fusermount3", "not installed", hint="install the package fuse3") from None
    if done.returncode == 0 or mounted_at(place) is None:
        return
    message = done.stderr.strip().removeprefix("fusermount3: ")
    if "busy" not in message.lower():
        raise MountError(str(place), message or "fusermount3 failed")
    users = _users(place)
    named = ", ".join(users[:_MAX_NAMED_USERS])
    if len(users) > _MAX_NAMED_USERS:
        named += f" and {len(users) - _MAX_NAMED_USERS} more"
    raise MountError(
        str(place),
        f"busy, in use by {named}" if named else "busy, something in it is open",
        hint="end that, or use `artfs umount --force`",
    )


def _users(place: Path) -> list[str]:
    """Processes with something open below `place`, as far as we may see them."""
    prefix = f"{place}/"
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and any(
            link == str(place) or link.startswith(prefix) for link in _links(process)
        ):
            with contextlib.suppress(OSError):
                found.append(f"{(process / 'comm').read_text().strip()} (pid {process.name})")
    return sorted(found)


def _links(process: Path) -> list[str]:
    links = []
    for name in ("cwd", "root", "exe"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(process / name))  # noqa: PTH115 - thousands of them: a string is cheaper
    with contextlib.suppress(OSError):
        for entry in os.scandir(process / "fd"):
            with contextlib.suppress(OSError):
                links.append(os.readlink(entry.path))  # noqa: PTH115 - as above
    with contextlib.suppress(OSError):
        for entry in os.scandir(process / "map_files"):
            with contextlib.suppress(OSError):
                links.append(os.readlink(entry.path))  # noqa: PTH115 - as above
    return links
