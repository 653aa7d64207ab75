"""Starting, asking and ending mounts, from another process. Imports neither trio nor pyfuse3."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from artfs.errors import MountError
from artfs.mounts.contact import daemon_pidfd, ended, is_dead, mount_status, serves_fuse
from artfs.mounts.counters import Counters
from artfs.mounts.messages import (
    MountRequest,
    MountState,
    MountStatus,
    Ready,
    decode_line,
    encode_line,
    log_name,
    socket_path,
)
from artfs.mounts.mountinfo import (
    locate_mountpoint,
    mounted_at,
    mounted_file_systems,
)
from artfs.mounts.options import AliasStyle, MountOptions, parse_options
from artfs.mounts.processes import child_environment
from artfs.mounts.unmounting import unmount
from artfs.settings import is_url, state_path
from artfs.system.oserrors import translate_os_errors
from artfs.system.user_places import open_log, runtime_directory

__all__ = [
    "AliasStyle",
    "Counters",
    "MountOptions",
    "MountRequest",
    "MountState",
    "MountStatus",
    "mounts",
    "parse_options",
    "prepare",
    "start",
    "status",
    "stop",
]

_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 10.0
_FUSE_DEVICE = Path("/dev/fuse")


def start(request: MountRequest) -> MountStatus:
    """Mount in a process of its own, and return once the mount answers.

    A dead mount of ours at the mountpoint is cleaned up first.
    Blocks: until it answers, at most a minute.
    Raises: MountError; InvalidName, ArtifactNotFound, VersionNotFound, AliasNotFound for an
    unknown target; StoreNotFound, StoreFormatError, BackendUnavailable.
    """
    request = prepare(request)
    log = state_path() / log_name(request.mountpoint)
    with translate_os_errors(log), os.fdopen(open_log(log.name), "ab") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "artfs.daemon", str(request.mountpoint)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            cwd="/",
            env=child_environment(),
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
    if ready.failure is not None:
        raise ready.failure.as_error()
    raise MountError(str(request.mountpoint), "the mount did not start", hint=f"see {log}")


def stop(mountpoint: Path, *, timeout_s: float = 30.0, force: bool = False) -> None:
    """Unmount, and return when its process has ended.

    With `force` also while it is in use: open files then answer ENOTCONN.
    Blocks: at most about `timeout_s`. Raises: MountError, where nothing of ours is mounted there,
    where it is busy (the users are named), and where the process does not end.
    """
    place = _own_mountpoint(mountpoint)
    pidfd = daemon_pidfd(place)
    if pidfd is None:
        unmount(place, lazy=force or is_dead(place))
        socket_path(place).unlink(missing_ok=True)
        return
    may_end_it = serves_fuse(pidfd)
    try:
        unmount(place, lazy=force)
        if force and may_end_it:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not ended(pidfd, timeout_s):
            if not force:
                raise MountError(
                    str(mountpoint),
                    f"unmounted, but its process did not end within {timeout_s:g} s",
                    hint="`artfs umount --force` ends it",
                )
            if may_end_it:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                ended(pidfd, timeout_s)
            socket_path(place).unlink(missing_ok=True)
    finally:
        os.close(pidfd)


def status(mountpoint: Path) -> MountStatus:
    """The mount at a mountpoint.

    Blocks: at most about 3 s. Raises: MountError where nothing of ours is mounted there.
    """
    return mount_status(_own_mountpoint(mountpoint))


def mounts() -> list[MountStatus]:
    """All mounts of this user, by mountpoint. Blocks: at most about 3 s for each hung one."""
    own = {
        each.mountpoint
        for each in mounted_file_systems()
        if each.is_artfs and each.owner in {None, os.getuid()}
    }
    return [mount_status(mountpoint) for mountpoint in sorted(own)]


def _own_mountpoint(mountpoint: Path) -> Path:
    place = locate_mountpoint(mountpoint)
    mounted = mounted_at(place)
    if mounted is None:
        raise MountError(str(mountpoint), "nothing is mounted here")
    if not mounted.is_artfs:
        raise MountError(str(mountpoint), f"not a mount of artfs ({mounted.type})")
    return place


# --- starting ------------------------------------------------------------------------------


def prepare(request: MountRequest) -> MountRequest:
    """The request with absolute paths, once everything that can be checked is right."""
    mountpoint = _free_mountpoint(request.mountpoint)
    # Refused here, where it is seen, and not in the log of its process.
    runtime_directory()
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
        found = mount_status(place)
        if found.state is not MountState.DEAD:
            shown = (
                f"{found.target} of {found.store}" if found.target else f"the store {found.store}"
            )
            what = f" ({shown})" if found.store else ""
            raise MountError(
                str(path), f"already mounted{what}", hint=f"`artfs umount {path}` ends it"
            )
        unmount(place, lazy=True)
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
