"""Directories of this user alone: control sockets, logs, the block cache."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from artfs.errors import ArtfsError
from artfs.settings import STATE_VARIABLE, runtime_base, state_path
from artfs.system.directories import DirectoryHandle, own_directory
from artfs.system.files import set_mode
from artfs.system.oserrors import RUNTIME_VARIABLE

_MAX_LOG_BYTES = 4 * 1024 * 1024


def runtime_directory() -> Path:
    """Where control sockets live; made for this user alone when missing.

    Raises: PermissionDenied, with the cure, where somebody else made it or can write to it;
    BackendUnavailable, OutOfSpace.
    """
    base = runtime_base()
    path = base / "artfs"
    if not os.environ.get(RUNTIME_VARIABLE):
        # Below /tmp anybody can have made it, and what is in it.
        own_directory(base, follow=False, variable=RUNTIME_VARIABLE).close()
    own_directory(path, follow=False, variable=RUNTIME_VARIABLE).close()
    return path


def state_directory() -> DirectoryHandle:
    """Where logs of daemons live. Raises: PermissionDenied; BackendUnavailable, OutOfSpace."""
    return own_directory(state_path(), variable=STATE_VARIABLE)


def open_log(name: str) -> int:
    """Open a log of this user to append to it; its descriptor, for the caller to close.

    One that has grown large is put aside first, as NAME.1, in place of an older one.

    Raises: PermissionDenied; OSError.
    """
    with own_directory(log_directory()) as directory:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(FileNotFoundError):
            if os.stat(name, dir_fd=directory.fd, follow_symlinks=False).st_size > _MAX_LOG_BYTES:
                os.replace(name, f"{name}.1", src_dir_fd=directory.fd, dst_dir_fd=directory.fd)
        fd = os.open(name, flags, 0o600, dir_fd=directory.fd)
        # Of a log from before it was private.
        set_mode(fd, 0o600)
        return fd


def log_directory() -> Path:
    """Where logs of daemons live: where this user has no place for them, beside the sockets.

    Raises: PermissionDenied; BackendUnavailable, OutOfSpace.
    """
    try:
        state_directory().close()
        return state_path()
    except (OSError, ArtfsError):
        return runtime_directory()


# --- stores that were used ---------------------------------------------------------------------


def remember_store(root: Path) -> None:
    """Take note that this user has a store at `root`; where that cannot be, it is not known."""
    with suppress(OSError, ArtfsError):
        path = _note_of(root)
        if path.exists():
            return
        with state_directory() as state, state.below(path.parent.name, create=True) as notes:
            notes.replace(path.name, os.fsencode(root))


def is_remembered(root: Path) -> bool:
    """Whether this user is known to have used a store at `root`."""
    with suppress(OSError, ArtfsError):
        return _note_of(root).exists()
    return False


def _note_of(root: Path) -> Path:
    return state_path() / "stores" / sha256(os.fsencode(root)).hexdigest()[:32]
