"""Runs and lineage, each call in a caller's transaction."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, FromClause, Select, func, insert, select, update

from artfs.catalog.blob_port import OnDamage
from artfs.catalog.bulk import among, put_rows
from artfs.catalog.checked import run_record
from artfs.catalog.engine import now_ns
from artfs.catalog.records import RunChange, RunRecord, VersionRecord
from artfs.catalog.rowchecks import json_object, json_text, sound
from artfs.catalog.rows import made_versions, version_by_id
from artfs.catalog.schema import projects, run_inputs, run_outputs, runs, versions
from artfs.catalog.schema import run_details as details
from artfs.catalog.writes import ensure_project
from artfs.errors import Conflict, DamagedRecord, RunNotFound
from artfs.model import Metadata, RunState

_ID_CHARACTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 8

_ADJECTIVES = [
    "amber",
    "brisk",
    "calm",
    "clear",
    "eager",
    "golden",
    "lucid",
    "quiet",
    "swift",
    "vivid",
]
_NOUNS = ["brook", "cedar", "comet", "dawn", "fern", "harbor", "meadow", "river", "star", "tide"]


def new_run_id() -> str:
    """An id that no run has."""
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))


def with_crashes(found: list[RunRecord], running: Callable[[], set[str]]) -> list[RunRecord]:
    """The records, where what is running still is told by the ids of those that are held."""
    if not any(run.state is RunState.RUNNING for run in found):
        return found
    held = running()
    return [
        msgspec.structs.replace(run, state=RunState.CRASHED)
        if run.state is RunState.RUNNING and run.id not in held
        else run
        for run in found
    ]


def create_run(
    connection: Connection,
    project: str,
    *,
    run_id: str,
    name: str | None,
    job_type: str | None,
    config: Metadata,
) -> RunRecord:
    """What Catalog.create_run says, of a run that somebody holds."""
    if connection.execute(select(runs.c.id).where(runs.c.id == run_id)).first() is not None:
        raise Conflict(f"run {run_id!r}", "there is one already")
    project_id = ensure_project(connection, project)
    if name is None:
        earlier = connection.execute(
            select(func.count()).select_from(runs).where(runs.c.project_id == project_id)
        ).scalar_one()
        name = f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{earlier + 1}"
    connection.execute(
        insert(runs),
        {
            "id": run_id,
            "project_id": project_id,
            "name": name,
            "job_type": job_type,
            "state": RunState.RUNNING.value,
            "config": json_text(config),
            "created_at_ns": now_ns(connection),
        },
    )
    return get_run(connection, run_id)


def adopt_run(connection: Connection, run: RunRecord, told: Metadata) -> bool:
    """What Catalog.adopt_run says."""
    # Who ended without a word is told by leases, of which this catalog has none.
    state = RunState.RUNNING if run.state is RunState.CRASHED else run.state
    row = {
        "id": run.id,
        "project_id": ensure_project(connection, run.project),
        "name": run.name,
        "job_type": run.job_type,
        "state": state.value,
        "config": json_text(run.config),
        "created_at_ns": run.created_at_ns,
        "finished_at_ns": run.finished_at_ns,
    }
    wanted = select(runs).where(runs.c.id == run.id).with_for_update()
    found = connection.execute(wanted).one_or_none()
    if found is None:
        put_rows(connection, runs, [row])
        found = connection.execute(wanted).one()
        is_new = True
    else:
        is_new = False
    if found.created_at_ns != run.created_at_ns:
        raise Conflict(f"run {run.id!r}", "there is another one of this id")
    has_ended = found.state != RunState.RUNNING.value
    if has_ended and not is_new:
        return False
    values = {key: row[key] for key in ("name", "job_type", "state", "config", "finished_at_ns")}
    text = json_text(told)
    known = connection.execute(
        select(details.c.details).where(details.c.run_id == run.id)
    ).scalar_one_or_none()
    is_same = known == text or (known is None and not told)
    if not is_new and is_same and all(getattr(found, key) == values[key] for key in values):
        return False
    connection.execute(update(runs).where(runs.c.id == run.id).values(values))
    if not is_same:
        put_rows(connection, details, [{"run_id": run.id, "details": text}])
        connection.execute(update(details).where(details.c.run_id == run.id).values(details=text))
    return True


def get_run(connection: Connection, run_id: str) -> RunRecord:
    """Raises: RunNotFound."""
    found = _records(connection, _runs().where(runs.c.id == run_id))
    if not found:
        raise RunNotFound(repr(run_id)[:60], "the store knows no such run")
    return found[0]


def list_runs(
    connection: Connection, project: str | None, *, on_damage: OnDamage | None = None
) -> list[RunRecord]:
    """Runs, newest first."""
    query = _runs().order_by(runs.c.created_at_ns.desc(), runs.c.id)
    if project is not None:
        query = query.where(projects.c.name == project)
    return _records(connection, query, on_damage)


def change_run(connection: Connection, run_id: str, change: RunChange) -> RunRecord:
    """What Catalog.change_run says."""
    values: dict[str, Any] = {}
    if change.name is not msgspec.UNSET:
        values["name"] = change.name
    if change.job_type is not msgspec.UNSET:
        values["job_type"] = change.job_type
    if change.config is not msgspec.UNSET:
        values["config"] = json_text(change.config)
    if values:
        connection.execute(update(runs).where(runs.c.id == run_id).values(values))
    return get_run(connection, run_id)


def configure_run(connection: Connection, run_id: str, values: Metadata) -> None:
    """What Catalog.configure_run says."""
    # Locked, so that what another process adds meanwhile is not lost.
    query = select(runs.c.config).where(runs.c.id == run_id).with_for_update()
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise RunNotFound(repr(run_id)[:60], "the store knows no such run")
    config = json_text(json_object(found, kind="run", name=run_id) | values)
    connection.execute(update(runs).where(runs.c.id == run_id).values(config=config))


def run_details(connection: Connection, run_ids: Sequence[str]) -> dict[str, Metadata]:
    """What Catalog.run_details says."""
    found: dict[str, Metadata] = {}
    for some in among(connection, details.c.run_id, run_ids):
        for run_id, text in connection.execute(select(details).where(some)):
            found[run_id] = json_object(text, kind="details of run", name=run_id)
    return found


def check_details(connection: Connection, tell: OnDamage) -> None:
    """Tell of all details that are damaged."""
    for row in connection.execute(select(details)):
        try:
            json_object(row.details, kind="details of run", name=row.run_id)
        except DamagedRecord as error:
            tell(error)


def describe_run(
    connection: Connection,
    run_id: str,
    values: Metadata,
    *,
    within: str | None = None,
    without: Sequence[str] = (),
) -> None:
    """What Catalog.describe_run says."""
    get_run(connection, run_id)
    put_rows(connection, details, [{"run_id": run_id, "details": "{}"}])
    of_run = details.c.run_id == run_id
    # Locked, as in configure_run.
    query = select(details.c.details).where(of_run).with_for_update()
    text = connection.execute(query).scalar_one()
    known = json_object(text, kind="details of run", name=run_id)
    part = known if within is None else known.get(within)
    part = (part if isinstance(part, dict) else {}) | values
    part = {key: value for key, value in part.items() if key not in without}
    known = part if within is None else {**known, within: part}
    connection.execute(update(details).where(of_run).values(details=json_text(known)))


def finish_run(connection: Connection, run_id: str, state: RunState) -> RunRecord:
    """What Catalog.finish_run says."""
    finished_at_ns = None if state is RunState.RUNNING else now_ns(connection)
    connection.execute(
        update(runs)
        .where(runs.c.id == run_id)
        .values(state=state.value, finished_at_ns=finished_at_ns)
    )
    return get_run(connection, run_id)


def _runs() -> Select[Any]:
    return select(
        runs.c.id,
        projects.c.name,
        runs.c.name,
        runs.c.job_type,
        runs.c.state,
        runs.c.config,
        runs.c.created_at_ns,
        runs.c.finished_at_ns,
    ).join(projects, projects.c.id == runs.c.project_id)


def _records(
    connection: Connection, query: Select[Any], on_damage: OnDamage | None = None
) -> list[RunRecord]:
    return list(sound(connection.execute(query).all(), run_record, on_damage))


# --- lineage ---------------------------------------------------------------------------------


def record_use(connection: Connection, run_id: str, version_id: str, *, use_as: str | None) -> None:
    """What Catalog.record_use says."""
    get_run(connection, run_id)
    version_by_id(connection, version_id)
    row = {
        "run_id": run_id,
        "version_id": version_id,
        "use_as": use_as,
        "first_used_at_ns": now_ns(connection),
    }
    put_rows(connection, run_inputs, [row])


def record_output(connection: Connection, run_id: str, version_id: str) -> None:
    """Record a version as the run's output; twice is once. Raises: RunNotFound."""
    get_run(connection, run_id)
    row = {"run_id": run_id, "version_id": version_id, "first_logged_at_ns": now_ns(connection)}
    put_rows(connection, run_outputs, [row])


