"""What is to be mounted, as people and scripts name it."""

from __future__ import annotations

from pathlib import Path

from artfs.errors import InvalidArgument
from artfs.mounts.messages import MountRequest
from artfs.mounts.options import MountOptions
from artfs.settings import default_project, store_location
from artfs.wandbstore.address import is_server_url, split_target


def mount_request(
    target: str | None, mountpoint: Path, *, store: str | None, options: MountOptions
) -> MountRequest:
    """Mount `target` of a store, or of what is on a W&B server; without one all of the store.

    A name with a version, and no project, is in the default project, where one is set.
    Raises: InvalidArgument, InvalidName, ConfigError.
    """
    if target is not None and is_server_url(target):
        if store is not None:
            raise InvalidArgument(target, "names its store: leave --store out")
        store, target = split_target(target)
    project = default_project()
    if target is not None and project and ":" in target and "/" not in target:
        target = f"{project}/{target}"
    return MountRequest(
        store=store_location(store), target=target, mountpoint=mountpoint, options=options
    )
