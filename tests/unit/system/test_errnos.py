from __future__ import annotations

import errno

import pytest

from artfs import errors
from artfs.system.errnos import errno_of


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (errors.NotFound, errno.ENOENT),
        (errors.PathNotFound, errno.ENOENT),
        (errors.VersionNotFound, errno.ENOENT),
        (errors.BlobNotFound, errno.EIO),
        (errors.Conflict, errno.EBUSY),
        (errors.StagingBusy, errno.EBUSY),
        (errors.IntegrityError, errno.EIO),
        (errors.ReferenceChanged, errno.ESTALE),
        (errors.DeadlineExceeded, errno.ETIMEDOUT),
        (errors.BackendUnavailable, errno.EIO),
        (errors.PermissionDenied, errno.EACCES),
        (errors.ReadOnly, errno.EROFS),
        (errors.OutOfSpace, errno.ENOSPC),
        (errors.InvalidName, errno.EINVAL),
        (errors.InvalidManifest, errno.EIO),
        (errors.Unsupported, errno.EOPNOTSUPP),
        (errors.ArtfsError, errno.EIO),
    ],
)
def test_every_error_has_its_errno(kind: type[errors.ArtfsError], number: int) -> None:
    assert errno_of(kind("subject", "reason")) == number


@pytest.mark.parametrize("error", [ValueError("x"), KeyError(3), OSError(errno.ENOENT, "gone")])
def test_what_nobody_planned_is_an_io_error(error: Exception) -> None:
    assert errno_of(error) == errno.EIO
