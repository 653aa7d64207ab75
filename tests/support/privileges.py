"""What tests may do: permissions that hold although they run as root, and what only root can."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_CAPABILITIES = "-dac_override,-dac_read_search"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
"""For what an ordinary user cannot set up: other users, mounts of disks. The reason is counted by
scripts/test, which runs these as root."""


def unprivileged(command: list[str]) -> list[str]:
    """The command, so that file permissions hold for it as for anybody."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--bounding-set", _CAPABILITIES, "--inh-caps", _CAPABILITIES, *command]


def as_user(command: list[str], *, uid: int, gid: int | None = None) -> list[str]:
    """The command as another user, without groups or capabilities; only root can start it."""
    group = uid if gid is None else gid
    return ["setpriv", f"--reuid={uid}", f"--regid={group}", "--clear-groups", *command]


def python_of(uid: int) -> list[str]:
    """A Python that another user may start, with the packages of this one.

    Ours may be in the home directory of whoever runs the tests.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    paths = os.pathsep.join([str(ROOT), *(path for path in sys.path if "-packages" in path)])
    for candidate in (sys.executable, f"/usr/bin/python{version}", "/usr/bin/python3"):
        command = ["env", f"PYTHONPATH={paths}", candidate, "-B"]
        code = f"import sys, artfs, msgspec; assert sys.version.startswith('{version}.')"
        probe = as_user([*command, "-c", code], uid=uid)
        if not subprocess.run(probe, capture_output=True, check=False, cwd="/").returncode:
            return command
    pytest.skip(f"there is no Python {version} that another user may start")


def for_its_owner(path: Path, mode: int) -> int:
    """A mode with which whoever runs the tests still looks into a directory; root always does."""
    return mode | stat.S_IRWXU if os.geteuid() and path.is_dir() else mode
