"""The page of what runs on this host: mounts and staging areas."""

from __future__ import annotations

from starlette.responses import Response

from artfs.errors import ArtfsError, PermissionDenied
from artfs.mounts import client
from artfs.mounts.messages import MountStatus
from artfs.staging.listing import AreaRecord, DamagedArea, staging_areas
from artfs.web.context import Asked


def host_page(asked: Asked) -> Response:
    """Mounts of this user, for root of everybody, and staging areas of this store.

    Blocks: about 8 s for each mount that hangs. Raises: PermissionDenied for whoever does not run
    this server.
    """
    if not asked.visitor.sees_host:
        raise PermissionDenied("this host", "is shown to whoever runs `artfs web` on it")
    problems: list[ArtfsError] = []
    mounts: list[MountStatus] = []
    areas: list[AreaRecord] = []
    damaged: list[DamagedArea] = []
    try:
        mounts = client.mounts()
    except ArtfsError as error:
        problems.append(error)
    if asked.repository.info.root is not None or not asked.repository.is_server:
        try:
            areas = staging_areas(asked.repository.info, damaged.append)
        except ArtfsError as error:
            problems.append(error)
    return asked.page(
        "host.html", mounts=mounts, areas=areas, damaged_areas=damaged, problems=problems
    )
