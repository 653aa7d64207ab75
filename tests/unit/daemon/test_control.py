"""The control socket: whoever asks hears of a process that lives, however busy its loop is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
import trio

from artfs.daemon.control import ControlSocket
from artfs.mounts.contact import ask
from artfs.mounts.daemons import Daemon, MountRecord
from artfs.mounts.messages import (
    Command,
    MountState,
    MountStatus,
    Reply,
    decode_line,
    encode_line,
    socket_address,
)


class Loop:
    """A control socket, and a loop that stands still in its answer until `free` is set."""

    def __init__(self, place: Path) -> None:
        self.free, self._serves = Event(), Event()
        self._place = place
        self._control = ControlSocket(place)
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        """As its clients know it."""
        record = MountRecord(mountpoint=self._place, socket=self._control.path)
        with ThreadPoolExecutor(1) as pool:
            served = pool.submit(trio.run, self._serve)
            try:
                self._serves.wait()
                yield Daemon(pid=os.getpid(), uid=os.geteuid(), record=record)
            finally:
                self.free.set()
                assert self._token is not None
                self._token.run_sync_soon(self._scope.cancel)
                served.result()
                self._control.close()

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._serves.set()
        with self._scope:
            await self._control.serve(self._answer)

    def _answer(self, command: Command) -> Reply:
        self.free.wait()
        if command.command == "odd":
            raise ValueError("odd")
        return Reply(status=MountStatus(mountpoint=self._place, state=MountState.MOUNTED))


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loop:
    """One that is free."""
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return Loop(tmp_path)


@contextmanager
def asking(daemon: Daemon, line: bytes) -> Iterator[Iterator[Reply]]:
    """What a client is told."""
    with socket.socket(socket.AF_UNIX) as connection:
        with socket_address(daemon.record.socket) as address:
            connection.connect(address)
        connection.sendall(line)
        with connection.makefile("rb") as lines:
            yield (decode_line(each, Reply) for each in lines)


def test_a_process_whose_loop_is_kept_says_that_it_works_and_answers_when_it_can(
    loop: Loop,
) -> None:
    with loop.running() as daemon, ThreadPoolExecutor() as pool:
        with asking(daemon, encode_line(Command("status"))) as replies:
            assert [next(replies).working for _ in range(2)] == [True, True]
            # A second client is heard meanwhile, and waits as long.
            second = pool.submit(ask, daemon, Command("status"))
            with asking(daemon, encode_line(Command("status"))) as others:
                assert next(others).working
            assert not second.done()
            loop.free.set()
            answer = next(reply for reply in replies if not reply.working)
        assert answer.status is not None
        assert second.result() == ask(daemon, Command("status"))


MALFORMED = {
    "no JSON": b"?",
    "nested without end": b'{"x":' + b"[" * 40_000,
    "NUL": bytes(3),
    "not UTF-8": b'{"command":"\xff"}',
    "another type": b'{"command":3}',
    "a number of 5,000 digits": b'{"command":"stop","wait_writers_s":' + b"9" * 5000 + b"}",
    "a list": b"[]",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_message_that_no_client_sends_is_answered_and_ends_no_mount(
    kind: str, loop: Loop
) -> None:
    loop.free.set()
    with loop.running() as daemon:
        with asking(daemon, MALFORMED[kind] + b"\n") as replies:
            assert (next(replies).error or "").startswith("not a command")
        assert ask(daemon, Command("status")).state is MountState.MOUNTED


def test_what_cannot_be_answered_is_told_and_ends_nothing(loop: Loop) -> None:
    loop.free.set()
    with loop.running() as daemon:
        with asking(daemon, encode_line(Command("odd"))) as replies:
            assert "odd" in (next(replies).error or "")
        # Longer than any command: it is not heard to its end.
        with asking(daemon, b"x" * 65536) as replies:
            assert list(replies) == []
        assert ask(daemon, Command("status")).state is MountState.MOUNTED
