"""What the kernel says is mounted; no file system is asked, so that a dead one cannot hang us."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from artfs.settings import expand_home

FILE_SYSTEM_TYPE = "fuse.artfs"
_MOUNTINFO = Path("/proc/self/mountinfo")
_SOURCE = "artfs"
_STAGED = re.compile(rf"{_SOURCE}-([0-9a-f]{{8}})")
_ESCAPE = re.compile(rb"\\([0-7]{3})")
_USER_ID = re.compile(r"(?:^|,)user_id=(\d+)")


class MountedFileSystem(msgspec.Struct, frozen=True):
    """One line of /proc/self/mountinfo."""

    mount_id: int
    """Of this mount in this mount namespace: a copy in another one has another number."""
    mountpoint: Path
    device: str
    """`major:minor`."""
    type: str
    owner: int | None
    """Who mounted it, for FUSE."""
    is_writable: bool
    source: str
    """What it says to be a mount of: the kernel keeps that wherever the mount is moved, bound or
    copied to, and when its process is gone."""

    @property
    def is_artfs(self) -> bool:
        """Whether artfs made it."""
        return self.type == FILE_SYSTEM_TYPE

    @property
    def area_id(self) -> str | None:
        """The id of the staging area that artfs mounted; None for what is no staging mount."""
        found = _STAGED.fullmatch(self.source) if self.is_artfs else None
        return None if found is None else found[1]


def source_of(area_id: str | None) -> str:
    """The source of a mount of artfs, of a staging area or of none."""
    return _SOURCE if area_id is None else f"{_SOURCE}-{area_id}"


def mounted_file_systems() -> list[MountedFileSystem]:
    """Everything that is mounted, in order: of two at one place the later one covers."""
    return parse_mountinfo(_MOUNTINFO.read_bytes())


def parse_mountinfo(text: bytes) -> list[MountedFileSystem]:
    """What the /proc/PID/mountinfo of any process says."""
    found = []
    # Of what ends a line elsewhere, the kernel escapes nothing but the newline.
    for line in filter(None, text.split(b"\n")):
        # proc(5): id parent device root mountpoint options [optional...] - type source super
        head, _, tail = line.partition(b" - ")
        fields, rest = head.split(b" "), tail.split(b" ")
        path = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), fields[4])
        owner = _USER_ID.search(os.fsdecode(rest[-1]))
        found.append(
            MountedFileSystem(
                mount_id=int(fields[0]),
                mountpoint=Path(os.fsdecode(path)),
                device=fields[2].decode(),
                type=rest[0].decode(),
                owner=int(owner[1]) if owner else None,
                is_writable=b"rw" in rest[-1].split(b","),
                source=os.fsdecode(rest[1]),
            )
        )
    return found


def artfs_mountpoints(below: str) -> frozenset[str]:
    """The mounts of artfs below a directory, as paths without symlinks."""
    prefix = f"{os.path.realpath(below).rstrip('/')}/"
    return frozenset(
        path
        for each in mounted_file_systems()
        if each.is_artfs and (path := str(each.mountpoint)).startswith(prefix)
    )


def mounted_at(mountpoint: Path) -> MountedFileSystem | None:
    """What is mounted exactly here; the path is absolute and without symlinks."""
    found = [each for each in mounted_file_systems() if each.mountpoint == mountpoint]
    return found[-1] if found else None


def locate_mountpoint(path: Path) -> Path:
    """The absolute path without symlinks; what may be mounted there is not asked."""
    absolute = Path(os.path.normpath(Path.cwd() / expand_home(path)))
    candidate = Path(os.path.realpath(absolute.parent)) / absolute.name
    if mounted_at(candidate) is not None:
        return candidate
    return Path(os.path.realpath(candidate))
