"""Copying runs with what they used and made, for versions that were copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from artfs.catalog.base import Catalog
from artfs.catalog.records import RunRecord, VersionRecord
from artfs.errors import ArtfsError, Conflict, DamagedRecord, NotFound
from artfs.model import VersionState
from artfs.repository.facade import Repository


def copy_runs(
    source: Repository,
    target: Repository,
    copied: Mapping[str, str],
    new_project: Callable[[str], str],
) -> tuple[tuple[int, int], list[tuple[str, ArtfsError]]]:
    """Record the runs that made or used versions, and what of those the target has.

    `copied` are the ids of versions in the target by those in the source. Returns how many runs,
    and uses, are new; and which runs cannot be recorded. A version that a run used or made, and
    that was not copied, is named where it was copied before.
    Blocks: on both catalogs. Raises: BackendUnavailable, PermissionDenied, OutOfSpace.
    """
    run_count = use_count = 0
    failures: list[tuple[str, ArtfsError]] = []
    for run in _runs_of(source.catalog, copied):
        details = source.catalog.run_details([run.id]).get(run.id, {})
        named = msgspec.structs.replace(run, project=new_project(run.project))
        try:
            run_count += target.catalog.adopt_run(named, details)
        except (Conflict, DamagedRecord) as error:
            failures.append((f"run {run.id}", error))
            continue
        use_count += _copy_uses(source.catalog, target.catalog, run, copied)
    return (run_count, use_count), failures


def _runs_of(catalog: Catalog, copied: Mapping[str, str]) -> list[RunRecord]:
    """The runs of versions, oldest first."""
    found: dict[str, RunRecord] = {}
    for version_id in copied:
        maker = catalog.maker_of(version_id)
        for run in (*([] if maker is None else [maker]), *catalog.users_of(version_id)):
            found[run.id] = run
    return sorted(found.values(), key=lambda run: (run.created_at_ns, run.id))


def _copy_uses(source: Catalog, target: Catalog, run: RunRecord, copied: Mapping[str, str]) -> int:
    """Record what a run used and made; how much of it is new."""
    count = 0
    known = {version.id for version in target.inputs_of(run.id)}
    for version in source.inputs_of(run.id):
        target_id = _in_target(target, version, copied)
        if target_id is not None and target_id not in known:
            target.record_use(run.id, target_id, use_as=None)
            count += 1
    known = {version.id for version in target.outputs_of(run.id)}
    for version in source.outputs_of(run.id):
        target_id = _in_target(target, version, copied)
        if target_id is not None and target_id not in known:
            target.record_output(run.id, target_id)
            count += 1
    return count


def _in_target(target: Catalog, version: VersionRecord, copied: Mapping[str, str]) -> str | None:
    """The id of a version in the target, if it is there."""
    if (found := copied.get(version.id)) is not None:
        return found
    try:
        known = target.version_by_id(version.id)
    except NotFound:
        return None
    is_same = known.state is VersionState.COMMITTED and known.digest == version.digest
    return known.id if is_same else None
