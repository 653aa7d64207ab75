"""Mounts of tests whose process is a child of one that has imported artfs already."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import IO, Any

from artfs.mounts import client
from tests.support.starter import Request, Running, daemon_starter, start

_ADDED = {"PYTHONUTF8": "1"}
"""What artfs itself adds to the environment of a mount."""


class StartedDaemon:
    """As much of a subprocess.Popen as artfs.mounts.client uses."""

    def __init__(self, running: Running, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self._running = running
        self._code: int | None = None

    @property
    def returncode(self) -> int | None:
        """See subprocess.Popen; whoever sets it will not wait any more."""
        return self._code

    @returncode.setter
    def returncode(self, code: int) -> None:
        self._code = code
        self._running.leave()

    def wait(self, timeout: float | None = None) -> int:
        """See subprocess.Popen."""
        if self._code is None:
            try:
                self.returncode = self._running.wait(timeout)
            except TimeoutError:
                raise subprocess.TimeoutExpired("artfs.daemon", timeout or 0) from None
        assert self._code is not None
        return self._code

    def terminate(self) -> None:
        """See subprocess.Popen."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """See subprocess.Popen."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.kill(self._running.pid, number)
        except ProcessLookupError:
            self.wait()


class _Subprocess:
    """What stands in for the module: its Popen starts daemons through a starter."""

    def __init__(self, path_for: Callable[[dict[str, str]], str | None]) -> None:
        self._path_for = path_for

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, command: list[str], **options: Any) -> Any:  # noqa: N802 - as the module has it
        """A daemon, where its environment is one that a starter has."""
        path = self._path_for(options["env"])
        if path is None:
            return subprocess.Popen(command, **options)
        ends = [os.pipe(), os.pipe()]
        (stdin_end, stdin), (stdout, stdout_end) = ends
        umask = os.umask(0o022)
        os.umask(umask)
        request = Request(
            arguments=command[4:],
            environment=options["env"],
            directory=options["cwd"],
            umask=umask,
            new_session=options["start_new_session"],
        )
        try:
            streams = [stdin_end, stdout_end, options["stderr"].fileno()]
            running = start(path, request, streams=streams)
        finally:
            os.close(stdin_end)
            os.close(stdout_end)
        return StartedDaemon(running, os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"))


def daemons_for(arguments: list[str], environment: dict[str, str]) -> str | None:
    """Through which socket a command line starts its mounts, if it starts any."""
    if not {"mount", "stage"} & set(arguments):
        return None
    return daemon_starter({**environment, **_ADDED}).path


def start_through(path: str) -> None:
    """In the process of a command line: start mounts through this socket."""
    vars(client)["subprocess"] = _Subprocess(lambda _: path)


def start_here() -> None:
    """In a test process: start mounts through starters of its own."""
    vars(client)["subprocess"] = _Subprocess(lambda environment: daemon_starter(environment).path)
