"""Which run a thread that asks the kernel for something belongs to, as /proc tells."""

from __future__ import annotations

import os
from pathlib import Path

from artfs.settings import RUN_MARKER, RUN_MARKER_FDS, RUN_VARIABLE

PROC = Path("/proc")

_MAX_RUN_ID_LENGTH = 128


def run_of(thread_id: int, proc: Path = PROC) -> str | None:
    """The run of a thread; None where it is in none, is gone, or nobody may know.

    Blocks: on locks of the thread's process, so never on the loop: whoever holds such a lock may
    be waiting for this mount.
    """
    try:
        # What is opened below is this thread's or fails, even when its number is given to another.
        directory = os.open(proc / str(thread_id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _marked_run(directory) or _run_of_environment(_read(directory, "environ"))
    except OSError:
        return None
    finally:
        os.close(directory)


def _read(directory: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        return file.readall()


def _run_of_environment(environment: bytes) -> str | None:
    prefix = f"{RUN_VARIABLE}=".encode()
    for variable in environment.split(b"\0"):
        if variable.startswith(prefix):
            return _plausible(variable.removeprefix(prefix).decode(errors="replace"))
    return None


def _marked_run(directory: int) -> str | None:
    """The run that `artfs.init` began after the process had; see artfs/sdk/marker.py."""
    prefix = f"/memfd:{RUN_MARKER}"
    for descriptor in RUN_MARKER_FDS:
        try:
            target = os.readlink(f"fd/{descriptor}", dir_fd=directory)
        except OSError:
            return None
        if target.startswith(prefix):
            return _plausible(target.removeprefix(prefix).removesuffix(" (deleted)"))
    return None


def _plausible(run_id: str) -> str | None:
    return run_id if 0 < len(run_id) <= _MAX_RUN_ID_LENGTH and run_id.isprintable() else None
