"""The control socket of a mount: it answers while reads hang.

Threads of its own listen, so that a client hears at once that this process lives, whatever keeps
the loop: a write that the disk takes its time for, or a lock. The loop answers.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread

import msgspec
import trio

from artfs.errors import UNDECODABLE, MountError
from artfs.mounts.daemons import OVER, Mark, MountRecord
from artfs.mounts.messages import (
    Command,
    Reply,
    decode_line,
    encode_line,
    socket_address,
    socket_path,
)

logger = logging.getLogger(__name__)

_MAX_LINE_BYTES = 65536
_MAX_CLIENT_S = 60.0
_WORKING_S = 0.5
"""After that long without an answer, and again and again, a client is told that one is coming."""

Answer = Callable[[Command], Reply]
OnLoop = Callable[[bytes], Future[Reply]]
"""Has a line answered by the loop. Raises: trio.RunFinishedError."""


class ControlSocket:
    """A listening Unix socket, named from the mountpoint; it also is the claim to it."""

    def __init__(self, mountpoint: Path) -> None:
        """Raises: MountError where another process has this mountpoint; ConfigError."""
        self.path = socket_path(mountpoint)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._bind(mountpoint)
        except BaseException:
            self._socket.close()
            raise
        self._socket.listen(16)
        self._mark = Mark()
        self._record = MountRecord(mountpoint=mountpoint, socket=self.path.absolute())
        self.mark()

    def mark(self, *, device: str | None = None, area: Path | None = None) -> None:
        """Let others of this user, and root, find this process, whatever their session.

        `device`, `area`: as in MountRecord, once they are known.
        """
        self._show(device=device or self._record.device, area=area or self._record.area)

    def disclaim(self) -> None:
        """Say that the mount has ended: its device may be another one's by now."""
        self._show(device=OVER, area=self._record.area)

    def _show(self, *, device: str | None, area: Path | None) -> None:
        record = msgspec.structs.replace(self._record, device=device, area=area)
        if device != self._record.device or not record.claimed_at_ns:
            now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            record = msgspec.structs.replace(record, claimed_at_ns=now_ns)
        self._record = record
        try:
            self._mark.set(self._record)
        except OSError as error:
            logger.warning("other sessions will not find this mount: %s", error)

    def close(self) -> None:
        """Stop to listen, and remove the socket's file."""
        self._mark.remove()
        with suppress(FileNotFoundError):
            self.path.unlink()
        self._socket.close()

    async def serve(self, answer: Answer) -> None:
        """Answer clients until cancelled."""
        token = trio.lowlevel.current_trio_token()

        def on_loop(line: bytes) -> Future[Reply]:
            reply: Future[Reply] = Future()
            token.run_sync_soon(lambda: reply.set_result(_reply(line, answer)))
            return reply

        ended, end = os.pipe2(os.O_CLOEXEC)
        listening = Thread(
            target=self._listen, args=(ended, on_loop), name="artfs control", daemon=True
        )
        listening.start()
        try:
            await trio.sleep_forever()
        finally:
            os.close(end)
            # It waits for nothing but this.
            listening.join()
            os.close(ended)

    def _listen(self, ended: int, on_loop: OnLoop) -> None:
        self._socket.setblocking(False)
        poller = select.poll()
        for fd in (ended, self._socket.fileno()):
            poller.register(fd, select.POLLIN)
        while ended not in dict(poller.poll()):
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                continue
            except OSError as error:
                logger.warning("a client of the control socket was not heard: %s", error)
                continue
            Thread(
                target=_converse, args=(connection, on_loop), name="artfs control", daemon=True
            ).start()

    def _bind(self, mountpoint: Path) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Of two processes that find a dead one's socket only one may replace it.
            fcntl.flock(directory, fcntl.LOCK_EX)
            if _answers(self.path):
                raise MountError(str(mountpoint), "another process is mounting here")
            with suppress(FileNotFoundError):
                self.path.unlink()
            # Its file never has another mode, whatever the umask.
            os.fchmod(self._socket.fileno(), 0o600)
            with socket_address(self.path) as address:
                self._socket.bind(address)
        finally:
            os.close(directory)


def _answers(path: Path) -> bool:
    """Whether somebody listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            with socket_address(path) as address:
                probe.connect(address)
        except OSError as error:
            return error.errno not in {errno.ENOENT, errno.ECONNREFUSED}
    return True


def _converse(connection: socket.socket, on_loop: OnLoop) -> None:
    """Answer one client. Blocks: until it leaves, or for `_MAX_CLIENT_S`."""
    with connection:
        connection.settimeout(_MAX_CLIENT_S)
        try:
            with connection.makefile("rb") as lines:
                while (line := lines.readline(_MAX_LINE_BYTES)).endswith(b"\n"):
                    connection.sendall(encode_line(_awaited(connection, on_loop(line))))
        except (OSError, trio.RunFinishedError) as error:
            logger.debug("a client of the control socket left: %s", error)


def _awaited(connection: socket.socket, reply: Future[Reply]) -> Reply:
    """A reply of the loop; the client hears that it is coming. Raises: OSError."""
    for _ in range(int(_MAX_CLIENT_S / _WORKING_S)):
        with suppress(TimeoutError):
            return reply.result(_WORKING_S)
        connection.sendall(encode_line(Reply(working=True)))
    raise TimeoutError("the loop does not answer")


def _reply(line: bytes, answer: Answer) -> Reply:
    try:
        command = decode_line(line, Command)
    except UNDECODABLE as error:
        return Reply(error=f"not a command: {error}")
    try:
        return answer(command)
    except Exception as error:
        # A question never ends the mount.
        logger.exception("%s could not be answered", command.command)
        return Reply(error=f"{command.command} could not be answered: {error}")
