from __future__ import annotations

import errno
import logging
from typing import Any

import pyfuse3
import pytest
import trio

from artfs.errors import ArtfsError, IntegrityError, PathNotFound
from artfs.fuse.guard import HANDLER_NAMES, GuardedOperations
from artfs.fuse.reading import MUTATIONS, ReadOperations
from artfs.fuse.writing import WriteOperations
from artfs.mounts.messages import Counters


class Failing(GuardedOperations):
    def __init__(self, error: BaseException) -> None:
        super().__init__(Counters())
        self.error = error

    async def getattr(self, *_request: Any) -> Any:
        raise self.error

    async def forget(self, *_request: Any) -> None:
        raise self.error


def answer(error: BaseException, request: str = "getattr") -> tuple[int, Failing]:
    operations = Failing(error)

    async def ask() -> int:
        try:
            await getattr(operations, request)()
        except pyfuse3.FUSEError as raised:
            return raised.errno
        return 0

    return trio.run(ask), operations


def test_the_names_of_all_handlers_are_known() -> None:
    assert {"lookup", "read", "readdir", "forget", "setattr", "poll"} <= HANDLER_NAMES
    assert len(HANDLER_NAMES) >= 30


@pytest.mark.parametrize("kind", [ReadOperations, WriteOperations])
@pytest.mark.parametrize("name", sorted(HANDLER_NAMES))
def test_no_handler_was_missed(kind: type[GuardedOperations], name: str) -> None:
    assert getattr(kind, name).guarded


class Refusing(GuardedOperations, refused=dict.fromkeys(MUTATIONS, errno.EROFS)):
    """Of the requests that a read-only mount refuses, all."""


def test_r7_every_request_that_changes_something_is_among_those_that_are_refused() -> None:
    changes = {"create", "link", "mkdir", "mknod", "removexattr", "rename", "rmdir", "setattr"}
    assert set(MUTATIONS) == changes | {"setxattr", "symlink", "unlink", "write"}


@pytest.mark.parametrize("kind", [Refusing, ReadOperations])
@pytest.mark.parametrize("name", MUTATIONS)
def test_r7_every_mutation_of_a_read_only_mount_is_refused_and_nothing_else_is_asked(
    kind: type[GuardedOperations], name: str
) -> None:
    operations = Refusing(Counters())
    with pytest.raises(pyfuse3.FUSEError) as refused:
        trio.run(getattr(kind, name), operations)
    assert refused.value.errno == errno.EROFS
    assert operations.counters.errors == 0


def test_planned_errors_become_their_errno() -> None:
    number, operations = answer(IntegrityError("blob", "bad"))
    assert number == errno.EIO
    assert operations.counters.errors == 1


def test_a_name_that_does_not_exist_is_no_error_to_count() -> None:
    number, operations = answer(PathNotFound("x"))
    assert number == errno.ENOENT
    assert operations.counters.errors == 0


def test_an_error_nobody_planned_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        number, operations = answer(ZeroDivisionError("oops"))
    assert number == errno.EIO
    assert operations.counters.errors == 1
    assert "ZeroDivisionError: oops" in caplog.text


def test_fuse_errors_pass_as_they_are() -> None:
    assert answer(pyfuse3.FUSEError(errno.EXDEV))[0] == errno.EXDEV


@pytest.mark.parametrize("error", [ValueError("x"), pyfuse3.FUSEError(errno.EIO), ArtfsError("x")])
def test_nothing_leaves_the_request_that_has_no_answer(error: Exception) -> None:
    assert answer(error, "forget")[0] == 0
