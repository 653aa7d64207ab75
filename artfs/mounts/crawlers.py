"""Programs that walk through every mount: whether they were told to pass over those of artfs."""

from __future__ import annotations

import re
from pathlib import Path

UPDATEDB_CONF = Path("/etc/updatedb.conf")
FILE_SYSTEM_TYPE = "fuse.artfs"

_PRUNED_TYPES = re.compile(r'^\s*PRUNEFS\s*=\s*"([^"]*)"', re.MULTILINE)


def is_crawled(conf: Path = UPDATEDB_CONF) -> bool:
    """Whether updatedb(8), where it is installed, reads the names of all versions of all mounts.

    It sees those that its user may look into: mounts of root, and with `-o allow_other`.
    """
    try:
        text = conf.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    found = _PRUNED_TYPES.findall(text)
    # The last one counts, and letters may be of either case.
    return not found or FILE_SYSTEM_TYPE not in found[-1].lower().split()
