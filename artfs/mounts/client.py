"""Starting, asking and ending mounts, from another process. Imports neither trio nor pyfuse3."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from artfs.errors import InvalidArgument, MountError
from artfs.mounts.contact import ActiveMount, look, mount_status, without_stranger
from artfs.mounts.daemons import daemon_of, daemons, find_daemon
from artfs.mounts.ending import end, unmount
from artfs.mounts.holders import Process
from artfs.mounts.messages import (
    Counters,
    MountRequest,
    MountState,
    MountStatus,
    Ready,
    decode_line,
    encode_line,
    log_name,
    socket_path,
)
from artfs.mounts.options import AliasStyle, MountOptions, parse_options
from artfs.mounts.refusals import allows_others, explain, problems
from artfs.settings import expand_home, is_url
from artfs.system.mountinfo import locate_mountpoint, mounted_at, mounted_file_systems
from artfs.system.oserrors import translate_os_errors
from artfs.system.processes import child_environment
from artfs.system.user_places import log_directory, open_log, runtime_directory

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


def start(request: MountRequest) -> MountStatus:
    """Mount in a process of its own, and return once the mount answers.

    A dead mount of ours at the mountpoint is cleaned up first.
    Blocks: until it answers, at most a minute.
    Raises: MountError; InvalidName, ArtifactNotFound, VersionNotFound, AliasNotFound for an
    unknown target; StoreNotFound, StoreFormatError, BackendUnavailable.
    """
    request = prepare(request)
    order = encode_line(request)
    log = log_directory() / log_name(request.mountpoint)
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
                process.stdin.write(order)
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


def stop(mountpoint: Path, *, timeout_s: float = 30.0, force: bool = False) -> list[Process]:
    """Unmount, and return when its process has ended; who held it in other mount namespaces.

    With `force` also while it is in use: open files then answer ENOTCONN.
    Blocks: at most about `timeout_s`. Raises: MountError, where nothing of ours is mounted there,
    where it is busy (the users are named), and where the process does not end.
    """
    return end(_existing(mountpoint), force=force, timeout_s=timeout_s)


def status(mountpoint: Path) -> MountStatus:
    """The mount at a mountpoint, be it in this mount namespace or in another one.

    Blocks: at most about 8 s. Raises: MountError where nothing of ours is mounted there.
    """
    return mount_status(_existing(mountpoint))


def mounts() -> list[MountStatus]:
    """All mounts of this user, for root those of everybody, by mountpoint.

    Blocks: at most about 8 s for each hung one.
    """
    marked = daemons()
    found = []
    for mounted in filter(lambda each: each.is_artfs, mounted_file_systems()):
        one = without_stranger(ActiveMount(mounted.mountpoint, mounted, daemon_of(mounted, marked)))
        if one.is_ours or mounted.owner is None:
            found.append(one)
    here = {each.device for each in found}
    served = {each.daemon.pid for each in found if each.daemon is not None}
    found += [
        ActiveMount(each.record.mountpoint, None, each)
        for each in marked
        if each.record.device not in here and each.pid not in served
    ]
    return [mount_status(each) for each in sorted(found, key=lambda each: each.place)]


def _existing(mountpoint: Path) -> ActiveMount:
    found = look(mountpoint)
    if found is None:
        raise nothing_here(mountpoint)
    return found


def nothing_here(mountpoint: Path) -> MountError:
    """What is said where nothing is mounted: also what became of what was staged there last."""
    from artfs.mounts.outcomes import what_became  # noqa: PLC0415 - takes long, for an error only

    return MountError(str(mountpoint), "nothing is mounted here", hint=what_became(mountpoint))


# --- starting ------------------------------------------------------------------------------


def prepare(request: MountRequest) -> MountRequest:
    """The request with absolute paths, once everything that can be checked is right."""
    if request.stage is not None and request.options.idle_s is not None:
        raise InvalidArgument(
            "-o idle", "a staging mount does not end by itself", hint="leave it out"
        )
    mountpoint = _free_mountpoint(request.mountpoint)
    # Refused here, where it is seen, and not in the log of its process.
    runtime_directory()
    for problem in problems():
        raise MountError(problem.subject, problem.reason, hint=problem.hint)
    if request.options.allow_other and os.geteuid() != 0 and not allows_others():
        refusal = explain("user_allow_other")
        raise MountError(refusal.subject, refusal.reason, hint=refusal.hint)
    store = request.store
    if not is_url(store):
        store = str(expand_home(store).absolute())
    return msgspec.structs.replace(request, mountpoint=mountpoint, store=store)


def _free_mountpoint(path: Path) -> Path:
    place = locate_mountpoint(path)
    mounted = mounted_at(place)
    if mounted is not None:
        if not mounted.is_artfs:
            raise MountError(str(path), f"something else is mounted here ({mounted.type})")
        found = without_stranger(ActiveMount(place, mounted, find_daemon(place, mounted)))
        told = mount_status(found)
        if told.state is not MountState.DEAD:
            shown = f"{told.target} of {told.store}" if told.target else f"the store {told.store}"
            what = f" ({shown})" if told.store else ""
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
        raise MountError(
            str(path), error.strerror or str(error), hint=_in_the_way(place, error)
        ) from None
    if occupied:
        raise MountError(str(path), "not empty", hint="mount on an empty directory")
    return place


def _in_the_way(place: Path, error: OSError) -> str:
    """What to do about a directory that cannot be looked into."""
    around = [each for each in mounted_file_systems() if place.is_relative_to(each.mountpoint)]
    if not around:
        return ""
    inner = max(around, key=lambda each: len(each.mountpoint.parts))
    if error.errno == errno.ENOTCONN:
        return f"the process of the mount at {inner.mountpoint} is gone: unmount that first"
    if error.errno in {errno.EACCES, errno.EPERM} and inner.type.startswith("fuse"):
        return f"it is inside the FUSE mount at {inner.mountpoint}, which shows it to others only"
    return "mount on a directory that you may look into"


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
