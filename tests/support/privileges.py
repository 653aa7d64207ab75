"""Permissions that hold although the tests run as root."""

from __future__ import annotations

import os

_CAPABILITIES = "-dac_override,-dac_read_search"


def unprivileged(command: list[str]) -> list[str]:
    """The command, so that file permissions hold for it as for anybody."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--bounding-set", _CAPABILITIES, "--inh-caps", _CAPABILITIES, *command]
