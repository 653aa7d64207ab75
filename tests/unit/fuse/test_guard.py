from __future__ import annotations

import errno
import logging
from typing import Any

import pyfuse3
import pytest
import trio

from artfs.errors import ArtfsError, IntegrityError, PathNotFound
from artfs.fuse.guard import HANDLER_NAMES, GuardedOperations
from artfs.fuse.operations import ReadOnlyOperations
from artfs.mounts.counters import Counters


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


@pytest.mark.parametrize("name", sorted(HANDLER_NAMES))
def test_no_handler_was_missed(name: str) -> None:
    assert getattr(ReadOnlyOperations, name).guarded


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
