"""Beginning runs, and the functions that speak to the one that is current in this process."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from artfs.errors import InvalidArgument
from artfs.model import Metadata
from artfs.mounts import client
from artfs.mounts import staging_client as stageclient
from artfs.mounts.messages import MountRequest, StageOrder
from artfs.sdk.draft import check_same_process
from artfs.sdk.metadata import normalize_metadata
from artfs.sdk.run import Artifact, Run
from artfs.sdk.runconfig import artifact_in, check_config
from artfs.sdk.session import (
    active_repository,
    current_run,
    set_current_run,
    shared_repository,
    show_run,
)
from artfs.system import forks

logger = logging.getLogger(__name__)


def init(
    project: str | None = None,
    entity: str | None = None,
    name: str | None = None,
    job_type: str | None = None,
    config: dict[str, Any] | None = None,
    *,
    store: str | None = None,
) -> Run:
    """Begin a run and make it the current one of this process.

    Where a run is current already, it is returned as it is. A process that `artfs run` started,
    or a child of one that called `init`, joins that run: its environment names it.

    Args:
        project: Where artifacts go whose names mention none. Default: `$ARTFS_PROJECT`, the
            configuration file, "uncategorized".
        entity: The entity that the store belongs to; a store that is made belongs to it.
        name: A name for people. Default: one is made up.
        job_type: What the run does, such as "train".
        config: What it was configured with: a dict of JSON values. An artifact is an input of
            the run. A run that is joined keeps its own in the store; these are then known to this
            process only, but for artifacts.
        store: A directory, or the URL of a shared store. Default: `$ARTFS_STORE`, the
            configuration file, a directory in the user's data directory.

    Raises:
        ValueError: for a bad name, an entity that the store does not belong to, or an artifact
            inside of another value in `config`.

    Example:
        >>> with artfs.init(project="demo", job_type="train") as run:
        ...     data = run.use_artifact("digits:latest").download()
    """
    run = _current()
    if run is not None:
        if not run.is_inherited:
            logger.warning("artfs.init(): %r is still running and goes on", run)
        return run
    return start_run(
        project, entity=entity, name=name, job_type=job_type, config=config, store=store
    )


def start_run(
    project: str | None,
    *,
    entity: str | None = None,
    name: str | None = None,
    job_type: str | None = None,
    config: dict[str, Any] | None = None,
    store: str | None = None,
) -> Run:
    """Begin a run, or join the one that the environment names; see `init`."""
    repository = shared_repository(store, entity=entity)
    plain_config, artifacts = _split(config)
    if (joined := Run.joined(repository, project)) is not None:
        joined.config.update(plain_config | artifacts)
        set_current_run(joined)
        return joined
    run = Run.begin(repository, project, name=name, job_type=job_type, config=plain_config)
    set_current_run(run)
    show_run(run.id, repository.address)
    run.mark()
    run.finish_at_exit()
    try:
        run.config.update(artifacts)
    except BaseException:
        run.finish(exit_code=1)
        raise
    return run


def _split(config: object) -> tuple[Metadata, dict[str, Any]]:
    """A config's plain values, and its artifacts."""
    if not isinstance(config, dict):
        return normalize_metadata(config, subject="config"), {}
    check_config(config)
    artifacts = {key: value for key, value in config.items() if artifact_in(value) is not None}
    rest = {key: value for key, value in config.items() if key not in artifacts}
    return normalize_metadata(rest, subject="config"), artifacts


def finish(exit_code: int | None = None) -> None:
    """End the current run, if there is one; see `Run.finish`."""
    run = _current()
    if run is not None:
        run.finish(exit_code)


def log_artifact(
    artifact_or_path: Artifact | str | os.PathLike[str],
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - W&B's name
    aliases: str | Sequence[str] | None = None,
) -> Artifact:
    """Log an artifact with the current run; see `Run.log_artifact`.

    Raises: InvalidArgument where there is no run.
    """
    return _required_run("log_artifact").log_artifact(artifact_or_path, name, type, aliases)


def use_artifact(
    artifact_or_name: Artifact | str,
    type: str | None = None,  # noqa: A002 - W&B's name
    aliases: str | Sequence[str] | None = None,
    use_as: str | None = None,
) -> Artifact:
    """Use an artifact in the current run; see `Run.use_artifact`.

    Raises: InvalidArgument where there is no run.
    """
    return _required_run("use_artifact").use_artifact(artifact_or_name, type, aliases, use_as)


def _current() -> Run | None:
    run = current_run()
    return run if isinstance(run, Run) else None


def _required_run(function: str) -> Run:
    run = _current()
    if run is None:
        raise InvalidArgument(
            f"artfs.{function}()", "there is no run", hint="call artfs.init() before it"
        )
    return run


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
