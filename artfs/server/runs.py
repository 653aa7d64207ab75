"""What clients say of runs. Metrics are not kept but for the last value of each: the summary."""

from __future__ import annotations

import secrets
import string
from contextlib import suppress
from typing import Any

import msgspec

from artfs.catalog.records import RunChange, RunRecord
from artfs.errors import Conflict, InvalidArgument, RunNotFound
from artfs.model import Metadata, RunState
from artfs.server import ids
from artfs.server.context import Context, as_json
from artfs.server.project_nodes import ProjectNode, RunNode
from artfs.server.tokens import RunFileUpload

_ID_CHARACTERS = string.ascii_lowercase + string.digits
_STATES = {
    "running": RunState.RUNNING,
    "finished": RunState.FINISHED,
    "failed": RunState.FAILED,
    "crashed": RunState.FAILED,
    "killed": RunState.FAILED,
}
_SUMMARY_FILE = "wandb-summary.json"
_KEPT_TEXTS = ("notes", "group", "program", "host", "commit", "repo", "sweep")
_NAMES = {"groupName": "group", "jobProgram": "program", "jobRepo": "repo"}


class RunMutations:
    """Resolves the fields of `Mutation` that make and change runs; blocks on the store."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def upsert_model(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - a field's argument
        project = self._context.project(input.get("name"), input.get("entityName"))
        self._context.access.require_write(project)
        node = ProjectNode(self._context, project)
        return {"project": node, "model": node, "inserted": False}

    def upsert_bucket(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        run, inserted = self._upserted(input)
        config = _object(input.get("config"), "config")
        change = RunChange(
            name=input.get("displayName") or msgspec.UNSET,
            job_type=input.get("jobType") or msgspec.UNSET,
            config=msgspec.UNSET if config is None else _plain(config),
        )
        catalog = self._context.repository.catalog
        run = catalog.change_run(run.id, change)
        if details := _details(input, config):
            catalog.describe_run(run.id, details)
        state = _STATES.get(input.get("state") or "")
        if state is not None and state is not run.state:
            run = catalog.finish_run(run.id, state)
        bucket = RunNode(self._context, run)
        return {"bucket": bucket, "inserted": inserted, "serverSettings": {"serverMessages": []}}

    def _upserted(self, input: Metadata) -> tuple[RunRecord, bool]:  # noqa: A002 - as above
        """The run that is meant, and whether it was made now."""
        context, catalog = self._context, self._context.repository.catalog
        if gid := input.get("id"):
            run = context.run_by_id(ids.run_id(gid))
            context.access.require_write(run.project)
            return run, False
        project = context.project(input.get("modelName"), input.get("entityName"))
        context.access.require_write(project)
        name = input.get("name") or "".join(secrets.choice(_ID_CHARACTERS) for _ in range(8))
        found = context.run(project, name)
        if found is not None:
            if found.state is not RunState.RUNNING and not input.get("state"):
                found = catalog.finish_run(found.id, RunState.RUNNING)
            context.holds.hear(found.id)
            return found, False
        try:
            run = catalog.create_run(
                project,
                name=input.get("displayName"),
                job_type=input.get("jobType"),
                config={},
                run_id=context.new_run_id(project, name),
            )
        except Conflict:
            # Several processes of one run came at once.
            run = required_run(context, project, name)
            context.holds.hear(run.id)
            return run, False
        context.holds.hear(run.id)
        return run, True

    def create_run_files(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        run = self._own_run(input)
        url = self._context.upload_url(RunFileUpload(run.id))
        found = [{"name": name, "uploadUrl": url} for name in input["files"]]
        return {"runID": ids.run_gid(run.id), "uploadHeaders": [], "files": found}

    def mark_run_files_uploaded(self, input: Metadata) -> dict[str, bool]:  # noqa: A002
        self._own_run(input)
        return {"success": True}

    def notify_scriptable_run_alert(self, input: Metadata) -> dict[str, bool]:  # noqa: A002
        self._own_run(input)
        return {"success": False}

    def stop_run(self, input: Metadata) -> dict[str, bool]:  # noqa: A002 - as above
        run = self._context.run_by_id(ids.run_id(input["id"]))
        self._context.access.require_write(run.project)
        return {"success": False}

    def _own_run(self, input: Metadata) -> RunRecord:  # noqa: A002 - as above
        context = self._context
        project = context.project(input.get("projectName"), input.get("entityName"))
        context.access.require_write(project)
        return required_run(context, project, input["runName"])


def required_run(context: Context, project: str, name: str) -> RunRecord:
    """A run of a project. Raises: RunNotFound."""
    run = context.run(project, name)
    if run is None:
        raise RunNotFound(f"run {name[:80]!r}", f"the project {project!r} has none")
    return run


def take_stream(context: Context, project: str, name: str, body: bytes) -> dict[str, Any]:
    """What a client streams of a run: it goes on, its summary, and that it has ended.

    Blocks: on the catalog. Raises: RunNotFound, PermissionDenied, InvalidArgument.
    """
    context.access.require_write(project)
    run = required_run(context, project, name)
    value = _object(body.decode("utf-8", "replace"), "file stream") or {}
    catalog = context.repository.catalog
    files = value.get("files")
    summary = files.get(_SUMMARY_FILE) if isinstance(files, dict) else None
    if isinstance(summary, dict) and isinstance(summary.get("content"), list):
        with suppress(InvalidArgument, IndexError, TypeError):
            last = _object(summary["content"][-1], "summary")
            if last is not None:
                catalog.describe_run(run.id, {"summary": last})
    if value.get("complete"):
        context.holds.forget(run.id)
        failed = value.get("exitcode") or value.get("failed")
        catalog.finish_run(run.id, RunState.FAILED if failed else RunState.FINISHED)
    else:
        context.holds.hear(run.id)
    return {"limits": {}}


def _details(input: Metadata, config: Metadata | None) -> Metadata:  # noqa: A002 - as above
    found: Metadata = {
        _NAMES.get(key, key): value
        for key, value in input.items()
        if value is not None and _NAMES.get(key, key) in _KEPT_TEXTS
    }
    if input.get("tags") is not None:
        found["tags"] = input["tags"]
    if config is not None:
        found["config"] = config
    summary = _object(input.get("summaryMetrics"), "summaryMetrics")
    return found if summary is None else {**found, "summary": summary}


def _plain(config: Metadata) -> Metadata:
    """A config without W&B's own part, and without the envelope of each value."""
    return {
        key: value["value"] if isinstance(value, dict) and "value" in value else value
        for key, value in config.items()
        if key not in {"_wandb", "wandb_version"}
    }


def _object(text: str | None, what: str) -> Metadata | None:
    value = as_json(text)
    if value is None or isinstance(value, dict):
        return value
    raise InvalidArgument(what, "is not a JSON object")
