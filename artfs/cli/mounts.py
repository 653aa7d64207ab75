"""Mounts, as a person and as JSON sees them."""

from __future__ import annotations

import pwd
from typing import Any

import msgspec

from artfs.mounts.messages import MountStatus


def mounted_name(status: MountStatus) -> str:
    """What a mount shows, for a person."""
    if status.store is None:
        return "-"
    return status.version or status.target or f"the store {status.store}"


def mount_value(status: MountStatus) -> dict[str, Any]:
    """A mount as JSON shows it."""
    value: dict[str, Any] = msgspec.to_builtins(status, enc_hook=str)
    return value


def owner_name(status: MountStatus) -> str:
    """Who mounted it: a user's name, or the number of one without."""
    if status.owner is None:
        return "-"
    try:
        return pwd.getpwuid(status.owner).pw_name
    except KeyError:
        return str(status.owner)
