"""One read-only mount in this process, from opening the store to the last reply."""

from __future__ import annotations

import logging
import os

import msgspec
import trio

from artfs.daemon.control import ControlSocket
from artfs.daemon.idling import end_when_idle
from artfs.daemon.serving import FLIGHT_SHARE, Report, Serving, limit_references
from artfs.engine.blocking import Threads
from artfs.engine.fetch import Fetcher
from artfs.engine.flights import Flights
from artfs.fuse.reading import ReadOperations
from artfs.fuse.replies import Ownership
from artfs.mounts.messages import Command, MountRequest, MountStatus, Reply
from artfs.mounts.options import AliasStyle
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.settings import default_project
from artfs.vfs.artifacts import ArtifactsTree, View
from artfs.vfs.content_opener import ContentOpener
from artfs.vfs.lineage import Lineage
from artfs.vfs.name_cache import CatalogNames, FrozenNames
from artfs.vfs.service import Service
from artfs.vfs.tree import MountTarget, resolve_target

logger = logging.getLogger(__name__)


def run_read_only(request: MountRequest, *, on_ready: Report | None = None) -> None:
    """Mount artifacts read-only, serve, and return once the mount has ended.

    Raises: MountError; those of opening a store and of resolving a target.
    """
    with open_store(request.store, read_directly=True) as repository:
        limit_references(request, repository)
        target = resolve_target(repository, request.target, default_project=default_project())
        frozen = None
        if request.options.freeze and target.version is None:
            frozen = FrozenNames.load(repository, project=target.project, name=target.name)
        control = ControlSocket(request.mountpoint)
        try:
            serving = Serving(request, control)
            serving.run(_ReadOnlySession(request, repository, target, frozen, serving), on_ready)
            logger.info("unmounted %s", request.mountpoint)
        finally:
            control.close()


class _ReadOnlySession:
    mount_options = frozenset({"ro", "default_permissions"})
    area_id: str | None = None

    def __init__(
        self,
        request: MountRequest,
        repository: Repository,
        target: MountTarget,
        frozen: FrozenNames | None,
        serving: Serving,
    ) -> None:
        self._request = request
        self._repository = repository
        self._target = target
        self._frozen = frozen
        self._serving = serving

    def operations(self, nursery: trio.Nursery) -> ReadOperations:
        """See Session."""
        options = self._request.options
        flight_timeout_s = options.read_timeout_s * FLIGHT_SHARE
        threads = Threads()
        fetcher = Fetcher(nursery, threads, self._serving.counters, timeout_s=flight_timeout_s)
        contents = ContentOpener(
            self._repository,
            threads,
            fetcher,
            nursery,
            flight_timeout_s=flight_timeout_s,
            read_timeout_s=options.read_timeout_s,
        )
        service = Service(
            self._repository, threads, contents, nursery, flight_timeout_s=flight_timeout_s
        )
        ttl_s = options.alias_ttl_s
        if ttl_s is None:
            ttl_s = self._repository.info.alias_ttl_s
        names = self._frozen or CatalogNames(
            self._repository,
            threads,
            nursery,
            ttl_s=ttl_s,
            timeout_s=flight_timeout_s,
        )
        view = View(names, service, alias_symlinks=options.aliases is AliasStyle.SYMLINK)
        tree = ArtifactsTree(view, self._target, Flights(nursery, timeout_s=flight_timeout_s))
        ownership = Ownership(
            uid=os.getuid() if options.uid is None else options.uid,
            gid=os.getgid() if options.gid is None else options.gid,
            umask=options.umask,
        )
        nursery.start_soon(self._prepare, service)
        nursery.start_soon(end_when_idle, self._request, self._serving, threads)
        return ReadOperations(
            tree,
            ownership=ownership,
            counters=self._serving.counters,
            on_ready=self._serving.ready.set,
            lineage=Lineage(nursery, threads, self._repository),
        )

    async def _prepare(self, service: Service) -> None:
        """Do ahead what the first look into a mounted version waits for."""
        await self._serving.ready.wait()
        if self._target.version is not None:
            await service.prepare(self._target.version.tree)

    def status(self) -> MountStatus:
        """See Session."""
        status = self._serving.status(
            store=self._repository.info.location, target=self._request.target
        )
        version = self._target.version
        return msgspec.structs.replace(status, version=version.path if version else None)

    def answer(self, _nursery: trio.Nursery, command: Command) -> Reply:
        """See Session."""
        return Reply(error=f"no such command: {command.command}")

    async def stop(self) -> None:
        """See Session."""
        self._serving.over.set()

    async def end(self) -> None:
        """See Session: nothing is left to do."""
