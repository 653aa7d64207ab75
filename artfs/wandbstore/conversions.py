"""What a W&B server says, in the words of the catalog's records."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from artfs.catalog.records import RunRecord
from artfs.errors import UNDECODABLE, InvalidName
from artfs.model import Metadata, RunState, VersionState, check_alias
from artfs.wandbstore.answers import AliasAnswer, ArtifactAnswer, RunAnswer


def run_record(said: RunAnswer, project: str) -> RunRecord:
    """A run. Its config is W&B's: each value is an object that has it."""
    config = json_object(said.config)
    values = {
        key: value["value"] if isinstance(value, dict) and "value" in value else value
        for key, value in config.items()
        if key != "_wandb"
    }
    state = {each.value: each for each in RunState}.get(said.state or "", RunState.FINISHED)
    ended = None if state is RunState.RUNNING else time_ns(said.heartbeat_at or said.created_at)
    name = said.display_name or said.name
    return RunRecord(
        said.name, project, name, said.job_type, state, values, time_ns(said.created_at), ended
    )


def artifact_number(project: str, name: str) -> int:
    """A number for an artifact, the same each time: a server has texts for that."""
    return int.from_bytes(sha256(f"{project}/{name}".encode()).digest()[:7], "big")


def version_state(text: str) -> VersionState:
    """PENDING for a state that artfs does not know: nobody reads it then."""
    return VersionState(text) if text in set(VersionState) else VersionState.PENDING


def aliases_in(
    node: ArtifactAnswer, project: str, name: str, given: list[AliasAnswer] | None
) -> tuple[str, ...]:
    """The aliases of a version in one collection, as far as they can be names here."""
    found = set()
    for each in node.aliases or () if given is None else given:
        collection = each.artifact_collection
        if given is None and collection is not None:
            of_project = project if collection.project is None else collection.project.name
            if (of_project, collection.name) != (project, name):
                continue
        try:
            found.add(check_alias(each.alias))
        except InvalidName:
            # vN is the version itself.
            continue
    return tuple(sorted(found))


def json_object(text: str | Metadata | None) -> Metadata:
    """An object that a server gives as JSON or as itself; an empty one for anything else."""
    if isinstance(text, str):
        try:
            text = msgspec.json.decode(text)
        except UNDECODABLE:
            return {}
    return text if isinstance(text, dict) else {}


def time_ns(text: str | None) -> int:
    """A time of GraphQL in nanoseconds; 0 for what is none."""
    try:
        found = datetime.fromisoformat(text or "")
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        whole = int(found.replace(microsecond=0).timestamp())
    except (ValueError, OverflowError):
        return 0
    return max(0, whole * 10**9 + found.microsecond * 1000)
