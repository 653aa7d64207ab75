"""The one translation of operating system errors into the errors of artfs."""

from __future__ import annotations

import errno
import os
from types import TracebackType

from artfs import failpoints
from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    BlobNotFound,
    InvalidName,
    NotFound,
    OutOfSpace,
    PathNotFound,
    PermissionDenied,
    Unreadable,
)

RUNTIME_VARIABLE = "XDG_RUNTIME_DIR"
"""Names where control sockets live, and HOME never does."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_BROKEN = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENODATA, errno.EREMOTEIO})
"""What disks and file systems say of a place that they cannot read: ext4 and XFS in other words."""
_HINTS = {
    **dict.fromkeys(_FULL, "free some space or raise the quota"),
    **dict.fromkeys(_BROKEN, "the disk, or the way to it, fails: the system's log says more"),
    errno.ENAMETOOLONG: "a name has up to 255 bytes, on some file systems fewer, and a path that "
    "is given up to 4,096: choose another place, or `cd` nearer to it",
    errno.EROFS: "it can only be read",
    errno.EFBIG: "let a process write larger files (`ulimit -f`), or use a file system that holds "
    "them",
    errno.EMFILE: "let a process have more files open: `ulimit -n`",
    errno.ENFILE: "root can let this machine have more files open: sysctl fs.file-max",
    errno.ESTALE: "its server has exported it again: mount it again",
    errno.ENOTCONN: "what was mounted there has ended: mount it again",
}


def translated(
    error: OSError,
    subject: str,
    *,
    missing: type[NotFound] = PathNotFound,
    is_content: bool = False,
    variable: str | None = None,
) -> ArtfsError:
    """The artfs error that says the same as `error` about `subject`.

    `missing` is the class for what does not exist. With `is_content` the subject is stored
    content, and a disk that cannot read it has damaged it. `variable` of the environment decides
    where the subject is, so that another place can be named.
    """
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.EFBIG:
        # Only a write says so, and the subject may be what was read.
        reason = "larger than a file may be where it is written"
    elsewhere = "" if variable is None else another_place(variable)
    hint = "; ".join(filter(None, (_HINTS.get(error.errno or 0, ""), elsewhere)))
    if error.errno == errno.ENOENT:
        return missing(subject, "does not exist", hint=elsewhere)
    if is_content and error.errno in _BROKEN:
        return Unreadable(
            subject,
            f"its disk cannot read it ({reason})",
            hint="`artfs verify` names the files that it damages",
        )
    if error.errno == errno.ENAMETOOLONG:
        return InvalidName(subject, "the name is too long for its file system", hint=hint)
    if error.errno in _FULL:
        return OutOfSpace(subject, reason, hint=hint)
    if error.errno in _REFUSED:
        return PermissionDenied(subject, reason, hint=hint)
    return BackendUnavailable(subject, reason, hint=hint)


def another_place(variable: str) -> str:
    """What to do about a place that this variable, or else HOME, names and that is of no use."""
    if os.environ.get(variable, "").startswith("/"):
        return f"set ${variable}, which names it, to a directory of your own, or unset it"
    also = "" if variable == RUNTIME_VARIABLE else " or $HOME"
    return f"set ${variable}{also} to a directory of your own"


class translate_os_errors:  # noqa: N801 - reads as a verb, like contextlib.suppress
    """A context that turns an OSError into the artfs error that says the same of `subject`.

    A class, for a generator would cost several times as much, a few times for every file.
    `missing`, `is_content` and `variable` are those of `translated`.
    Raises: OutOfSpace, PermissionDenied, InvalidName for a name that is too long, `missing`, and
    BackendUnavailable for all others; Unreadable with `is_content`.
    """

    __slots__ = ("_is_content", "_missing", "_subject", "_variable")

    def __init__(
        self,
        subject: object,
        *,
        missing: type[NotFound] = PathNotFound,
        is_content: bool = False,
        variable: str | None = None,
    ) -> None:
        self._subject = subject
        self._variable = variable
        self._missing = missing
        self._is_content = is_content

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            raise translated(
                error,
                str(self._subject),
                missing=self._missing,
                is_content=self._is_content,
                variable=self._variable,
            ) from error


def reach_step(name: str, subject: object) -> None:
    """Be at a failpoint where no OSError is expected: as failpoints.reach, in artfs's errors.

    Raises: as translate_os_errors, where a test asks for it.
    """
    if failpoints.active():
        with translate_os_errors(subject):
            failpoints.reach(name)


class reading_content(translate_os_errors):  # noqa: N801 - as above
    """The same for reading what was stored under `subject`, an object's key.

    Raises: BlobNotFound, Unreadable, PermissionDenied, BackendUnavailable.
    """

    __slots__ = ()

    def __init__(self, subject: object) -> None:
        super().__init__(subject, missing=BlobNotFound, is_content=True)
