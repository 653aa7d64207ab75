"""The directory in a download's root where files are until they are whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from artfs.system import forks
from artfs.system.files import SharedDescriptor
from artfs.system.locks import hold_new_directory, take_abandoned
from artfs.system.oserrors import translate_os_errors
from artfs.system.paths import is_own_path, local_name, new_own_name

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Aside:
    """A private directory on the root's file system; `name()` gives names in it."""

    __slots__ = ("_directory", "_numbers")

    def __init__(self, directory: SharedDescriptor) -> None:
        self._directory = directory
        self._numbers = count()

    @property
    def fd(self) -> int:
        """Its descriptor, which lives as long as this."""
        return self._directory.fd

    def name(self) -> str:
        """A name that nothing has yet. Thread-safe."""
        return str(next(self._numbers))

    def install(self, name: str, directory_fd: int, final_name: str) -> None:
        """Move a finished file to its place, and over what is there. Raises: OSError."""
        os.rename(name, local_name(final_name), src_dir_fd=self.fd, dst_dir_fd=directory_fd)


@contextmanager
def opened_root(root: Path) -> Iterator[tuple[SharedDescriptor, Aside]]:
    """A directory, made if need be, and an Aside in it, whose files are gone afterwards.

    What earlier downloads left aside when they were killed goes too. The descriptors live as
    long as somebody refers to them: a thread that was left behind can not mistake another file.
    Raises: PermissionDenied, OutOfSpace, BackendUnavailable.
    """
    with translate_os_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        directory = SharedDescriptor(os.open(root, DIRECTORY_FLAGS))
        _remove_abandoned(directory.fd)
        name, aside = _make(directory.fd)
    generation = forks.generation()
    try:
        yield directory, Aside(aside)
    finally:
        if generation == forks.generation():
            shutil.rmtree(name, ignore_errors=True, dir_fd=directory.fd)


def _make(root_fd: int) -> tuple[str, SharedDescriptor]:
    name = new_own_name()
    return name, SharedDescriptor(hold_new_directory(name, dir_fd=root_fd).detach())


def _remove_abandoned(root_fd: int) -> None:
    for name in os.listdir(root_fd):
        if is_own_path(name):
            held = take_abandoned(name, dir_fd=root_fd)
            if held is not None:
                shutil.rmtree(name, ignore_errors=True, dir_fd=root_fd)
                held.close()
