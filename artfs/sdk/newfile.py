"""A file that is written in a block, in a place of its own, by the process that began it alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from artfs.errors import InvalidArgument
from artfs.system import forks
from artfs.system.oserrors import translate_os_errors


def check_same_process(generation: int, subject: str) -> None:
    """Refuse to end in a forked child what its parent began, and ends itself.

    Raises: InvalidArgument.
    """
    if generation != forks.generation():
        raise InvalidArgument(
            subject,
            "was begun by the process that this one was forked from",
            hint="leave a child by os._exit, or begin it there",
        )


@contextmanager
def written_file(path: Path, mode: str, encoding: str | None) -> Iterator[IO[str] | IO[bytes]]:
    """A new file in a new directory, both of which are gone after the block.

    Raises: PermissionDenied, OutOfSpace, BackendUnavailable.
    """
    begun_in = forks.generation()
    try:
        with translate_os_errors(path):
            path.parent.mkdir()
            file = path.open(mode, encoding=encoding)
        watched = _WrittenFile(file)
        with file:
            yield file
        del watched
    finally:
        if begun_in == forks.generation():
            shutil.rmtree(path.parent, ignore_errors=True)


class _WrittenFile:
    """Keeps children from writing to a file, what is in its buffer included."""

    def __init__(self, file: IO[str] | IO[bytes]) -> None:
        self._file = file
        forks.before_fork(self._flush)
        forks.in_child(self._leave_to_parent)

    def _flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def _leave_to_parent(self) -> None:
        if not self._file.closed:
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(nowhere, self._file.fileno(), inheritable=False)
            os.close(nowhere)
