"""The one translation of operating system errors into the errors of artfs."""

from __future__ import annotations

import errno
from types import TracebackType

from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    NotFound,
    OutOfSpace,
    PathNotFound,
    PermissionDenied,
)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def translated(
    error: OSError, subject: str, *, missing: type[NotFound] = PathNotFound
) -> ArtfsError:
    """The artfs error that says the same as `error` about `subject`.

    `missing` is the class for what does not exist.
    """
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.ENOENT:
        return missing(subject, "does not exist")
    if error.errno in _FULL:
        return OutOfSpace(subject, reason, hint="free some space or raise the quota")
    if error.errno in _REFUSED:
        return PermissionDenied(subject, reason)
    return BackendUnavailable(subject, reason)


class translate_os_errors:  # noqa: N801 - reads as a verb, like contextlib.suppress
    """A context that turns an OSError into the artfs error that says the same of `subject`.

    A class, for a generator would cost several times as much, a few times for every file.
    Raises: OutOfSpace, PermissionDenied, `missing`, and BackendUnavailable for all others.
    """

    __slots__ = ("_missing", "_subject")

    def __init__(self, subject: object, *, missing: type[NotFound] = PathNotFound) -> None:
        self._subject = subject
        self._missing = missing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            raise translated(error, str(self._subject), missing=self._missing) from error
