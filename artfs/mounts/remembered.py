"""Which staging area was last mounted at a mountpoint: so that what became of it can be told later.

What became of it stands beside the area (artfs/staging/listing.py); here is only the way there. It
is kept where the logs are.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from artfs.errors import ArtfsError
from artfs.mounts.messages import decode_line, encode_line, mountpoint_key
from artfs.system.directories import own_directory
from artfs.system.user_places import log_directory

_DIRECTORY = "staged"
_SUFFIX = ".json"
_MAX_REMEMBERED = 100


class LastStaging(msgspec.Struct, frozen=True, kw_only=True):
    """The staging area that was last mounted at a place."""

    mountpoint: Path
    id: str
    artifact: str
    """`project/name`."""
    area: Path
    """The area's directory."""


def remember(last: LastStaging) -> None:
    """Keep it for whoever asks later; as well as that can be done, for nothing depends on it."""
    with suppress(OSError, ArtfsError):
        directory = log_directory() / _DIRECTORY
        own_directory(directory).close()
        path = directory / f"{mountpoint_key(last.mountpoint)}{_SUFFIX}"
        temporary = path.with_suffix(".new")
        temporary.write_bytes(encode_line(last))
        temporary.rename(path)
        found = sorted(directory.glob(f"*{_SUFFIX}"), key=lambda each: each.stat().st_mtime_ns)
        for old in found[:-_MAX_REMEMBERED]:
            old.unlink(missing_ok=True)


def last_staging(place: Path) -> LastStaging | None:
    """The area that this user last had mounted here; None where nothing is known."""
    # Who has no place for it knows nothing.
    with suppress(OSError, ArtfsError, msgspec.DecodeError):
        path = log_directory() / _DIRECTORY / f"{mountpoint_key(place)}{_SUFFIX}"
        last = decode_line(path.read_bytes(), LastStaging)
        if last.mountpoint == place:
            return last
    return None
