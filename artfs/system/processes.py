"""This process: how it logs, how it is about to end, and the processes that it starts."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from threading import current_thread, main_thread
from typing import NoReturn

from artfs.credentials import shown

logger = logging.getLogger(__name__)

LOG_LEVEL_VARIABLE = "ARTFS_LOG_LEVEL"
_FAILED = 1
_INTERRUPTED = 255
Status = str | int | None
"""What sys.exit takes: an exit code, or a text that stands for a failure."""


class LogFormatter(logging.Formatter):
    """Formats lines of a log, whoever wrote them, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return shown(super().format(record))


def log_to_stderr(level: int) -> None:
    """Write all that is logged from `level` on to standard error.

    Of libraries their warnings alone, unless the level is DEBUG: boto3 tells of each renewal.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    of_libraries = level if level == logging.DEBUG else max(level, logging.WARNING)
    logging.basicConfig(level=of_libraries, handlers=[handler])
    logging.getLogger("artfs").setLevel(level)


def chosen_log_level(default: int) -> int:
    """The level from which on this process logs: that of `--log-level`, or a default."""
    return logging.getLevelNamesMapping().get(os.environ.get(LOG_LEVEL_VARIABLE, ""), default)


def notify_systemd(state: str) -> None:
    """Tell systemd, where it wants to know: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect("\0" + address[1:] if address.startswith("@") else address)
            sender.sendall(state.encode())
        except OSError as error:
            logger.warning("systemd could not be told %r: %s", state, error)


class ExitWatch:
    """Sees what the process ends with, from when it is made until `stop`.

    The interpreter keeps an exception that ends the script, but not a SystemExit. As wandb does,
    this stands in for `sys.exit`; a SystemExit that is raised without it goes unseen.
    """

    def __init__(self) -> None:
        self._error_before = _last_error()
        self._status: Status = None
        self._original = sys.exit
        sys.exit = self._exit

    def stop(self) -> None:
        """Give `sys.exit` back, unless somebody else stands in for it by now."""
        if sys.exit == self._exit:
            sys.exit = self._original

    def code(self) -> int:
        """The exit code, as far as it is settled; W&B's 255 after Ctrl-C."""
        error = _last_error()
        if error is not self._error_before:
            return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else _FAILED
        if self._status is None:
            return 0
        return self._status if isinstance(self._status, int) else _FAILED

    def _exit(self, status: Status = None, /) -> NoReturn:
        # In another thread it ends only that.
        if current_thread() is main_thread():
            self._status = status
        self._original(status)


def _last_error() -> BaseException | None:
    return getattr(sys, "last_value", None)


def child_environment() -> dict[str, str]:
    """The environment in which a new process finds the same artfs as this one."""
    environment = dict(os.environ)
    # Paths that it is told are those of this process, whatever the locale.
    environment["PYTHONUTF8"] = "1"
    root = Path(__file__).resolve().parents[2]
    if root.name not in {"site-packages", "dist-packages"}:
        paths = [str(root), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment
