"""What every mount of a process goes through: mounted, ready, told to stop, and over."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import pyfuse3
import trio

from artfs.daemon.control import ControlSocket
from artfs.errors import MountError
from artfs.fuse.loop import serve_requests
from artfs.mounts.messages import (
    Command,
    Counters,
    MountRequest,
    MountState,
    MountStatus,
    Reply,
    log_name,
)
from artfs.mounts.refusals import explain
from artfs.repository.facade import Repository
from artfs.system.mountinfo import mounted_at, source_of
from artfs.system.user_places import log_directory

_STDERR = 2

logger = logging.getLogger(__name__)

READ_AHEAD_KIB = 4096
_MAX_BACKGROUND = 1024
"""Requests of the kernel's read-ahead that may wait, whoever they are for: those of hundreds of
readers that are stuck leave room for the others. What they cost is limited elsewhere."""
_CONGESTION_THRESHOLD = 768
FLIGHT_SHARE = 0.8
"""How much of a read's deadline the fetching of a block may take."""
_FUSE_DEVICE = Path("/dev/fuse")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
Report = Callable[[MountStatus], None]


@contextmanager
def captured_stderr(said: list[str]) -> Iterator[None]:
    """Add what is written to standard error meanwhile to `said`; it gets there as well."""
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    taken = os.memfd_create("stderr", os.MFD_CLOEXEC)
    try:
        os.dup2(taken, _STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, _STDERR)
            data = os.pread(taken, os.fstat(taken).st_size, 0)
            said.append(data.decode(errors="replace"))
            if data:
                os.write(_STDERR, data)
    finally:
        os.close(taken)
        os.close(kept)


def tune_mount(mountpoint: Path) -> None:
    """Raise read-ahead, and how many requests may wait; asks the kernel, not the mount."""
    mounted = mounted_at(mountpoint)
    if mounted is None:
        return
    minor = mounted.device.partition(":")[2]
    connection = Path("/sys/fs/fuse/connections") / minor
    for path, value in (
        # Streams come in requests of 1 MiB in place of 128 KiB; more was measured to be slower.
        (Path("/sys/class/bdi") / mounted.device / "read_ahead_kb", READ_AHEAD_KIB),
        (connection / "max_background", _MAX_BACKGROUND),
        (connection / "congestion_threshold", _CONGESTION_THRESHOLD),
    ):
        try:
            path.write_text(str(value))
        except OSError as error:
            logger.debug("%s stays as it is: %s", path, error)


class MountSession(Protocol):
    """What kind of mount it is."""

    mount_options: frozenset[str]
    area_id: str | None
    """Of the staging area, where it is one."""

    def operations(self, nursery: trio.Nursery) -> pyfuse3.Operations:
        """The handlers; what they start belongs to `nursery`."""

    def status(self) -> MountStatus:
        """What it is, and how it is."""

    def answer(self, nursery: trio.Nursery, command: Command) -> Reply:
        """Do what another process asks for, but to stop: that Serving does."""

    async def stop(self) -> None:
        """Somebody wants it to end: let `Serving.over` come about."""

    async def end(self) -> None:
        """The last thing, when it is over and before the mountpoint is free; not cancelled."""


