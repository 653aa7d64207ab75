"""Running a mount in this process, until it has ended: read-only, or for staging."""

from __future__ import annotations

import os
import resource

from artfs.daemon.serving import Report
from artfs.mounts.client import prepare
from artfs.mounts.messages import MountRequest
from artfs.settings import TIMEOUT_VARIABLE


def run_mount(request: MountRequest, *, on_ready: Report | None = None) -> None:
    """Mount, serve, and return once the mount has ended: unmounted, stopped or by a signal.

    The request's paths are absolute. `on_ready` is called once the mount answers.
    Raises: MountError; those of opening a store, of resolving a target, and of committing.
    """
    _raise_file_limit()
    # A process serves one mount: its limit is that of whatever it asks.
    os.environ[TIMEOUT_VARIABLE] = str(request.options.read_timeout_s)
    if request.stage is None:
        from artfs.daemon.session import run_read_only  # noqa: PLC0415 - each takes long to import

        run_read_only(request, on_ready=on_ready)
    else:
        from artfs.daemon.staging import run_stage  # noqa: PLC0415 - each takes long to import

        run_stage(request, on_ready=on_ready)


def run_foreground(request: MountRequest) -> None:
    """Mount in this process, once everything that can be checked is right.

    Raises: as `run_mount`.
    """
    run_mount(prepare(request))


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
