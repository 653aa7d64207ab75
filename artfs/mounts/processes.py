"""Starting processes that use artfs, too."""

from __future__ import annotations

import os
from pathlib import Path


def child_environment() -> dict[str, str]:
    """The environment in which a new process finds the same artfs as this one."""
    environment = dict(os.environ)
    # Paths that it is told are those of this process, whatever the locale.
    environment["PYTHONUTF8"] = "1"
    root = Path(__file__).resolve().parents[2]
    if root.name not in {"site-packages", "dist-packages"}:
        paths = [str(root), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment
