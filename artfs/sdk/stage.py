"""`artfs.stage`: a writable directory that becomes a version at the end of a block."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from artfs.model import Metadata
from artfs.mounts import client
from artfs.mounts import staging_client as stageclient
from artfs.mounts.messages import MountRequest, StageOrder
from artfs.sdk.newfile import check_same_process
from artfs.sdk.session import active_repository, current_run
from artfs.system import forks


@contextmanager
def stage(
    name: str,
    *,
    type: str | None = None,  # noqa: A002 - as in Artifact(name, type=...)
    base: str | None = None,
    aliases: Sequence[str] = (),
    description: str | None = None,
    metadata: Metadata | None = None,
    store: str | None = None,
) -> Iterator[Path]:
    """Give a writable directory; at the end of the block it becomes a version of `name`.

    It is empty, or shows the version that `base` names, lazily. An exception in the block drops
    it. The current run is recorded as the one that made the version.

    Raises: NotFound, Conflict, InvalidArgument and what else `artfs stage` and `artfs umount` end
    with. When the commit fails everything is kept, and the error says how to go on.
    """
    run = current_run()
    address = store or active_repository().address
    if run is not None and "/" not in name:
        name = f"{run.project}/{name}"
    order = StageOrder(
        type=type,
        base=base,
        aliases=tuple(aliases),
        description=description,
        metadata=metadata or {},
        run_id=None if run is None else run.id,
    )
    mountpoint = Path(tempfile.mkdtemp(prefix="artfs-stage-"))
    generation = forks.generation()
    try:
        client.start(MountRequest(store=address, target=name, mountpoint=mountpoint, stage=order))
        try:
            yield mountpoint
        except BaseException:
            # A child of fork that ends leaves its parent's directory alone.
            if generation == forks.generation():
                stageclient.abort(mountpoint)
            raise
        check_same_process(generation, name)
        stageclient.finish(mountpoint)
    finally:
        if generation == forks.generation():
            # Not empty: it is mounted still, and kept.
            with suppress(OSError):
                mountpoint.rmdir()
