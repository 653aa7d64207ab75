"""Running a mount in this process, until it has ended: read-only, or for staging."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from artfs.daemon.serving import Report
from artfs.errors import MountError
from artfs.mounts.client import prepare
from artfs.mounts.messages import MountRequest

_FUSE_CONF = Path("/etc/fuse.conf")


def run_mount(request: MountRequest, *, on_ready: Report | None = None) -> None:
    """Mount, serve, and return once the mount has ended: unmounted, stopped or by a signal.

    The request's paths are absolute. `on_ready` is called once the mount answers.
    Raises: MountError; those of opening a store, of resolving a target, and of committing.
    """
    _check_allow_other(request)
    _raise_file_limit()
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


def _check_allow_other(request: MountRequest) -> None:
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


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
