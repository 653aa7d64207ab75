"""The control socket of a mount: it answers while reads hang."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

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

Answer = Callable[[Command], Reply]


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
        self._socket.setblocking(False)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))

        async def handle(stream: trio.SocketStream) -> None:
            with trio.move_on_after(_MAX_CLIENT_S):
                try:
                    await _converse(stream, answer)
                except (trio.BrokenResourceError, OSError) as error:
                    logger.debug("a client of the control socket left: %s", error)

        await trio.serve_listeners(handle, [listener])

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


async def _converse(stream: trio.SocketStream, answer: Answer) -> None:
    data = bytearray()
    async with stream:
        async for chunk in stream:
            data += chunk
            while (end := data.find(b"\n")) >= 0:
                line, data = data[:end], data[end + 1 :]
                await stream.send_all(encode_line(_reply(line, answer)))
            if len(data) > _MAX_LINE_BYTES:
                return


def _reply(line: bytearray, answer: Answer) -> Reply:
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
