"""One read-only mount in this process, from opening the store to the last reply."""

from __future__ import annotations

import logging
import os
import resource
from pathlib import Path

import msgspec
import trio

from artfs.daemon.control import ControlSocket
from artfs.daemon.messages import Command, MountRequest, MountStatus, Reply
from artfs.daemon.options import AliasStyle
from artfs.daemon.serving import FLIGHT_SHARE, Report, Serving
from artfs.engine.fetch import Fetcher
from artfs.engine.flights import Flights
from artfs.engine.threads import Threads
from artfs.errors import MountError
from artfs.fuse.attributes import Ownership
from artfs.fuse.operations import ReadOnlyOperations
from artfs.repository.facade import Repository
from artfs.repository.opening import open_store
from artfs.settings import default_project
from artfs.vfs.artifacts import ArtifactsTree, View
from artfs.vfs.lineage import Lineage
from artfs.vfs.names import CatalogNames, FrozenNames
from artfs.vfs.service import Service
from artfs.vfs.targets import Target, resolve_target

logger = logging.getLogger(__name__)

_FUSE_CONF = Path("/etc/fuse.conf")


def run_mount(request: MountRequest, *, on_ready: Report | None = None) -> None:
    """Mount, serve, and return once the mount has ended: unmounted, stopped or by a signal.

    The request's paths are absolute. `on_ready` is called once the mount answers.
    Raises: MountError; those of opening a store and of resolving a target.
    """
    check_allow_other(request)
    raise_file_limit()
    if request.stage is not None:
        from artfs.daemon.staging import run_stage  # noqa: PLC0415 - takes long to import

        run_stage(request, on_ready=on_ready)
        return
    with open_store(request.store) as repository:
        limit_references(request, repository)
        repository.blobs.read_directly = True
        repository.cache.read_directly = True
        target = resolve_target(repository, request.target, default_project=default_project())
        frozen = None
        if request.options.freeze and target.version is None:
            frozen = FrozenNames.load(repository, project=target.project, name=target.name)
        control = ControlSocket(request.mountpoint)
        try:
            serving = Serving(request, control)
            serving.run(_Session(request, repository, target, frozen, serving), on_ready)
            logger.info("unmounted %s", request.mountpoint)
        finally:
            control.close()


class _Session:
    mount_options = frozenset({"ro", "default_permissions"})

    def __init__(
        self,
        request: MountRequest,
        repository: Repository,
        target: Target,
        frozen: FrozenNames | None,
        serving: Serving,
    ) -> None:
        self._request = request
        self._repository = repository
        self._target = target
        self._frozen = frozen
        self._serving = serving

    def operations(self, nursery: trio.Nursery) -> ReadOnlyOperations:
        """See Session."""
        options = self._request.options
        flight_timeout_s = options.read_timeout_s * FLIGHT_SHARE
        threads = Threads()
        fetcher = Fetcher(nursery, threads, self._serving.counters, timeout_s=flight_timeout_s)
        service = Service(
            self._repository,
            threads,
            fetcher,
            nursery,
            flight_timeout_s=flight_timeout_s,
            read_timeout_s=options.read_timeout_s,
        )
        names = self._frozen or CatalogNames(
            self._repository,
            threads,
            nursery,
            ttl_s=options.alias_ttl_s,
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
        return ReadOnlyOperations(
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


def limit_references(request: MountRequest, repository: Repository) -> None:
    """Keep local files from those who have no right to them."""
    if not request.options.reads_file_references:
        repository.references.refuse(
            "file",
            "local files are not read on behalf of other users",
            hint="mount with -o file_references=on if everybody may read what any version names",
        )


def check_allow_other(request: MountRequest) -> None:
    """Raises: MountError where the system does not allow it, which libfuse says less clearly."""
    if not request.options.allow_other or os.getuid() == 0:
        return
    try:
        lines = _FUSE_CONF.read_text().splitlines()
    except OSError:
        lines = []
    if "user_allow_other" not in {line.strip() for line in lines}:
        raise MountError(
            "-o allow_other",
            "the system does not allow it",
            hint=f"root can write user_allow_other into {_FUSE_CONF}",
        )


def raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
