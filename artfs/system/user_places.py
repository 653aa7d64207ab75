"""Directories of this user alone: control sockets, logs, the block cache."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from artfs.settings import runtime_base, state_path
from artfs.system.directories import Directory, own_directory
from artfs.system.oserrors import translate_os_errors


def runtime_directory() -> Path:
    """Where control sockets live; made for this user alone when missing.

    Raises: PermissionDenied, with the cure, where somebody else made it or can write to it;
    BackendUnavailable, OutOfSpace.
    """
    base = runtime_base()
    path = base / "artfs"
    with translate_os_errors(path):
        if "XDG_RUNTIME_DIR" not in os.environ or not os.environ["XDG_RUNTIME_DIR"]:
            # Below /tmp anybody can have made it, and what is in it.
            own_directory(base, follow=False).close()
        own_directory(path, follow=False).close()
    return path


def state_directory() -> Directory:
    """Where logs of daemons live. Raises: PermissionDenied; OSError."""
    return own_directory(state_path())


def open_log(name: str) -> int:
    """Open a log of this user to append to it; its descriptor, for the caller to close.

    Raises: PermissionDenied; OSError.
    """
    with state_directory() as directory:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=directory.fd)
        with suppress(PermissionError):
            # Of a log from before it was private.
            os.fchmod(fd, 0o600)
        return fd