def inputs_of(connection: Connection, run_id: str) -> list[VersionRecord]:
    """Versions that the run used, in the order of first use."""
    return _versions_of(connection, run_inputs, "first_used_at_ns", run_id)


def outputs_of(connection: Connection, run_id: str) -> list[VersionRecord]:
    """Versions that the run logged, in the order of first logging."""
    return _versions_of(connection, run_outputs, "first_logged_at_ns", run_id)


def _versions_of(
    connection: Connection, table: FromClause, time_column: str, run_id: str
) -> list[VersionRecord]:
    order = dict(
        connection.execute(
            select(table.c.version_id, table.c[time_column]).where(table.c.run_id == run_id)
        ).all()
    )
    wanted = select(table.c.version_id).where(table.c.run_id == run_id)
    found = made_versions(connection, versions.c.id.in_(wanted))
    return sorted(found, key=lambda version: order.get(version.id, 0))


def users_of(connection: Connection, version_id: str) -> list[RunRecord]:
    """Runs that used the version, oldest first."""
    query = (
        _runs()
        .join(run_inputs, run_inputs.c.run_id == runs.c.id)
        .where(run_inputs.c.version_id == version_id)
        .order_by(runs.c.created_at_ns, runs.c.id)
    )
    return _records(connection, query)


def maker_of(connection: Connection, version_id: str) -> RunRecord | None:
    """The run that first logged the version, if one did."""
    query = (
        _runs()
        .join(run_outputs, run_outputs.c.run_id == runs.c.id)
        .where(run_outputs.c.version_id == version_id)
        .order_by(run_outputs.c.first_logged_at_ns)
        .limit(1)
    )
    found = _records(connection, query)
    return found[0] if found else None
