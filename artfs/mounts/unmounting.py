"""Unmounting, and who is in the way of that."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from artfs.errors import MountError
from artfs.mounts.holders import Process, named, users
from artfs.mounts.mountinfo import mounted_at


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
