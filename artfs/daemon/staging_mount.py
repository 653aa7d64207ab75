"""One staging mount in this process: from opening the area to the version that it becomes."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import Any

import msgspec
import trio

from artfs.daemon.control import ControlSocket
from artfs.daemon.serving import FLIGHT_SHARE, Report, Serving, limit_references
from artfs.daemon.staging_commits import StagingCommits
from artfs.engine.blocking import Threads
from artfs.engine.fetch import Fetcher
from artfs.errors import (
    ArtfsError,
    ArtifactNotFound,
    InvalidArgument,
    MountError,
    NotFound,
    VersionExists,
)
from artfs.fuse.replies import Ownership
from artfs.fuse.writing import WriteOperations
from artfs.model import check_alias, check_type
from artfs.mounts.messages import (
    Command,
    MountRequest,
    MountStatus,
    Reply,
    StageOrder,
    StagingStatus,
)
from artfs.mounts.outcomes import LastStaging, remember
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.settings import default_project
from artfs.staging.area import Area
from artfs.staging.commit import expected_id
from artfs.staging.hasher import Background
from artfs.staging.listing import AreaOutcome, reserve_outcome, write_outcome
from artfs.staging.meta import AreaMeta
from artfs.system.oserrors import translated
from artfs.vfs.content_opener import ContentOpener
from artfs.vfs.staging_tree import StagedFiles

logger = logging.getLogger(__name__)

_STOP_WAIT_WRITERS_S = 5.0
_DEFAULT_TYPE = "dataset"


def run_stage(request: MountRequest, *, on_ready: Report | None = None) -> None:
    """Mount a staging area, serve, commit when unmounted, and return.

    Raises: MountError; those of opening a store and of committing: the area then is kept.
    """
    with open_store(request.store, create=True) as repository:
        control = ControlSocket(request.mountpoint)
        try:
            limit_references(request, repository)
            area = _open_area(repository, request)
            logger.info("staging area %s of %s", area.id, area.meta.path)
            control.mark(area=area.path)
            _prepare_word(area, request)
            serving = Serving(request, control)
            session = _StagingSession(request, area, serving)
            try:
                serving.run(session, on_ready)
            finally:
                session.close()
        finally:
            control.close()


class _StagingSession:
    def __init__(self, request: MountRequest, area: Area, serving: Serving) -> None:
        self._request = request
        self._area = area
        self._serving = serving
        self._background = Background(area)
        self._aborting = False
        self._finished = False
        self._committer: StagingCommits | None = None
        # The kernel checks permissions. To do so it asks for a directory's attributes whenever a
        # name in it has changed; root alone may do everything in any case.
        is_checked = request.options.allow_other or os.getuid() != 0
        self.mount_options = frozenset({"default_permissions"} if is_checked else ())
        self.area_id: str | None = area.id

    def close(self) -> None:
        """Give the area up, unless it is gone."""
        self._background.stop()
        if self._finished:
            return
        order = self._request.stage
        if order is not None and order.resume is None and not self._serving.ready.is_set():
            # It was made for a mount that did not come about.
            self._area.drop()
        else:
            self._area.close()

    def operations(self, nursery: trio.Nursery) -> WriteOperations:
        """See Session."""
        timeout_s = self._request.options.read_timeout_s
        threads = Threads()
        fetcher = Fetcher(
            nursery, threads, self._serving.counters, timeout_s=timeout_s * FLIGHT_SHARE
        )
        shown = ContentOpener(
            self._area.repository,
            threads,
            fetcher,
            nursery,
            flight_timeout_s=timeout_s * FLIGHT_SHARE,
            read_timeout_s=timeout_s,
        )
        staged = StagedFiles(self._area, self._background, threads, shown)
        self._committer = StagingCommits(self._area, staged, self._background)
        return WriteOperations(
            staged,
            ownership=Ownership(uid=os.getuid(), gid=os.getgid()),
            counters=self._serving.counters,
            on_ready=self._serving.ready.set,
        )

    # --- the end -----------------------------------------------------------------------------

    async def stop(self) -> None:
        """Unmount as a person would, so that the kernel writes back what it holds."""
        committer = self._committer
        assert committer is not None
        if not self._aborting:
            await committer.wait_for_writers(_STOP_WAIT_WRITERS_S)
            if self._serving.is_mounted_here():
                place = str(self._request.mountpoint)
                # Mapped pages of a mount that another namespace has are written by nobody else.
                await _run("sync", "-f", "--", place)
                await _run("fusermount3", "-u", "--", place)
            if not self._serving.is_held():
                return
        # Somebody is in it, or has it mounted in another namespace. Without writers all is there;
        # with writers it is kept, uncommitted.
        self._serving.over.set()

    async def end(self) -> None:
        """Commit or drop the area. Raises: what made a commit fail; the area is kept."""
        area, committer = self._area, self._committer
        assert committer is not None
        if self._aborting:
            outcome = AreaOutcome(dropped=True, **self._about_the_end())
            await trio.to_thread.run_sync(self._drop, outcome)
            logger.info("aborted: staging area %s was dropped", area.id)
            return
        try:
            report = await committer.commit_last()
        except Exception as failure:
            error = _as_planned(failure, area)
            error.hint = f"{error.hint}; " if error.hint else ""
            error.hint += f"everything is kept: `artfs staging commit {area.id}` tries again"
            told = (type(error).__name__, error.subject, error.reason, error.hint)
            with suppress(OSError):
                write_outcome(area.path, AreaOutcome(failure=told, **self._about_the_end()))
            raise error from failure
        version = None if report.version is None else report.version.path
        outcome = AreaOutcome(version=version, created=report.created, **self._about_the_end())
        await trio.to_thread.run_sync(self._drop, outcome)

    def _about_the_end(self) -> dict[str, Any]:
        meta = self._area.meta
        return {
            "id": meta.id,
            "artifact": meta.path,
            "mountpoint": str(self._request.mountpoint),
            "finished_at_ns": time.time_ns(),
        }

    def _drop(self, outcome: AreaOutcome) -> None:
        self._background.stop()
        is_told = _told(self._area, outcome)
        self._finished = True
        try:
            if outcome.dropped:
                self._area.drop()
            else:
                if lost := self._area.lost():
                    logger.warning("the area is kept: no name leads to %d of its files", len(lost))
                self._area.finish()
        except ArtfsError as error:
            # The version is made: what is left of the area costs nothing but its space.
            logger.warning("the staging area could not be removed: %s", error)
        if not is_told:
            # On a full disk there is room for the word now.
            _told(self._area, outcome)

    # --- control -----------------------------------------------------------------------------

    def answer(self, nursery: trio.Nursery, command: Command) -> Reply:
        """See Session."""
        committer = self._committer
        assert committer is not None
        if command.command == "abort":
            self._aborting = True
            self._serving.stopping.set()
        elif command.command == "commit":
            if self._serving.over.is_set() or self._serving.stopping.is_set():
                return Reply(error="it is being unmounted, and committed by that")
            number = committer.announce()
            nursery.start_soon(self._commit, command, number)
        elif command.command != "commit-status":
            return Reply(error=f"no such command: {command.command}")
        return Reply(status=self.status(commit=command.number))

    async def _commit(self, command: Command, number: int) -> None:
        committer = self._committer
        assert committer is not None
        try:
            report = await committer.commit(
                wait_writers_s=command.wait_writers_s,
                expect=command.expect,
                take_unfinished=command.take_unfinished,
            )
        except ArtfsError as error:
            committer.failed(number, error)
            logger.error("commit failed: %s", error)  # noqa: TRY400 - its text is meant to be enough
        except Exception as failure:  # noqa: BLE001 - it is logged where it is translated
            # The mount goes on: everything is in the area still.
            committer.failed(number, _as_planned(failure, self._area))
        else:
            committer.done(number, report)

    def status(self, *, commit: int | None = None) -> MountStatus:
        """See Session; `commit`: which one to tell of, by default the last."""
        meta = self._area.meta
        assert self._committer is not None
        status = self._serving.status(store=self._area.repository.info.location, target=meta.path)
        staging = StagingStatus(
            id=meta.id,
            path=self._area.path,
            type=meta.type,
            base=meta.base_version,
            created_at_s=meta.created_at_ns / 1e9,
            unfinished=tuple(self._area.contents.unfinished()),
            commit=self._committer.status(commit),
        )
        return msgspec.structs.replace(status, kind="stage", staging=staging)


def _prepare_word(area: Area, request: MountRequest) -> None:
    """See to it that what becomes of the area can be told, whatever happens until then."""
    reserve_outcome(area.path)
    remember(LastStaging(mountpoint=request.mountpoint, id=area.id, area=area.path))


async def _run(*command: str) -> None:
    await trio.run_process(
        command, check=False, capture_stdout=True, capture_stderr=True, cwd="/", stdin=b""
    )


def _as_planned(failure: Exception, area: Area) -> ArtfsError:
    """What a failed commit is told as."""
    if isinstance(failure, ArtfsError):
        return failure
    logger.error("the commit failed", exc_info=failure)
    if isinstance(failure, OSError):
        return translated(failure, str(failure.filename or area.path))
    return MountError(area.meta.path, repr(failure), hint="see the mount's log")


def _told(area: Area, outcome: AreaOutcome) -> bool:
    """Leave word of what came of an area; whether that went well."""
    try:
        write_outcome(area.path, outcome)
    except OSError as error:
        logger.warning("what came of the staging area could not be noted: %s", error)
        return False
    return True


def _open_area(repository: Repository, request: MountRequest) -> Area:
    order = request.stage
    assert order is not None
    if order.resume is not None:
        area = Area.open(repository, order.resume)
        try:
            area.update_meta(msgspec.structs.replace(area.meta, mountpoint=str(request.mountpoint)))
        except BaseException:
            area.close()
            raise
        return area
    return Area.create(repository, new_meta(repository, request, order))


def new_meta(repository: Repository, request: MountRequest, order: StageOrder) -> AreaMeta:
    """What a new area is for, once everything that can be checked is right.

    Raises: InvalidName, InvalidArgument, NotFound, VersionExists, BackendUnavailable.
    """
    path = repository.parse(request.target or "", project=default_project())
    assert path.project is not None
    if path.selector is not None:
        raise InvalidArgument(
            str(request.target), "names a version", hint="say `--base VERSION` to begin with one"
        )
    for alias in order.aliases:
        check_alias(alias)
    base = None
    if order.base is not None:
        base = repository.resolve(msgspec.structs.replace(path, selector=order.base))
    if order.run_id is not None:
        repository.catalog.run(order.run_id)
    return AreaMeta(
        id="",
        store=repository.info.location,
        project=path.project,
        name=path.name,
        type=_type_of(repository, path.project, path.name, order.type),
        base_id=None if base is None else base.id,
        base_version=None if base is None else base.version,
        base_tree=None if base is None else base.tree,
        aliases=order.aliases,
        description=order.description,
        metadata=order.metadata,
        run_id=order.run_id,
        expect=expected_id(repository, f"{path.project}/{path.name}", order.expect),
        mountpoint=str(request.mountpoint),
        created_at_ns=time.time_ns(),
        uid=os.getuid(),
        gid=os.getgid(),
    )


def _type_of(repository: Repository, project: str, name: str, wanted: str | None) -> str:
    try:
        artifact = repository.catalog.artifact(project, name, on_damage=lambda _: None)
    except (ArtifactNotFound, NotFound):
        return check_type(wanted or _DEFAULT_TYPE)
    if artifact.is_portfolio:
        raise VersionExists(artifact.path, "is a portfolio: versions are linked to it")
    if wanted not in {None, artifact.type}:
        raise VersionExists(artifact.path, f"has the type {artifact.type!r}, not {wanted!r}")
    return artifact.type
