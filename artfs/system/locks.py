"""Files and directories that somebody holds: by a lock, which ends with its last open descriptor.

Who is at work is told by a lock and never by a pid, a host's name or a clock: a pid says nothing in
another PID namespace, and a clock nothing at all. A lock (flock) belongs to the open file, so it
also ends when its process is killed; it goes on while the process is stopped, while the host
sleeps, and in a forked child, which holds what its parent held until both have let go of it. A
program that is executed does not inherit it. A lock is that of the inode: it survives a rename.

On a file system without locks nothing can be told: what is there counts as held.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

StrPath = str | os.PathLike[str]


class Held:
    """A file or directory that is held as long as `fd` is open: until `close`, or nobody refers to
    this any more, in this process and in the children that it forked meanwhile.
    """

    __slots__ = ("_is_open", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._is_open = True

    def close(self) -> None:
        """Let go of it; what it is stays. Twice is once."""
        if self._is_open:
            self._is_open = False
            os.close(self.fd)

    def detach(self) -> int:
        """Give the descriptor away: it is held as long as that is open."""
        self._is_open = False
        return self.fd

    def is_at(self, path: StrPath, *, dir_fd: int | None = None) -> bool:
        """Whether `path` still names what is held. Raises: OSError."""
        return _names(path, self.fd, dir_fd)

    def __del__(self) -> None:
        self.close()


def hold_new_file(path: StrPath, *, mode: int = 0o600, dir_fd: int | None = None) -> Held:
    """Make an empty file, and hold it before anybody can take it for abandoned.

    Its descriptor is for reading and writing. Raises: OSError, FileExistsError among them.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE_FLAGS
    while True:
        held = Held(os.open(path, flags, mode, dir_fd=dir_fd))
        if _hold(held, path, dir_fd):
            return held


def hold_new_directory(path: StrPath, *, mode: int = 0o700, dir_fd: int | None = None) -> Held:
    """Make a directory, and hold it before anybody can take it for abandoned.

    Raises: OSError, FileExistsError among them.
    """
    while True:
        os.mkdir(path, mode, dir_fd=dir_fd)
        with suppress(FileNotFoundError):
            held = Held(os.open(path, _DIRECTORY_FLAGS, dir_fd=dir_fd))
            if _hold(held, path, dir_fd):
                return held


def is_held(path: StrPath, *, dir_fd: int | None = None) -> bool:
    """Whether somebody holds a file or directory, this process included.

    True as well where that cannot be told; False where there is none. Never blocks.
    """
    try:
        held = Held(os.open(path, os.O_RDONLY | _FILE_FLAGS, dir_fd=dir_fd))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        # Shared: two that ask at once are no holders to each other.
        fcntl.flock(held.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        held.close()
    return False


def take_abandoned(path: StrPath, *, dir_fd: int | None = None) -> Held | None:
    """Hold a file or directory that nobody holds, to remove it; None where somebody may.

    Whoever makes one at this path at the same moment finds out, and makes it again. Never blocks.
    """
    try:
        held = Held(os.open(path, os.O_RDONLY | _FILE_FLAGS, dir_fd=dir_fd))
        fcntl.flock(held.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return held if held.is_at(path, dir_fd=dir_fd) else None
    except OSError:
        return None


def _hold(held: Held, path: StrPath, dir_fd: int | None) -> bool:
    """Lock what was made just now; False where somebody has cleaned it away before."""
    # Blocks for as long as somebody looks whether it is held.
    with suppress(OSError):
        fcntl.flock(held.fd, fcntl.LOCK_EX)
    return _names(path, held.fd, dir_fd)


def _names(path: StrPath, fd: int, dir_fd: int | None) -> bool:
    try:
        found = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(fd))
