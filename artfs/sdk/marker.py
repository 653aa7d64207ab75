"""Showing mounts which run this process belongs to.

A mount reads `ARTFS_RUN_ID` from /proc/PID/environ, which keeps what the process was started with:
a variable that is set later shows in its children only. So `artfs.init` also leaves an empty memfd
open whose name tells the run; forked children inherit it, and it ends with the process.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from artfs.settings import RUN_MARKER, RUN_MARKER_FDS


def mark_process(run_id: str) -> int | None:
    """Show that this process belongs to a run; the descriptor of the mark.

    None where that cannot be done: then mounts do not see it.
    """
    try:
        made = os.memfd_create(RUN_MARKER + run_id)
        try:
            return fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, RUN_MARKER_FDS.start)
        finally:
            os.close(made)
    except OSError:
        return None


def unmark_process(descriptor: int) -> None:
    """Take the mark away, unless somebody has closed it and the descriptor is another file's."""
    try:
        target = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if target.startswith(f"/memfd:{RUN_MARKER}"):
            os.close(descriptor)
    except OSError:
        return
