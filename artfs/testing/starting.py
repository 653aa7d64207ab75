"""Starting servers on this machine: ports that are free, and waiting until one answers."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

_PAUSE_S = 0.05
_TAIL_CHARACTERS = 2000


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody uses at the moment."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def wait_until_it_answers(
    ask: Callable[[], object],
    process: subprocess.Popen[bytes],
    *,
    refusals: type[Exception] | tuple[type[Exception], ...] = OSError,
    log: Path | None = None,
    deadline_s: float = 30,
) -> None:
    """Ask until no refusal is raised.

    Raises: RuntimeError where the process ends or the deadline passes.
    """
    end_s = time.monotonic() + deadline_s
    while True:
        try:
            ask()
        except refusals as error:
            if process.poll() is not None or time.monotonic() > end_s:
                said = "" if log is None else log.read_text(errors="replace")[-_TAIL_CHARACTERS:]
                raise RuntimeError(f"{process.args!r} does not start: {error}\n{said}") from error
            time.sleep(_PAUSE_S)
        else:
            return


def connect(port: int) -> None:
    """Connect to a port of the loopback. Raises: OSError."""
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
