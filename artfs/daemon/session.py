"""One mount in this process, from opening the store to the last reply."""

from __future__ import annotations

import logging
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pyfuse3
import trio

from artfs.config import default_project, state_path
from artfs.daemon.control import ControlSocket
from artfs.daemon.messages import (
    Command,
    MountRequest,
    MountState,
    MountStatus,
    Reply,
    log_name,
)
from artfs.daemon.options import AliasStyle
from artfs.daemon.tuning import tune_mount
from artfs.engine.counters import Counters
from artfs.engine.fetch import Fetcher
from artfs.engine.flights import Flights
from artfs.engine.threads import Threads
from artfs.errors import MountError
from artfs.fuse.attributes import Ownership
from artfs.fuse.loop import serve_requests
from artfs.fuse.operations import ReadOnlyOperations
from artfs.repository.facade import Repository
from artfs.repository.opening import open_store
from artfs.vfs.artifacts import ArtifactsTree, View
from artfs.vfs.lineage import Lineage
from artfs.vfs.names import CatalogNames, FrozenNames
from artfs.vfs.service import Service
from artfs.vfs.targets import Target, resolve_target

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FLIGHT_SHARE = 0.8
_FUSE_CONF = Path("/etc/fuse.conf")

Report = Callable[[MountStatus], None]


def run_mount(request: MountRequest, *, on_ready: Report | None = None) -> None:
    """Mount, serve, and return once the mount has ended: unmounted, stopped or by a signal.

    The request's paths are absolute. `on_ready` is called once the mount answers.
    Raises: MountError; those of opening a store and of resolving a target.
    """
    check_allow_other(request)
    raise_file_limit()
    if request.stage is not None:
        from artfs.daemon.staging import run_stage  # noqa: PLC0415 - it imports this module

        run_stage(request, on_ready=on_ready)
        return
    with open_store(request.store) as repository:
        repository.blobs.read_directly = True
        target = resolve_target(repository, request.target, default_project=default_project())
        frozen = None
        if request.options.freeze and target.version is None:
            frozen = FrozenNames.load(repository, project=target.project, name=target.name)
        control = ControlSocket(request.mountpoint)
        try:
            session = _Session(request, repository, target, frozen, control)
            # A signal that comes before the loop can take it waits until then.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            trio.run(session.run, on_ready or (lambda _: None))
        finally:
            control.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


class _Session:
    def __init__(
        self,
        request: MountRequest,
        repository: Repository,
        target: Target,
        frozen: FrozenNames | None,
        control: ControlSocket,
    ) -> None:
        self._request = request
        self._repository = repository
        self._target = target
        self._frozen = frozen
        self._control = control
        self._counters = Counters()
        self._started_at_s = time.time()
        self._stop = trio.Event()
        self._ready = trio.Event()

    async def run(self, on_ready: Report) -> None:
        """Mount, and serve until told to stop or unmounted from outside."""
        try:
            await self._run(on_ready)
        except BaseExceptionGroup as group:
            raise first_error(group) from None

    async def _run(self, on_ready: Report) -> None:
        async with trio.open_nursery() as nursery:
            operations = self._operations(nursery)
            with trio.open_signal_receiver(*SIGNALS) as signals:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
                self._mount(operations)
                try:
                    nursery.start_soon(self._stop_on_signal, signals)
                    nursery.start_soon(self._control.serve, self._answer)
                    nursery.start_soon(self._serve)
                    await self._announce(on_ready)
                    await self._stop.wait()
                finally:
                    # Handlers that wait are cancelled, not waited for; closing the session then
                    # frees their callers.
                    nursery.cancel_scope.cancel()
                    pyfuse3.close(unmount=True)
        logger.info("unmounted %s", self._request.mountpoint)

    def _operations(self, nursery: trio.Nursery) -> ReadOnlyOperations:
        options = self._request.options
        flight_timeout_s = options.read_timeout_s * FLIGHT_SHARE
        threads = Threads()
        fetcher = Fetcher(nursery, threads, self._counters, timeout_s=flight_timeout_s)
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
        return ReadOnlyOperations(
            tree,
            ownership=ownership,
            counters=self._counters,
            on_ready=self._ready.set,
            lineage=Lineage(nursery, threads, self._repository),
        )

    def _mount(self, operations: ReadOnlyOperations) -> None:
        options = {"ro", "noatime", "fsname=artfs", "subtype=artfs", "default_permissions"}
        if self._request.options.allow_other:
            options.add("allow_other")
        init_mount(operations, self._request.mountpoint, options)

    async def _serve(self) -> None:
        await serve_requests()
        self._stop.set()

    async def _announce(self, on_ready: Report) -> None:
        while not (self._ready.is_set() or self._stop.is_set()):
            async with trio.open_nursery() as nursery:
                for event in (self._ready, self._stop):
                    nursery.start_soon(wait_and_cancel, event, nursery.cancel_scope)
        if self._ready.is_set():
            tune_mount(self._request.mountpoint)
            logger.info("mounted %s", self._request.mountpoint)
            on_ready(self._status())

    async def _stop_on_signal(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            logger.info("%s: unmounting", signal.Signals(number).name)
            self._stop.set()

    def _answer(self, command: Command) -> Reply:
        if command.command == "status":
            return Reply(status=self._status())
        if command.command == "stop":
            self._stop.set()
            return Reply(status=self._status())
        return Reply(error=f"no such command: {command.command}")

    def _status(self) -> MountStatus:
        version = self._target.version
        return MountStatus(
            mountpoint=self._request.mountpoint,
            state=MountState.MOUNTED,
            pid=os.getpid(),
            store=self._repository.info.location,
            target=self._request.target,
            version=version.path if version else None,
            started_at_s=self._started_at_s,
            options=self._request.options,
            counters=self._counters,
            log=state_path() / log_name(self._request.mountpoint),
        )


def init_mount(operations: pyfuse3.Operations, mountpoint: Path, options: set[str]) -> None:
    """Mount. Raises: MountError."""
    try:
        pyfuse3.init(operations, str(mountpoint), options)
    except RuntimeError as error:
        raise MountError(
            str(mountpoint),
            f"mounting failed ({error})",
            hint="what the system said stands above, or in the mount's log",
        ) from None


async def wait_and_cancel(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the mount; others are those of tasks which it took along."""
    error = group.exceptions[0]
    return first_error(error) if isinstance(error, BaseExceptionGroup) else error


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
