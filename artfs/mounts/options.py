"""What `-o` says about a mount, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

import msgspec

from artfs.errors import InvalidArgument
from artfs.settings import MAX_TIMEOUT_S, timeout_s

MAX_ALIAS_TTL_S = 3600.0
MAX_IDLE_S = 30 * 24 * 3600.0
_MAX_ID = 2**32 - 2


class AliasStyle(StrEnum):
    """How a mount shows aliases."""

    DIRECTORY = "directory"
    """As a directory of its own, which `ls`, `cp -r`, `rsync` and `tar` go into."""
    SYMLINK = "symlink"
    """As a symbolic link to the version's directory."""


class MountOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a version, artifact, project or store is shown."""

    aliases: AliasStyle = AliasStyle.DIRECTORY
    freeze: bool = False
    """Resolve names once: what was committed after the mount is not seen."""
    alias_ttl_s: float | None = None
    """How long an alias, or a list of versions, may be stale; None: as the store says."""
    allow_other: bool = False
    uid: int | None = None
    """The owner shown for everything; None: who mounts."""
    gid: int | None = None
    umask: int = 0
    """Bits taken from the modes 0444 and 0555."""
    read_timeout_s: float = msgspec.field(default_factory=timeout_s)
    """No read takes longer: it fails with ETIMEDOUT. Else the setting."""
    idle_s: float | None = None
    """The mount ends by itself when nobody has used it for so long; None: it does not."""
    file_references: bool | None = None
    """Whether local files that a version refers to are read; None: unless `allow_other`."""

    @property
    def reads_file_references(self) -> bool:
        """Whether local files are read, which is done with the rights of who mounts.

        A version chooses which files; so by default nobody reads them but who has these rights.
        """
        return not self.allow_other if self.file_references is None else self.file_references


def parse_options(texts: Iterable[str]) -> MountOptions:
    """Read the values of `-o`, each of them `NAME[=VALUE][,NAME[=VALUE]]...`; the last one wins.

    Raises: InvalidArgument, which names the option and what it takes.
    """
    chosen: dict[str, Any] = {}
    for text in texts:
        for item in filter(None, text.split(",")):
            name, equals, value = item.partition("=")
            if name in _FLAGS:
                if equals:
                    raise InvalidArgument(f"-o {item}", f"{name} takes no value")
                chosen |= _FLAGS[name]
            elif name in _VALUES:
                field, read, expected = _VALUES[name]
                try:
                    chosen[field] = read(value)
                except (ValueError, KeyError):
                    raise InvalidArgument(f"-o {item}", f"{name} takes {expected}") from None
            elif name == "rw":
                raise InvalidArgument(
                    "-o rw", "a mount is read-only", hint="`artfs stage` makes a writable one"
                )
            else:
                known = ", ".join([*_VALUES, *(flag for flag in _FLAGS if _FLAGS[flag])])
                raise InvalidArgument(f"-o {item}", "no such option", hint=f"known are {known}")
    return MountOptions(**chosen)


def is_known_option(item: str) -> bool:
    """Whether `NAME[=VALUE]` is an option of a mount, whatever its value."""
    name = item.partition("=")[0]
    return name in _FLAGS or name in _VALUES


def _seconds(limit_s: float, *, positive: bool) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not math.isfinite(value) or not 0 <= value <= limit_s or (positive and not value):
            raise ValueError
        return value

    return read


def _id(text: str) -> int:
    value = int(text)
    if not 0 <= value <= _MAX_ID:
        raise ValueError
    return value


def _switch(text: str) -> bool:
    return {"on": True, "off": False}[text]


def _mask(text: str) -> int:
    value = int(text, 8)
    if not 0 <= value <= 0o777:
        raise ValueError
    return value


# What every mount is anyway may be said, as in /etc/fstab.
_FLAGS: dict[str, dict[str, Any]] = {
    "freeze": {"freeze": True},
    "allow_other": {"allow_other": True},
    "ro": {},
    "noatime": {},
    "nosuid": {},
    "nodev": {},
}
_VALUES: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "aliases": ("aliases", AliasStyle, "'directory' or 'symlink'"),
    "alias_ttl": (
        "alias_ttl_s",
        _seconds(MAX_ALIAS_TTL_S, positive=False),
        f"seconds from 0 to {MAX_ALIAS_TTL_S:.0f}",
    ),
    "timeout": (
        "read_timeout_s",
        _seconds(MAX_TIMEOUT_S, positive=True),
        f"seconds, more than 0 and at most {MAX_TIMEOUT_S:.0f}",
    ),
    "idle": (
        "idle_s",
        _seconds(MAX_IDLE_S, positive=True),
        f"seconds, more than 0 and at most {MAX_IDLE_S:.0f}",
    ),
    "uid": ("uid", _id, "a numeric user id"),
    "gid": ("gid", _id, "a numeric group id"),
    "umask": ("umask", _mask, "octal bits from 0 to 777"),
    "file_references": ("file_references", _switch, "'on' or 'off'"),
}
