"""`artfs.stage`: a writable directory that becomes a version at the end of a block.

The mount is a process of its own and would outlive this one; it is asked for through the command
line, as by a person.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    ConfigError,
    Conflict,
    IntegrityError,
    InvalidArgument,
    MountError,
    NotFound,
    OutOfSpace,
    PermissionDenied,
    ReferenceChanged,
    Unsupported,
)
from artfs.model import Metadata
from artfs.mounts.processes import child_environment
from artfs.sdk.newfile import check_same_process
from artfs.sdk.session import active_repository, current_run
from artfs.settings import STORE_VARIABLE
from artfs.system import forks

_ERRORS: dict[int, type[ArtfsError]] = {
    kind.exit_code: kind
    for kind in (
        NotFound,
        Conflict,
        IntegrityError,
        ReferenceChanged,
        BackendUnavailable,
        PermissionDenied,
        OutOfSpace,
        InvalidArgument,
        ConfigError,
        Unsupported,
        MountError,
    )
}


@contextmanager
def stage(
    name: str,
    *,
    type: str | None = None,  # noqa: A002 - as in Artifact(name, type=...)
    base: str | None = None,
    aliases: Sequence[str] = (),
    description: str | None = None,
    metadata: Metadata | None = None,
    store: str | None = None,
) -> Iterator[Path]:
    """Give a writable directory; at the end of the block it becomes a version of `name`.

    It is empty, or shows the version that `base` names, lazily. An exception in the block drops
    it. The current run is recorded as the one that made the version.

    Raises: NotFound, Conflict, InvalidArgument and what else `artfs stage` and `artfs umount` end
    with. When the commit fails everything is kept, and the error says how to go on.
    """
    run = current_run()
    address = store or active_repository().address
    if run is not None and "/" not in name:
        name = f"{run.project}/{name}"
    order = ["--metadata", json.dumps(metadata or {})]
    for option, value in (("--type", type), ("--base", base), ("--description", description)):
        if value is not None:
            order += [option, value]
    for alias in aliases:
        order += ["--alias", alias]
    if run is not None:
        order += ["--run", run.id]
    mountpoint = Path(tempfile.mkdtemp(prefix="artfs-stage-"))
    generation = forks.generation()
    try:
        _artfs(address, "stage", *order, "--", name, str(mountpoint))
        try:
            yield mountpoint
        except BaseException:
            # A child of fork that ends leaves its parent's directory alone.
            if generation == forks.generation():
                _artfs(address, "abort", "--yes", "--", str(mountpoint))
            raise
        check_same_process(generation, name)
        _artfs(address, "umount", "--", str(mountpoint))
    finally:
        if generation == forks.generation():
            # Not empty: it is mounted still, and kept.
            with suppress(OSError):
                mountpoint.rmdir()


def _artfs(address: str, *arguments: str) -> None:
    """Run the command line over a store. Raises: the error that it ended with."""
    # The store goes not as an argument: everybody can see those, and a URL may hold a password.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "artfs", *arguments],
        env=child_environment() | {STORE_VARIABLE: address},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"`artfs {arguments[0]}` failed"]
        raise _ERRORS.get(done.returncode, MountError)(lines[-1].removeprefix("artfs: "))
