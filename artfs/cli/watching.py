"""`artfs status --watch`: what mounts do, second by second."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from artfs.cli.output import (
    error_value,
    format_count,
    format_size,
    iso_time,
    json_text,
    print_table,
    print_text,
)
from artfs.cli.values import mount_value, mounted_name
from artfs.errors import MountError
from artfs.mounts import client
from artfs.mounts.messages import Counters, MountStatus

_CLEAR = "\033[H\033[2J"
_HEADER = ("MOUNTPOINT", "STATE", "SHOWS", "READS/S", "SERVED/S", "LOADED/S", "OPEN", "ERRORS")
_Seen = dict[Path, tuple[float, Counters]]


def watch(mountpoint: Path | None, *, every_s: float, as_json: bool) -> None:
    """Print what is mounted, and do so again, until Ctrl-C.

    Blocks: until then. Raises: KeyboardInterrupt; OutputLost, BrokenPipeError.
    """
    before: _Seen = {}
    while True:
        mounts, error = _mounts(mountpoint)
        now_s = time.monotonic()
        if as_json:
            value = {
                "looked_at": iso_time(time.time_ns()),
                "mounts": [mount_value(each) for each in mounts],
                "error": None if error is None else error_value(error),
            }
            print_text(f"{json_text(value)}\n")
        else:
            if sys.stdout.isatty():
                print_text(_CLEAR)
            print_text(f"{time.strftime('%H:%M:%S')}\n")
            rows = [_row(each, before, now_s) for each in mounts]
            print_table(_HEADER, rows, right=frozenset(_HEADER[3:]))
            if error is not None:
                print_text(f"{error}\n")
        sys.stdout.flush()
        before = {
            each.mountpoint: (now_s, each.counters) for each in mounts if each.counters is not None
        }
        time.sleep(every_s)


def _mounts(mountpoint: Path | None) -> tuple[list[MountStatus], MountError | None]:
    """What is mounted now; one that is gone is no reason to end."""
    try:
        return (client.mounts() if mountpoint is None else [client.status(mountpoint)]), None
    except MountError as error:
        return [], error


def _row(status: MountStatus, before: _Seen, now_s: float) -> tuple[str, ...]:
    shown = (str(status.mountpoint), status.state.value, mounted_name(status))
    counters = status.counters
    if counters is None:
        return (*shown, *("-" for _ in _HEADER[3:]))
    then_s, then = before.get(status.mountpoint, (now_s, counters))
    seconds = max(now_s - then_s, 1e-3)

    def rate(now: int, earlier: int) -> float:
        # A mount that was made anew counts from nothing.
        return max(0.0, (now - earlier) / seconds)

    return (
        *shown,
        f"{rate(counters.reads, then.reads):.0f}",
        format_size(int(rate(counters.bytes_served, then.bytes_served))),
        format_size(int(rate(counters.bytes_loaded, then.bytes_loaded))),
        format_count(counters.open_files),
        format_count(counters.errors),
    )
