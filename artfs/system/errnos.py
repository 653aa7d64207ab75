"""Which errno each error becomes, for the kernel and for programs that expect an OSError."""

from __future__ import annotations

import errno

from artfs.errors import (
    Archived,
    ArtfsError,
    BackendUnavailable,
    BlobNotFound,
    Conflict,
    DeadlineExceeded,
    IntegrityError,
    InvalidArgument,
    InvalidManifest,
    InvalidName,
    NotFound,
    OutOfSpace,
    PermissionDenied,
    ReadOnly,
    ReferenceChanged,
    Unsupported,
)

# The first class that an error is an instance of decides: subclasses stand before their bases.
_TABLE: tuple[tuple[type[ArtfsError], int], ...] = (
    # A lost blob is lost content, not a name that does not exist (promise R5).
    (BlobNotFound, errno.EIO),
    (NotFound, errno.ENOENT),
    (Conflict, errno.EBUSY),
    (IntegrityError, errno.EIO),
    (ReferenceChanged, errno.ESTALE),
    (DeadlineExceeded, errno.ETIMEDOUT),
    # "No data available": it is neither broken nor forbidden, and asking again does not help.
    (Archived, errno.ENODATA),
    (BackendUnavailable, errno.EIO),
    (PermissionDenied, errno.EACCES),
    (ReadOnly, errno.EROFS),
    (OutOfSpace, errno.ENOSPC),
    (InvalidName, errno.EINVAL),
    (InvalidArgument, errno.EINVAL),
    (InvalidManifest, errno.EIO),
    (Unsupported, errno.EOPNOTSUPP),
)


def errno_of(error: Exception) -> int:
    """The errno that a caller in the kernel gets for `error`; EIO for all that is not planned."""
    for kind, number in _TABLE:
        if isinstance(error, kind):
            return number
    return errno.EIO
