"""The process of one mount: reads its request from standard input, and says when it is ready.

Started by artfs/mounts/client.py, never forked. Standard error is the log.
"""

from __future__ import annotations

import logging
import os
import resource
import sys

from artfs.daemon.serving import Report
from artfs.errors import ArtfsError, MountError
from artfs.mounts.client import prepare
from artfs.mounts.messages import (
    Failure,
    MountRequest,
    MountStatus,
    Ready,
    decode_line,
    encode_line,
)
from artfs.settings import TIMEOUT_VARIABLE
from artfs.system.oserrors import translated
from artfs.system.processes import chosen_log_level, log_to_stderr, notify_systemd

logger = logging.getLogger("artfs.daemon")

_FEWEST_OPEN_FILES = 1024
"""With fewer, a mount that is made might be neither found nor read."""


def run_mount(request: MountRequest, *, on_ready: Report | None = None) -> None:
    """Mount, serve, and return once the mount has ended: unmounted, stopped or by a signal.

    The request's paths are absolute. `on_ready` is called once the mount answers.
    Raises: MountError; those of opening a store, of resolving a target, and of committing.
    """
    _raise_file_limit(request)
    # A process serves one mount: its limit is that of whatever it asks.
    os.environ[TIMEOUT_VARIABLE] = str(request.options.read_timeout_s)
    if request.stage is None:
        from artfs.daemon.read_only_mount import run_read_only  # noqa: PLC0415 - each takes long to import

        run_read_only(request, on_ready=on_ready)
    else:
        from artfs.daemon.staging_mount import run_stage  # noqa: PLC0415 - each takes long to import

        run_stage(request, on_ready=on_ready)


def run_foreground(request: MountRequest) -> None:
    """Mount in this process, once everything that can be checked is right.

    Raises: as `run_mount`.
    """
    log_to_stderr(chosen_log_level(logging.WARNING))
    run_mount(prepare(request), on_ready=lambda _: notify_systemd("READY=1"))


def _raise_file_limit(request: MountRequest) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < _FEWEST_OPEN_FILES:
        raise MountError(
            str(request.mountpoint),
            f"a mount has up to {_FEWEST_OPEN_FILES:,} files open, and {hard:,} is the limit here",
            hint="raise it: `ulimit -Hn`",
        )
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Mount what the request on standard input says; return the exit code."""
    log_to_stderr(chosen_log_level(logging.INFO))
    request = decode_line(sys.stdin.buffer.readline(), MountRequest)
    try:
        run_mount(request, on_ready=_announce)
    except ArtfsError as error:
        logger.error("%s", error)  # noqa: TRY400 - its text is meant to be enough
        _tell(Ready(failure=Failure.of(error)))
        return error.exit_code
    except OSError as error:
        logger.exception("the mount ended")
        failed = translated(error, str(error.filename or request.mountpoint))
        _tell(Ready(failure=Failure.of(failed)))
        return failed.exit_code
    except Exception as error:
        logger.exception("the mount ended")
        failure = MountError(str(request.mountpoint), repr(error), hint="see the log")
        _tell(Ready(failure=Failure.of(failure)))
        return 1
    return 0


def _announce(status: MountStatus) -> None:
    _tell(Ready(status=status))
    # Who started us need not wait, nor keep a pipe open for us.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)


def _tell(ready: Ready) -> None:
    try:
        os.write(1, encode_line(ready))
    except OSError as error:
        logger.warning("nobody waits for this mount any more: %s", error)


if __name__ == "__main__":
    sys.exit(main())
