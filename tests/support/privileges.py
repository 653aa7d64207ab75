"""What tests may do: permissions that hold although they run as root, and what only root can."""

from __future__ import annotations

import os

import pytest

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
