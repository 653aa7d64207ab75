"""Who uses a mount, in this mount namespace and in others; no file system is asked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from artfs.system.mountinfo import MountedFileSystem, parse_mountinfo

_PROC = Path("/proc")
_MAX_NAMED = 3


class Process(msgspec.Struct, frozen=True, order=True):
    """A process, for people."""

    pid: int
    name: str

    def __str__(self) -> str:
        if self.pid == os.getpid():
            return f"this very process (pid {self.pid})"
        if self.pid == os.getppid():
            return f"{self.name} (pid {self.pid}), from which this is run"
        return f"{self.name} (pid {self.pid})"


def named(processes: Iterable[Process]) -> str:
    """Some of them, for people."""
    found = sorted(processes)
    text = ", ".join(map(str, found[:_MAX_NAMED]))
    more = len(found) - _MAX_NAMED
    return f"{text} and {more} more" if more > 0 else text


def users(place: Path) -> list[Process]:
    """Processes with something open below a path of ours, as far as we may see them."""
    return [_process(pid) for pid in _pids() if _is_below(_links(pid), [str(place)])]


def holders(device: str, daemon_pid: int) -> list[Process]:
    """One process, the oldest, of each mount namespace that has a file system mounted.

    Ours and that of the mount's own process do not count: there it can be unmounted.
    """
    return [_process(min(found)) for _, found in _foreign(device, skip=daemon_pid)]


def users_elsewhere(device: str, daemon_pid: int) -> list[Process]:
    """Processes of other mount namespaces that have something of a file system open."""
    found = []
    for places, pids in _foreign(device):
        found += [
            _process(pid) for pid in pids if pid != daemon_pid and _is_below(_links(pid), places)
        ]
    return found


def _foreign(device: str, *, skip: int | None = None) -> Iterator[tuple[list[str], list[int]]]:
    """Where it is mounted in each other mount namespace, and the processes in that."""
    needle = f" {device} ".encode()
    own = _mounts(_PROC / "self", device, needle)
    known = {_ids(own), _ids(_mounts(_PROC / str(skip), device, needle)) if skip else None}
    namespaces: dict[frozenset[int], tuple[list[str], list[int]]] = {}
    by_link: dict[str, list[MountedFileSystem]] = {}
    for pid in _pids():
        process = _PROC / str(pid)
        # Of other users' processes the namespace may not be told; but its mounts are.
        link = None
        with contextlib.suppress(OSError):
            link = os.readlink(f"{process}/ns/mnt")  # noqa: PTH115 - as below
        if link is None or link not in by_link:
            mounts = _mounts(process, device, needle)
            if link is not None:
                by_link[link] = mounts
        else:
            mounts = by_link[link]
        ids = _ids(mounts)
        if mounts and ids not in known:
            places = [str(each.mountpoint) for each in mounts]
            namespaces.setdefault(ids, (places, []))[1].append(pid)
    yield from namespaces.values()


def _mounts(process: Path, device: str, needle: bytes) -> list[MountedFileSystem]:
    with contextlib.suppress(OSError):
        text = (process / "mountinfo").read_bytes()
        if needle in text:
            return [each for each in parse_mountinfo(text) if each.device == device]
    return []


def _ids(mounts: list[MountedFileSystem]) -> frozenset[int]:
    """The numbers of mounts: those of one namespace are of no other."""
    return frozenset(each.mount_id for each in mounts)


def _pids() -> Iterator[int]:
    with os.scandir(_PROC) as entries:
        for entry in entries:
            if entry.name.isdecimal():
                yield int(entry.name)


def _process(pid: int) -> Process:
    name = "process"
    with contextlib.suppress(OSError):
        name = (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
    return Process(pid, name)


def _is_below(links: Iterable[str], places: list[str]) -> bool:
    return any(link == place or link.startswith(f"{place}/") for link in links for place in places)


def _links(pid: int) -> Iterator[str]:
    process = f"{_PROC}/{pid}"
    for name in ("cwd", "root", "exe"):
        with contextlib.suppress(OSError):
            yield os.readlink(f"{process}/{name}")  # noqa: PTH115 - thousands: a string is cheaper
    for name in ("fd", "map_files"):
        with contextlib.suppress(OSError), os.scandir(f"{process}/{name}") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    yield os.readlink(entry.path)  # noqa: PTH115 - as above
