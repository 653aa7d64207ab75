"""A mount that ends by itself once nobody uses it: `-o idle=S`."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from artfs.daemon.serving import Serving
from artfs.engine.blocking import Threads, Work
from artfs.errors import MountError
from artfs.mounts.ending import unmount
from artfs.mounts.holders import users_elsewhere
from artfs.mounts.messages import Counters, MountRequest

logger = logging.getLogger(__name__)

_LOOKS = 4
"""How often to look in the time after which it is idle."""
_LONGEST_PAUSE_S = 60.0


async def end_when_idle(request: MountRequest, serving: Serving, threads: Threads) -> None:
    """Unmount once nothing has been asked for, and no file was open, for `idle_s` seconds.

    Who works in it, without asking for anything, keeps it: the kernel says that it is busy.
    """
    idle_s = request.options.idle_s
    if idle_s is None:
        return
    await serving.ready.wait()
    last, since_s = _asked(serving.counters), trio.current_time()
    while True:
        await trio.sleep(min(idle_s / _LOOKS, _LONGEST_PAUSE_S))
        asked = _asked(serving.counters)
        if asked != last or serving.counters.open_files:
            last, since_s = asked, trio.current_time()
        elif trio.current_time() - since_s >= idle_s:
            if await threads.run(Work.CALLERS, _unmount, request, serving.device):
                logger.info("nobody has used %s for %g s", request.mountpoint, idle_s)
                # Another mount namespace may have it mounted still, where nobody uses it either.
                serving.stopping.set()
                return
            since_s = trio.current_time()


def _asked(counters: Counters) -> tuple[int, ...]:
    return counters.lookups, counters.listings, counters.opens, counters.reads


def _unmount(request: MountRequest, device: str | None) -> bool:
    """Unmount what nobody uses; False where somebody does, here or in other mount namespaces."""
    if device is None or users_elsewhere(device, os.getpid()):
        return False
    with suppress(MountError), _nobody_holds(request.users) as free:
        if free:
            unmount(request.mountpoint)
            return True
    return False


@contextmanager
def _nobody_holds(users: Path | None) -> Iterator[bool]:
    """Whether no process holds the file; while this lasts, none can."""
    if users is None:
        yield True
        return
    try:
        fd = os.open(users, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:
            free = False
        yield free
    finally:
        os.close(fd)
