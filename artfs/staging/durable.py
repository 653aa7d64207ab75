"""Up to when the content of a staging area is known to have survived the host.

Files are made durable some seconds after they are closed. When the host dies before that, a file
may come back shorter than it was, and nothing in it tells. So the area notes when it was last
made durable, and in which run of the host: what was changed after that, in an earlier run, may
be cut.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec

from artfs.system.oserrors import translate_os_errors

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_CLOCK_STEP_NS = 20_000_000
"""The kernel's clock for files goes in steps, of 10 ms at most, and is behind."""


class Durable(msgspec.Struct, frozen=True):
    """What is known."""

    boot_id: str
    """The run of the host; empty where the host does not tell, and then nothing is suspected."""
    until_ns: int
    """What was not changed after this, in nanoseconds since 1970, survives the host."""

    @classmethod
    def now(cls) -> Self:
        """For who begins to make everything durable."""
        boot_id = ""
        with suppress(OSError):
            boot_id = _BOOT_ID.read_text().strip()
        return cls(boot_id, time.time_ns() - _CLOCK_STEP_NS)


def read_durable(path: Path) -> Durable | None:
    """What was noted; None where nothing was. Raises: PermissionDenied, BackendUnavailable."""
    with translate_os_errors(path):
        try:
            return msgspec.json.decode(path.read_bytes(), type=Durable)
        except (FileNotFoundError, msgspec.DecodeError):
            # Of an area from before there was such a note, or of a host that died with it.
            return None


def write_durable(path: Path, durable: Durable) -> None:
    """Note it, durably once the directory is. Blocks: disk. Raises: OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        # In place: it is shorter than what a disk writes at once, and always equally long.
        os.pwrite(fd, msgspec.json.encode(durable), 0)
        os.fdatasync(fd)
    finally:
        os.close(fd)
