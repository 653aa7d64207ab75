"""Runs and lineage: who made and who used a version."""

from __future__ import annotations

import json
import secrets
import string
import time
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update

from artfs.catalog.base import RunRecord, VersionRecord
from artfs.catalog.commits import insert_or_ignore, open_project
from artfs.catalog.rows import read_runs, read_versions, unlinked_version_query
from artfs.catalog.schema import run_inputs, run_outputs, runs, versions
from artfs.errors import RunNotFound
from artfs.model import Metadata, RunState

_ALPHABET = string.ascii_lowercase + string.digits
_ID_CHARS = 8
_ADJECTIVES = ("amber", "bold", "brisk", "calm", "clear", "fair", "keen", "light", "quiet", "warm")
_NOUNS = ("brook", "cedar", "cloud", "delta", "field", "grove", "harbor", "lake", "reef", "stone")


def create_run(
    connection: Connection, project: str, name: str | None, job_type: str | None, config: Metadata
) -> RunRecord:
    """See Catalog.create_run."""
    run_id = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARS))
    made_name = f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{secrets.randbelow(1000)}"
    connection.execute(
        insert(runs).values(
            id=run_id,
            project_id=open_project(connection, project),
            name=name or made_name,
            job_type=job_type,
            state=RunState.RUNNING.value,
            config=json.dumps(config),
            created_at_ns=time.time_ns(),
        )
    )
    return find_run(connection, run_id)


def find_run(connection: Connection, run_id: str) -> RunRecord:
    """See Catalog.run."""
    found = read_runs(connection, runs.c.id == run_id)
    if not found:
        raise RunNotFound(run_id, "no such run")
    return found[0]


def finish_run(connection: Connection, run_id: str, state: RunState) -> RunRecord:
    """See Catalog.finish_run."""
    connection.execute(
        update(runs)
        .where(runs.c.id == run_id)
        .values(state=state.value, finished_at_ns=time.time_ns())
    )
    return find_run(connection, run_id)


def record_use(connection: Connection, run_id: str, version_id: str, use_as: str | None) -> None:
    """See Catalog.record_use."""
    find_run(connection, run_id)
    row = {
        "run_id": run_id,
        "version_id": version_id,
        "use_as": use_as,
        "first_used_at_ns": time.time_ns(),
    }
    insert_or_ignore(connection, run_inputs, [row])


def versions_of(
    connection: Connection, table: Table, time_column: str, run_id: str
) -> list[VersionRecord]:
    """The versions that a run used or made, in the order of their first time."""
    query = (
        unlinked_version_query()
        .join(table, table.c.version_id == versions.c.id)
        .where(table.c.run_id == run_id)
        .order_by(table.c[time_column])
    )
    return read_versions(connection, query)


def users_of(connection: Connection, version_id: str) -> list[RunRecord]:
    """See Catalog.users_of."""
    users = select(run_inputs.c.run_id).where(run_inputs.c.version_id == version_id)
    return read_runs(connection, runs.c.id.in_(users))


def maker_of(connection: Connection, version_id: str) -> RunRecord | None:
    """See Catalog.maker_of."""
    query = (
        select(run_outputs.c.run_id)
        .where(run_outputs.c.version_id == version_id)
        .order_by(run_outputs.c.first_logged_at_ns)
        .limit(1)
    )
    run_id: Any = connection.execute(query).scalar()
    return None if run_id is None else find_run(connection, run_id)
