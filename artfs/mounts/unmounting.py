"""Unmounting, and who is in the way of that."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from artfs.errors import MountError
from artfs.mounts.mountinfo import mounted_at

_MAX_NAMED_USERS = 3


def unmount(place: Path, *, lazy: bool = False) -> None:
    """Unmount what nobody uses; with `lazy` also what is in use.

    Raises: MountError, which names who uses it.
    """
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
