"""Replaying commit records onto a checkpoint: what names a store had when its catalog was lost.

What a checkpoint knows, it knows better: an alias may have moved since a commit, a version may have
been deleted. A commit that it does not know came after it, if its number had not been given then;
`latest` and the aliases follow it. Where the number had been given, the catalog had been put back
to an older state at some time, and both versions are real: this one gets a number behind all others
and no alias, for nobody can say which one `latest` should be.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from artfs.catalog.records import Copy, Rows, RunRecord
from artfs.model import VersionState
from artfs.repository.facade import LATEST
from artfs.repository.recovery import CommitRecord


class Replayed(msgspec.Struct):
    """What commit records added."""

    added: list[str] = []
    """Versions that the checkpoint did not know: `project/name:vN`."""
    renumbered: list[str] = []
    """Versions whose number another one has: `project/name:vN, committed as vM`."""
    left_out: list[str] = []
    """Versions whose name belongs to something else, and what."""


def replay(copied: Copy, commits: Iterable[CommitRecord]) -> Replayed:
    """Add the versions that `copied` does not know to it."""
    names = _Names(copied)
    # Of two with one number the later one has it: an earlier one's catalog had been put back.
    ordered = sorted(
        commits, key=lambda each: (each.project, each.name, each.index, -each.created_at_ns)
    )
    taken = [commit for commit in ordered if not names.take_if_newer(commit)]
    for commit in taken:
        names.take_behind(commit)
    names.restore_latest()
    return names.done


class _Names:
    """A copy of a catalog's names, and ways to find something in it."""

    def __init__(self, copied: Copy) -> None:
        self.done = Replayed()
        self._copied = copied
        self._versions = {row["id"] for row in self._rows("versions")}
        self._projects = {row["name"]: row["id"] for row in self._rows("projects")}
        self._artifacts = {
            (row["project_id"], row["name"]): row
            for row in self._rows("artifacts")
            if row["deleted_at_ns"] is None
        }
        self._artifact_ids = {row["id"] for row in self._rows("artifacts")}
        self._aliases = {(row["artifact_id"], row["name"]): row for row in self._rows("aliases")}
        self._keys = {row["key"] for row in self._rows("commit_keys")}
        self._numbers = {(row["artifact_id"], row["index"]) for row in self._rows("versions")}
        self._runs = {row["id"] for row in self._rows("runs")}

    def _rows(self, table: str) -> Rows:
        return self._copied.setdefault(table, [])

    def take_if_newer(self, commit: CommitRecord) -> bool:
        """Add a version, unless it is known; False where another one has, or had, its number."""
        if commit.id in self._versions:
            return True
        artifact = self._artifact(commit)
        if artifact["is_portfolio"] or artifact["type"] != commit.type:
            kind = "a portfolio" if artifact["is_portfolio"] else f"type {artifact['type']!r}"
            self.done.left_out.append(
                f"{commit.project}/{commit.name}:v{commit.index}: the name is one of {kind}"
            )
            return True
        if (artifact["id"], commit.index) in self._numbers:
            return False
        # A copy may have been put in among others.
        is_newest = commit.index >= artifact["next_index"]
        artifact["next_index"] = max(artifact["next_index"], commit.index + 1)
        self._add(commit, artifact, commit.index)
        for alias in {LATEST, *commit.aliases} if is_newest else commit.aliases:
            self._move(alias, artifact["id"], commit.id)
        self.done.added.append(f"{commit.project}/{commit.name}:v{commit.index}")
        return True

    def take_behind(self, commit: CommitRecord) -> None:
        """Add a version with the next number."""
        artifact = self._artifact(commit)
        index = artifact["next_index"]
        artifact["next_index"] = index + 1
        self._add(commit, artifact, index)
        self.done.renumbered.append(
            f"{commit.project}/{commit.name}:v{index}, committed as v{commit.index}"
        )

    def restore_latest(self) -> None:
        """Let what has versions have a `latest`, where it has none."""
        newest: dict[int, dict[str, Any]] = {}
        for row in self._rows("links"):
            known = newest.setdefault(row["artifact_id"], row)
            if row["index"] > known["index"]:
                newest[row["artifact_id"]] = row
        for artifact_id, row in newest.items():
            if (artifact_id, LATEST) not in self._aliases:
                self._move(LATEST, artifact_id, row["version_id"])

    def _project(self, name: str, created_at_ns: int) -> int:
        found: int | None = self._projects.get(name)
        if found is None:
            found = max(self._projects.values(), default=0) + 1
            row = {"id": found, "name": name, "created_at_ns": created_at_ns}
            self._rows("projects").append(row)
            self._projects[name] = found
        return found

    def _artifact(self, commit: CommitRecord) -> dict[str, Any]:
        made_ns = commit.project_made_ns or commit.created_at_ns
        key = (self._project(commit.project, made_ns), commit.name)
        if (found := self._artifacts.get(key)) is None:
            found = {
                "id": max(self._artifact_ids, default=0) + 1,
                "project_id": key[0],
                "name": commit.name,
                "type": commit.type,
                "is_portfolio": False,
                "next_index": 0,
                "created_at_ns": commit.artifact_made_ns or commit.created_at_ns,
                "deleted_at_ns": None,
            }
            self._rows("artifacts").append(found)
            self._artifacts[key] = found
            self._artifact_ids.add(found["id"])
        return found

    def _add(self, commit: CommitRecord, artifact: dict[str, Any], index: int) -> None:
        self._versions.add(commit.id)
        self._numbers.add((artifact["id"], index))
        self._rows("versions").append(
            {
                "id": commit.id,
                "artifact_id": artifact["id"],
                "index": index,
                "state": VersionState.COMMITTED.value,
                "digest": commit.digest,
                "content_digest": commit.content_digest,
                "tree": bytes.fromhex(commit.tree),
                "size_bytes": commit.size_bytes,
                "file_count": commit.file_count,
                "description": commit.description,
                "metadata": json.dumps(commit.metadata),
                "created_at_ns": commit.created_at_ns,
                "ttl_s": commit.ttl_s,
            }
        )
        self._rows("links").append(
            {"artifact_id": artifact["id"], "index": index, "version_id": commit.id}
        )
        self._rows("tags").extend(
            {"version_id": commit.id, "name": name} for name in sorted(set(commit.tags))
        )
        if commit.commit_key is not None and commit.commit_key not in self._keys:
            self._keys.add(commit.commit_key)
            self._rows("commit_keys").append({"key": commit.commit_key, "version_id": commit.id})
        if commit.run is not None:
            self._add_output(commit.run, commit)

    def _add_output(self, run: RunRecord, commit: CommitRecord) -> None:
        if run.id not in self._runs:
            self._runs.add(run.id)
            self._rows("runs").append(
                {
                    "id": run.id,
                    "project_id": self._project(run.project, run.created_at_ns),
                    "name": run.name,
                    "job_type": run.job_type,
                    "state": run.state.value,
                    "config": json.dumps(run.config),
                    "created_at_ns": run.created_at_ns,
                    "finished_at_ns": run.finished_at_ns,
                }
            )
        self._rows("run_outputs").append(
            {
                "run_id": run.id,
                "version_id": commit.id,
                "first_logged_at_ns": commit.created_at_ns,
            }
        )

    def _move(self, alias: str, artifact_id: int, version_id: str) -> None:
        if (row := self._aliases.get((artifact_id, alias))) is None:
            row = {"name": alias, "artifact_id": artifact_id, "version_id": version_id}
            self._aliases[artifact_id, alias] = row
            self._rows("aliases").append(row)
        row["version_id"] = version_id