class Serving:
    """The life of one mount."""

    def __init__(self, request: MountRequest, control: ControlSocket) -> None:
        self.ready = trio.Event()
        """The kernel talks to us."""
        self.stopping = trio.Event()
        """Somebody wants it to end."""
        self.over = trio.Event()
        """It was unmounted, or is to be, whoever may be in it."""
        self.counters = Counters()
        self._request = request
        self._control = control
        self._started_at_s = time.time()
        self.device: str | None = None
        """`major:minor` of the mount, once the kernel talks to us."""

    def is_mounted_here(self) -> bool:
        """Whether the mountpoint shows this mount, and nothing else."""
        mounted = mounted_at(self._request.mountpoint)
        # Its number is ours only as long as the kernel talks to us.
        return mounted is not None and mounted.device == self.device and self.is_held()

    def run(self, session: MountSession, on_ready: Report | None) -> None:
        """Mount, and serve until it is unmounted or told to stop.

        `on_ready` is called once the mount answers. Raises: MountError; what `session` raises.
        """
        # A signal that comes before the loop can take it waits until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            trio.run(self._run, session, on_ready or (lambda _: None))
        except BaseExceptionGroup as group:
            raise _first_error(group) from None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def status(self, *, store: str, target: str | None) -> MountStatus:
        """What can be said of any mount."""
        return MountStatus(
            mountpoint=self._request.mountpoint,
            state=MountState.MOUNTED,
            pid=os.getpid(),
            store=store,
            target=target,
            started_at_s=self._started_at_s,
            options=self._request.options,
            counters=self.counters,
            log=log_directory() / log_name(self._request.mountpoint),
        )

    async def _run(self, session: MountSession, on_ready: Report) -> None:
        def answer(command: Command) -> Reply:
            if command.command == "stop":
                self.stopping.set()
            elif command.command != "status":
                return session.answer(nursery, command)
            return Reply(status=session.status())

        async with trio.open_nursery() as nursery:
            operations = session.operations(nursery)
            with trio.open_signal_receiver(*_SIGNALS) as signals:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
                self._mount(operations, session)
                try:
                    nursery.start_soon(self._stop_on_signal, signals)
                    nursery.start_soon(self._stop_when_told, session)
                    nursery.start_soon(self._control.serve, answer)
                    nursery.start_soon(self._serve)
                    await self._announce(session, on_ready)
                    await self.over.wait()
                    with trio.CancelScope(shield=True):
                        await session.end()
                finally:
                    # Handlers that wait are cancelled, not waited for; closing the session then
                    # frees their callers.
                    nursery.cancel_scope.cancel()
                    # What stands at the mountpoint by now may be somebody else's. Closing the
                    # session ends the mount in other mount namespaces, too.
                    pyfuse3.close(unmount=self.is_mounted_here() if self.device else self.is_held())

    def _mount(self, operations: pyfuse3.Operations, session: MountSession) -> None:
        mountpoint = str(self._request.mountpoint)
        source = self._request.source or source_of(session.area_id)
        every = {"noatime", f"fsname={source}", "subtype=artfs"}
        if self._request.options.allow_other:
            every.add("allow_other")
        said: list[str] = []
        try:
            with captured_stderr(said):
                pyfuse3.init(operations, mountpoint, every | session.mount_options)
        except RuntimeError as error:
            refusal = explain("".join(said) or str(error))
            raise MountError(
                refusal.subject or mountpoint, refusal.reason, hint=refusal.hint
            ) from None

    async def _serve(self) -> None:
        await serve_requests()
        self._control.disclaim()
        self.over.set()

    async def _announce(self, session: MountSession, on_ready: Report) -> None:
        async with trio.open_nursery() as nursery:
            for event in (self.ready, self.over):
                nursery.start_soon(_wait_and_cancel, event, nursery.cancel_scope)
        if self.ready.is_set():
            mounted = mounted_at(self._request.mountpoint)
            self.device = None if mounted is None else mounted.device
            self._control.mark(device=self.device)
            tune_mount(self._request.mountpoint)
            logger.info("mounted %s", self._request.mountpoint)
            on_ready(session.status())

    async def _stop_on_signal(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            logger.info("%s: unmounting", signal.Signals(number).name)
            self.stopping.set()

    @staticmethod
    def is_held() -> bool:
        """Whether the kernel still talks to us: after unmounting, somebody else has it mounted."""
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if entry.readlink() == _FUSE_DEVICE:
                    poller = select.poll()
                    poller.register(int(entry.name), 0)
                    return not poller.poll(0)
        return False

    async def _stop_when_told(self, session: MountSession) -> None:
        await self.stopping.wait()
        await session.stop()


async def _wait_and_cancel(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the mount; others are those of tasks which it took along."""
    error = group.exceptions[0]
    return _first_error(error) if isinstance(error, BaseExceptionGroup) else error


def limit_references(request: MountRequest, repository: Repository) -> None:
    """Keep local files from those who have no right to them."""
    if request.options.file_references:
        repository.references.limit_files(only_public=False)
    if not request.options.reads_file_references:
        repository.references.refuse(
            "file",
            "local files are not read on behalf of other users",
            hint="mount with -o file_references=on if everybody may read what any version names",
        )
