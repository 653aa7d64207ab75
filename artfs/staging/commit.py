"""Turning a staging area into a version.

A commit has two parts. `prepare` takes in the files that are at rest, while others go on being
written. `finish`, during which nothing may change, takes in the rest, encodes the directories
that differ, and makes the version in one transaction of the catalog. Then the area is rebased
onto the new version, in one transaction of its index.

A process that is killed before the catalog's transaction leaves the area as it was. One that is
killed after it also leaves the area as it was; but the next commit of the same content has the
same key, and the catalog answers it with the version that is there (promise W3).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from artfs.catalog.records import CommitRequest, CommitResult, VersionRecord
from artfs.errors import ArtfsError, StagingBusy
from artfs.manifest.directory import directory_digest, encode_directory
from artfs.manifest.entries import DirectoryEntry
from artfs.repository.commits import set_labels
from artfs.repository.facade import Repository
from artfs.staging.area import Area
from artfs.staging.area_intake import AreaIntake
from artfs.staging.build import Builder, area_ignore_rules
from artfs.staging.meta import AreaState
from artfs.staging.rebase import rebase
from artfs.system.oserrors import reach_step
from artfs.system.progress import ProgressMeter

logger = logging.getLogger(__name__)

_MAX_NAMED_WRITERS = 5
_NO_VERSION = "none"
_ANY_VERSION = "any"
_EMPTY_TREE = directory_digest(encode_directory([]))


class CommitReport(msgspec.Struct, frozen=True):
    """What came of a commit."""

    version: VersionRecord | None
    """The version that has the area's content; None where there is none, for nothing was there."""
    created: bool
    """Whether it is new."""


class CommitAttempt:
    """One attempt to make a version of an area. Its methods block and raise ArtfsError."""

    def __init__(self, area: Area, meter: ProgressMeter | None = None) -> None:
        self._area = area
        self._ingest = area.repository.ingest()
        self._intake = AreaIntake(area, self._ingest, meter or ProgressMeter())

    def prepare(self) -> None:
        """Take in what is at rest. Others may change the area meanwhile.

        Raises: StagingBusy for what an earlier mount left; OutOfSpace, PermissionDenied,
        BackendUnavailable.
        """
        refuse_unfinished(self._area)
        self._intake.take(area_ignore_rules(self._area), strict=False)

    def finish(self) -> CommitReport:
        """Make the version, and rebase the area onto it. Nobody may change the area meanwhile.

        Raises: StagingBusy where a file is open for writing, or was when an earlier mount
        ended; Conflict, OutOfSpace,
        PermissionDenied, BackendUnavailable: the area then is as it was, and says why.
        """
        try:
            return self._finish()
        except ArtfsError as error:
            _note_failure(self._area, error)
            raise

    def discard(self) -> None:
        """Let go of what was taken in and not committed."""
        self._ingest.discard()

    def _finish(self) -> CommitReport:
        area = self._area
        refuse_unfinished(area)
        refuse_writers(area)
        is_ignored = area_ignore_rules(area)
        reach_step("staging-commit.begun", area.path)
        self._intake.take(is_ignored, strict=True)
        reach_step("staging-commit.taken", area.path)
        builder = Builder(area, self._ingest, self._intake.stored, is_ignored)
        tree = builder.build()
        if tree.sha256 == (area.meta.base_tree or _EMPTY_TREE):
            return CommitReport(_unchanged(area), created=False)
        outcome = self._make_version(tree)
        reach_step("staging-commit.made", area.path)
        try:
            rebase(area, outcome.version, is_ignored)
        except (ArtfsError, OSError) as error:
            # The version is there. The area stays upon its old base, which is as right: the next
            # commit of the same content is the same version.
            logger.warning("%s: cannot go on upon %s: %s", area.path, outcome.version.path, error)
        return CommitReport(outcome.version, outcome.created)

    def _make_version(self, tree: DirectoryEntry) -> CommitResult:
        meta = self._area.meta
        # The same for the same content on the same base, and only for that.
        key = sha256(f"{meta.id} {meta.commits} {tree.sha256.hex()}".encode()).hexdigest()
        repository, request = self._area.repository, _request(self._area, commit_key=key)
        outcome = repository.commit(self._ingest, tree, request)
        if outcome.created:
            return outcome
        version, changed = set_labels(repository.catalog, outcome.version, request)
        return CommitResult(version, created=False, changed=changed)


def _request(area: Area, *, commit_key: str | None = None) -> CommitRequest:
    meta = area.meta
    return CommitRequest(
        project=meta.project,
        name=meta.name,
        type=meta.type,
        description=meta.description,
        metadata=meta.metadata,
        aliases=meta.aliases,
        base_ids=(meta.base_id,) if meta.base_id is not None else (),
        commit_key=commit_key,
        expect_latest=meta.expect,
        run_id=meta.run_id,
    )


def refuse_writers(area: Area) -> None:
    """Raises: StagingBusy, which names files that are open for writing (promise W5)."""
    names = area.contents.writing()
    if names:
        raise StagingBusy(
            area.meta.path,
            f"open for writing: {_some_of(names)}",
            hint="close them, or wait for them",
        )


def refuse_unfinished(area: Area) -> None:
    """Raises: StagingBusy, which names files that were open for writing when an earlier mount
    ended or was killed, and that nobody wrote or removed since (promise W5).
    """
    names = area.contents.unfinished()
    if names:
        raise StagingBusy(
            area.meta.path,
            f"open for writing when its mount ended: {_some_of(names)}",
            hint="write them again or remove them, or say --take-unfinished",
        )


def _some_of(names: Sequence[str]) -> str:
    """The first few of many paths."""
    shown = ", ".join(names[:_MAX_NAMED_WRITERS])
    more = len(names) - _MAX_NAMED_WRITERS
    return f"{shown} and {more} more" if more > 0 else shown


def expected_id(repository: Repository, artifact: str, expect: str | None) -> str | None:
    """What AreaMeta keeps of a version that `latest` is expected to be.

    `none` stands for no version at all, `any` and None for whatever there is.
    Raises: NotFound, InvalidName, BackendUnavailable.
    """
    if expect is None or expect == _ANY_VERSION:
        return None
    return "" if expect == _NO_VERSION else repository.resolve(f"{artifact}:{expect}").id


def set_expected(area: Area, expect: str) -> None:
    """Expect another version from now on. Raises: as `expected_id`, OutOfSpace."""
    expected = expected_id(area.repository, area.meta.path, expect)
    area.update_meta(msgspec.structs.replace(area.meta, expect=expected))


def commit_area(area: Area, meter: ProgressMeter | None = None) -> CommitReport:
    """Commit an area that nobody else uses. Blocks; raises as `CommitAttempt.finish`."""
    commit = CommitAttempt(area, meter)
    try:
        return commit.finish()
    finally:
        commit.discard()


def _unchanged(area: Area) -> VersionRecord | None:
    """The version that the area shows still; what was asked of a new one is said of it."""
    if area.meta.base_id is None:
        return None
    catalog = area.repository.catalog
    version = catalog.version_by_id(area.meta.base_id)
    return set_labels(catalog, version, _request(area))[0]


def _note_failure(area: Area, error: ArtfsError) -> None:
    meta = msgspec.structs.replace(area.meta, state=AreaState.FAILED, error=str(error))
    try:
        area.update_meta(meta)
    except ArtfsError:
        # The disk is full, most likely: what matters is in the area already.
        return
