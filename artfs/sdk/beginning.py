"""Beginning the run that is asked for: a new one, one that is there, or one that is joined."""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import Any

from artfs.catalog.records import RunRecord
from artfs.errors import Conflict, UsageError
from artfs.model import Metadata, check_name
from artfs.repository.facade import Repository
from artfs.repository.runnames import find_run, new_run_id
from artfs.sdk.metadata import normalize_metadata
from artfs.sdk.resuming import resumable
from artfs.sdk.run import Run
from artfs.sdk.runconfig import artifact_in, check_config
from artfs.sdk.runsettings import RunRequest, Settings
from artfs.sdk.session import current_run, set_current_run, shared_repository, show_run
from artfs.settings import chosen_project

logger = logging.getLogger(__name__)


def begin_run(request: RunRequest, settings: Settings) -> Run:
    """See `artfs.init`."""
    current = current_run()
    if isinstance(current, Run):
        if request.reinit == "finish_previous" and not current.is_inherited:
            current.finish()
        elif request.reinit != "create_new":
            if not current.is_inherited and request.reinit == "default":
                logger.warning("artfs.init(): %r is still running and goes on", current)
            return current
    if request.mode == "disabled":
        return _begin_disabled(request, settings)
    repository = shared_repository(request.store, entity=request.entity)
    plain_config, artifacts = _split(request.config)
    if request.reinit != "create_new" and (joined := _joined(repository, request)) is not None:
        joined.config.update_here(plain_config | artifacts)
        set_current_run(joined)
        return joined
    run = _new_or_resumed(repository, request, plain_config)
    run.started(request, settings=settings, details=_details(request))
    if request.reinit != "create_new" or current_run() is None:
        _make_current(run)
    else:
        run.finish_at_exit()
    try:
        run.config.update(artifacts)
        if request.save_code:
            run.log_script()
    except BaseException:
        run.finish(exit_code=1)
        raise
    return run


def _make_current(run: Run) -> None:
    set_current_run(run)
    if not run.disabled:
        show_run(run.id, run.repository.address)
    run.mark()
    run.finish_at_exit()


def _begin_disabled(request: RunRequest, settings: Settings) -> Run:
    from artfs.sdk.disabled import DisabledRun  # noqa: PLC0415 - few scripts ask for it

    plain_config, artifacts = _split(request.config)
    run = DisabledRun.thrown_away(request, plain_config)
    run.started(request, settings=settings, details=_details(request))
    _make_current(run)
    run.config.update_here(artifacts)
    return run


def _joined(repository: Repository, request: RunRequest) -> Run | None:
    """The run that the environment names; what is asked of it in vain is said."""
    joined = Run.joined(repository, request.project)
    if joined is None or request.id not in {None, joined.id}:
        return None
    dropped = [
        f"{name}={value!r}"
        for name, value, has in (
            ("name", request.name, joined.name),
            ("job_type", request.job_type, joined.job_type),
            ("group", request.group, joined.group),
            ("notes", request.notes, joined.notes),
            ("tags", None if request.tags is None else list(request.tags), list(joined.tags)),
        )
        if value is not None and value != has
    ]
    if dropped:
        logger.warning(
            "artfs.init(): this process is part of %r, and %s counts for nothing: "
            "unset ARTFS_RUN_ID for a run of its own",
            joined,
            ", ".join(dropped),
        )
    joined.taken_part(request)
    return joined


def _new_or_resumed(repository: Repository, request: RunRequest, config: Metadata) -> Run:
    """A new run, or one that is there and is asked for by its id.

    Raises: UsageError where `resume` does not go with what is there.
    """
    catalog = repository.catalog
    project = check_name(chosen_project(request.project), kind="project")
    name = request.id
    if name is None and request.resume == "auto":
        name = resumable(request.dir)
    if name is None:
        if request.resume == "must":
            raise UsageError("resume='must'", "needs the id of a run", hint="say init(id=…)")
        return Run.begin(
            repository, project, name=request.name, job_type=request.job_type, config=config
        )
    found = find_run(catalog, project, name)
    if found is None:
        if request.resume == "must":
            raise UsageError(f"run {name!r}", f"the project {project!r} has none to resume")
        try:
            return Run.begin(
                repository,
                project,
                name=request.name,
                job_type=request.job_type,
                config=config,
                run_id=new_run_id(catalog, project, name),
            )
        except Conflict:
            # Several processes of one run came at once.
            found = find_run(catalog, project, name)
            if found is None:
                raise
    return _resumed(repository, request, found, config)


def _resumed(
    repository: Repository, request: RunRequest, found: RunRecord, config: Metadata
) -> Run:
    if request.resume == "never":
        raise UsageError(
            f"run {request.id!r}", "is there already", hint="name another id, or resume='allow'"
        )
    run = Run.resumed_from(repository, found)
    run.config.update(config)
    return run


def _details(request: RunRequest) -> Metadata:
    given: dict[str, Any] = {
        "group": request.group,
        "notes": request.notes,
        "tags": None if request.tags is None else list(request.tags),
        "program": os.path.basename(sys.argv[0] or ""),  # noqa: PTH119 - a name, not a path
        "host": socket.gethostname(),
    }
    return {name: value for name, value in given.items() if value}


def _split(config: dict[str, Any]) -> tuple[Metadata, dict[str, Any]]:
    """A config's plain values, and its artifacts."""
    check_config(config)
    artifacts = {key: value for key, value in config.items() if artifact_in(value) is not None}
    rest = {key: value for key, value in config.items() if key not in artifacts}
    return normalize_metadata(rest, subject="config", max_keys=None), artifacts
