from __future__ import annotations

import errno
import os

import pytest

from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    BlobNotFound,
    OutOfSpace,
    PathNotFound,
    PermissionDenied,
)
from artfs.system.oserrors import translate_os_errors


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, PathNotFound),
        (errno.ENOSPC, OutOfSpace),
        (errno.EDQUOT, OutOfSpace),
        (errno.EACCES, PermissionDenied),
        (errno.EPERM, PermissionDenied),
        (errno.EROFS, PermissionDenied),
        (errno.EFBIG, OutOfSpace),
        (errno.EIO, BackendUnavailable),
        (errno.ESTALE, BackendUnavailable),
        (errno.EMFILE, BackendUnavailable),
    ],
)
def test_each_errno_has_its_error(number: int, expected: type[ArtfsError]) -> None:
    with pytest.raises(expected) as caught, translate_os_errors("a thing"):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is expected
    assert caught.value.subject == "a thing"
    assert isinstance(caught.value.__cause__, OSError)
    assert "\n" not in str(caught.value)


def test_too_many_open_files_are_told_with_the_cure() -> None:
    with pytest.raises(BackendUnavailable, match="ulimit -n"), translate_os_errors("a thing"):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_the_caller_says_what_a_missing_thing_is() -> None:
    with (
        pytest.raises(BlobNotFound, match="does not exist"),
        translate_os_errors("key", missing=BlobNotFound),
    ):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")


def test_an_error_without_errno_keeps_its_words() -> None:
    with pytest.raises(BackendUnavailable, match="key: the wire broke"), translate_os_errors("key"):
        raise OSError("the wire broke")


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(OutOfSpace, match="inner"), translate_os_errors("outer"):
        raise OutOfSpace("inner")
    with pytest.raises(ZeroDivisionError), translate_os_errors("outer"):
        raise ZeroDivisionError
