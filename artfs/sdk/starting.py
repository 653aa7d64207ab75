"""`artfs.init` and `artfs.stage`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from artfs import forks
from artfs.errors import Unsupported
from artfs.model import Metadata
from artfs.mounts import client
from artfs.mounts import staging_client as stageclient
from artfs.mounts.messages import MountRequest, StageOrder
from artfs.sdk.beginning import begin_run
from artfs.sdk.draft import check_same_process
from artfs.sdk.run import Run
from artfs.sdk.runsettings import RunRequest, Settings, config_values, selected
from artfs.sdk.session import active_repository, current_run


def init(  # noqa: PLR0913 - W&B's
    project: str | None = None,
    entity: str | None = None,
    name: str | None = None,
    job_type: str | None = None,
    config: Any = None,
    *,
    store: str | None = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002 - W&B's name
    id: str | None = None,  # noqa: A002 - W&B's name
    notes: str | None = None,
    tags: Sequence[str] | None = None,
    group: str | None = None,
    mode: str | None = None,
    resume: bool | str | None = None,
    reinit: bool | str | None = None,
    settings: Settings | dict[str, Any] | None = None,
    save_code: bool | None = None,
    config_exclude_keys: list[str] | None = None,
    config_include_keys: list[str] | None = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    allow_val_change: bool | None = None,  # noqa: ARG001 - W&B's, as all below: without effect
    force: bool | None = None,  # noqa: ARG001
    tensorboard: bool | None = None,  # noqa: ARG001
    sync_tensorboard: bool | None = None,  # noqa: ARG001
    monitor_gym: bool | None = None,  # noqa: ARG001
    anonymous: object = None,  # noqa: ARG001
    magic: object = None,  # noqa: ARG001
) -> Run:
    """Begin a run and make it the current one of this process.

    Where a run is current already, it is returned as it is. A process that `artfs run` started,
    or a child of one that called `init`, joins that run: its environment names it. What is not
    given is that of `settings`, then of W&B's variables (WANDB_NAME, WANDB_RUN_ID and so on).

    Args:
        project: Where artifacts go whose names mention none. Default: `$ARTFS_PROJECT`, the
            configuration file, `$WANDB_PROJECT`, "uncategorized".
        entity: The entity that the store belongs to; a store that is made belongs to it.
        name: A name for people. Default: one is made up.
        job_type: What the run does, such as "train".
        config: What it was configured with: a dict of JSON values, an argparse namespace, or a
            file of JSON or YAML. An artifact is an input of the run. A run that is joined keeps
            its own in the store; these are then known to this process only, but for artifacts.
        store: A directory, or the URL of a shared store. Default: `$ARTFS_STORE`, the
            configuration file, a directory in the user's data directory.
        dir: Where `run.dir` is made. Default: the current directory.
        id: The run's id in its project; one that is there is gone on with. Default: a new one.
        notes: Text about the run.
        tags: Words to find the run by.
        group: The group that it belongs to.
        mode: "disabled": nothing is kept. "online", "offline" and "shared" are the same: it is
            written to the store.
        resume: "must": the run of that id is there; "never": it is not; "allow"; "auto" or True:
            without an id, the last run of this directory that did not finish.
        reinit: Where a run is current: True or "finish_previous" ends it, "create_new" leaves it
            current, and begins another one.
        settings: W&B's settings; those count that say what the run is.
        save_code: Log the script that runs as an artifact of the type "code".
        config_exclude_keys: Keys of `config` to leave out.
        config_include_keys: The only keys of `config` to take.
        resume_from: Refused, as `fork_from`: it needs the history of metrics.

    Raises:
        ValueError: for a bad name, id, tag, mode or setting, an entity that the store does not
            belong to, or an artifact inside of another value in `config`.
        UsageError: where `resume` does not go with what is there.

    Example:
        >>> with artfs.init(project="demo", job_type="train") as run:
        ...     data = run.use_artifact("digits:latest").download()
    """
    for refused, what in ((resume_from, "resume_from"), (fork_from, "fork_from")):
        if refused is not None:
            raise Unsupported(
                f"{what}={refused!r}", "needs the history of metrics, which is not kept"
            )
    if isinstance(settings, dict):
        settings = Settings(**settings)
    config = selected(
        config_values(config), include=config_include_keys, exclude=config_exclude_keys
    )
    given = {
        "project": project, "entity": entity, "name": name, "job_type": job_type, "store": store,
        "dir": None if dir is None else os.fspath(dir), "id": id, "notes": notes, "tags": tags,
        "group": group, "mode": mode, "resume": resume, "reinit": reinit, "save_code": save_code,
        "config": config,
    }  # fmt: skip
    return begin_run(RunRequest.of(given, settings), settings or Settings())


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
