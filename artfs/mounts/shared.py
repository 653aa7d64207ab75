"""One mount of a store for all processes of a user, made when the first of them wants it.

It shows the whole store, at a place that its address decides, and ends by itself once it is idle.
Every process that was given it holds a lock as long as it lives, so it never ends below somebody
who only has a path. Another session of the same user, with another runtime directory, finds it by
its mark.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from artfs import forks
from artfs.errors import MountError
from artfs.mounts.client import MountOptions, MountRequest, MountState, start, status
from artfs.mounts.daemons import daemons
from artfs.system.directories import own_directory
from artfs.system.locks import Held
from artfs.system.mountinfo import locate_mountpoint, mounted_at
from artfs.system.oserrors import RUNTIME_VARIABLE, translate_os_errors
from artfs.system.user_places import runtime_directory

IDLE_S = 900.0
"""A quarter of an hour after its last user has ended it ends, too."""
_DIRECTORY = "shared"

_held: dict[Path, Held] = {}
_lock = forks.turn()


def shared_mount(store: str, *, idle_s: float = IDLE_S) -> Path:
    """Where a store is mounted for this user; `store` is its address.

    Blocks: until it is mounted, at most a minute. Raises: MountError where nothing can be mounted
    here; what opening the store raises.
    """
    key = sha256(os.fsencode(store)).hexdigest()[:24]
    directory = runtime_directory() / _DIRECTORY
    own_directory(directory, follow=False, variable=RUNTIME_VARIABLE).close()
    place = locate_mountpoint(directory / key)
    with _lock, translate_os_errors(directory):
        # Who asks for a second time, as for each file of a data set, waits for nobody.
        if place in _held and _is_alive(place):
            return place
        with _alone(directory / f"{key}.lock"):
            for found in (place, *_elsewhere(key, place)):
                if _join(found):
                    return found
            held = _hold(place)
            place.mkdir(mode=0o700, exist_ok=True)
            start(
                MountRequest(
                    store=store,
                    target=None,
                    mountpoint=place,
                    options=MountOptions(idle_s=idle_s),
                    users=_users_of(place),
                )
            )
            _held[place] = held
    return place


def let_go() -> None:
    """This process uses none of them any more: paths that it was given may end."""
    with _lock:
        for held in _held.values():
            held.close()
        _held.clear()


def _join(place: Path) -> bool:
    """Become a user of a mount that is there; False where there is none."""
    if not _is_alive(place):
        return False
    # What ends it takes this lock first: from here on it stays, if it is still there.
    held = _held.get(place) or _hold(place)
    if not _is_alive(place):
        return False
    _held[place] = held
    return True


def _is_alive(place: Path) -> bool:
    mounted = mounted_at(place)
    if mounted is None or not mounted.is_artfs or mounted.owner != os.geteuid():
        return False
    with suppress(MountError):
        return status(place).state is MountState.MOUNTED
    return False


def _elsewhere(key: str, place: Path) -> Iterator[Path]:
    """Where other sessions of this user may have mounted it."""
    for each in daemons():
        found = each.record.mountpoint
        its = each.uid == os.geteuid() and found.name == key and found.parent.name == _DIRECTORY
        if its and found != place:
            yield found


def _users_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.users")


def _hold(place: Path) -> Held:
    """Say that this process, and the children that it forks, use what is mounted at a place."""
    held = Held(_open(_users_of(place)))
    # Waits for as long as unmounting takes.
    fcntl.flock(held.fd, fcntl.LOCK_SH)
    return held


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process after the other: the second one finds what the first one has mounted."""
    held = Held(_open(path))
    try:
        fcntl.flock(held.fd, fcntl.LOCK_EX)
        yield
    finally:
        held.close()


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
