"""What a mount's process and its clients say to each other, as JSON lines."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from artfs.config import runtime_path
from artfs.daemon.options import MountOptions
from artfs.engine.counters import Counters


class MountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to mount where."""

    store: str
    """The directory or URL of the store."""
    target: str | None
    """`project`, `project/name` or `project/name:selector`; None: the whole store."""
    mountpoint: Path
    options: MountOptions = MountOptions()


class MountState(StrEnum):
    """Whether a mount can be used."""

    MOUNTED = "mounted"
    UNRESPONSIVE = "unresponsive"
    """Its process lives and does not answer."""
    DEAD = "dead"
    """Its process is gone; the next mount or umount here cleans up."""


class MountStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A mount, as seen from outside."""

    mountpoint: Path
    state: MountState
    pid: int | None = None
    kind: str = "mount"
    store: str | None = None
    target: str | None = None
    """As it was asked for; None: the whole store, or not known because the mount is dead."""
    version: str | None = None
    """`project/name:vN` where the mount shows one version."""
    started_at_s: float | None = None
    """Seconds since the Unix epoch."""
    options: MountOptions | None = None
    counters: Counters | None = None
    log: Path | None = None


class Command(msgspec.Struct, frozen=True):
    """A client's line: `status` or `stop`."""

    command: str


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to one command."""

    status: MountStatus | None = None
    error: str | None = None


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new process's one line to the one that started it."""

    status: MountStatus | None = None
    error: tuple[str, str, str, str] | None = None
    """Class, subject, reason and hint of an ArtfsError."""


Message = TypeVar("Message", bound=msgspec.Struct)


def encode_line(message: msgspec.Struct) -> bytes:
    """A message as one line of JSON."""
    return msgspec.json.encode(message, enc_hook=_plain) + b"\n"


def decode_line(line: bytes | bytearray, kind: type[Message]) -> Message:
    """The message on a line. Raises: msgspec.DecodeError."""
    return msgspec.json.decode(line, type=kind, dec_hook=_path)


def socket_path(mountpoint: Path) -> Path:
    """The control socket of a mount; the mountpoint is absolute and without symlinks.

    Raises: ConfigError.
    """
    return runtime_path() / f"{_key(mountpoint)}.sock"


def log_name(mountpoint: Path) -> str:
    """The name of a mount's log file."""
    readable = "".join(c if c.isalnum() else "-" for c in mountpoint.name)[:40]
    return f"mount-{readable}-{_key(mountpoint)[:8]}.log"


def _key(mountpoint: Path) -> str:
    return hashlib.sha256(bytes(mountpoint)).hexdigest()[:24]


def _plain(value: Any) -> str:
    assert isinstance(value, Path)
    return str(value)


def _path(kind: type, text: Any) -> Path:
    assert issubclass(kind, Path)
    return kind(text)
