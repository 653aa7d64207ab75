"""Who owns a staging area: the holder of a lock in it, which ends with the process."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.decoding import analysed
from artfs.errors import UNDECODABLE, PermissionDenied, StagingBusy
from artfs.system.locks import is_held

LOCK_FILE = "lock"
"""In the area's directory."""
_LOCK_ATTEMPTS = 5
_LOCK_PAUSE_S = 0.02


class AreaOwner(msgspec.Struct, frozen=True):
    """The process that owns an area."""

    pid: int
    host: str


def check_own(path: Path) -> None:
    """Refuse another user's area: what is in it could lead to anything that we may read.

    Raises: PermissionDenied; OSError.
    """
    owner = path.lstat().st_uid
    if owner != os.geteuid():
        raise PermissionDenied(
            str(path), f"is a staging area of user {owner}", hint="it is for that user to go on"
        )


def owner_of(path: Path) -> AreaOwner | None:
    """The process that owns the area at `path`; None where nobody does."""
    if not is_held(path / LOCK_FILE):
        return None
    with suppress(OSError, *UNDECODABLE):
        return msgspec.json.decode((path / LOCK_FILE).read_bytes(), type=analysed(AreaOwner))
    return AreaOwner(0, "")


def lock_area(path: Path, area_id: str) -> int:
    """Own the area at `path`, as long as the descriptor is open.

    Raises: StagingBusy; OSError.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path / LOCK_FILE, flags, 0o600)
    try:
        _take_lock(fd)
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(AreaOwner(os.getpid(), socket.gethostname())), 0)
    except OSError as error:
        os.close(fd)
        if error.errno not in {errno.EAGAIN, errno.EACCES}:
            raise
        owner = owner_of(path)
        who = f"process {owner.pid} on {owner.host}" if owner and owner.pid else "another process"
        raise StagingBusy(
            area_id, f"{who} owns this staging area", hint="`artfs staging ls` shows its mountpoint"
        ) from None
    return fd


def _take_lock(fd: int) -> None:
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Somebody may only be looking whether the area has an owner.
            if attempt == _LOCK_ATTEMPTS - 1:
                raise
            time.sleep(_LOCK_PAUSE_S)
        else:
            return
