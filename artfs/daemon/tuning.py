"""What makes a mount faster, where the kernel lets us: best effort, and root only."""

from __future__ import annotations

import logging
from pathlib import Path

from artfs.mounts.mountinfo import mounted_at

logger = logging.getLogger(__name__)

READ_AHEAD_KIB = 4096
_MAX_BACKGROUND = 1024
"""Requests of the kernel's read-ahead that may wait, whoever they are for: those of hundreds of
readers that are stuck leave room for the others. What they cost is limited elsewhere."""
_CONGESTION_THRESHOLD = 768


def tune_mount(mountpoint: Path) -> None:
    """Raise read-ahead, and how many requests may wait; asks the kernel, not the mount."""
    mounted = mounted_at(mountpoint)
    if mounted is None:
        return
    minor = mounted.device.partition(":")[2]
    connection = Path("/sys/fs/fuse/connections") / minor
    for path, value in (
        # Streams come in requests of 1 MiB in place of 128 KiB; more was measured to be slower.
        (Path("/sys/class/bdi") / mounted.device / "read_ahead_kb", READ_AHEAD_KIB),
        (connection / "max_background", _MAX_BACKGROUND),
        (connection / "congestion_threshold", _CONGESTION_THRESHOLD),
    ):
        try:
            path.write_text(str(value))
        except OSError as error:
            logger.debug("%s stays as it is: %s", path, error)
