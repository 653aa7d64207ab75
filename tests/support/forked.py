"""Running a function in a forked child of the test."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def start(work: Callable[[], object]) -> int:
    """Begin `work` in a child, which ends with 0 unless that raises or returns False; its pid."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(work() is False)
        except BaseException:  # noqa: BLE001 - the child ends here
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(status)
    return child


def ends_well(child: int) -> bool:
    """Wait for a child; whether it ended with 0."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def works_in_child(work: Callable[[], object]) -> bool:
    """Whether `work` neither raises nor returns False in a child."""
    return ends_well(start(work))


@contextmanager
def living_child() -> Iterator[None]:
    """A child that does nothing, and has all that was not closed in it, until the block ends."""
    read_end, write_end = os.pipe()
    lives, told = os.pipe()

    def wait() -> None:
        os.write(told, b"1")
        os.close(write_end)
        os.read(read_end, 1)

    child = start(wait)
    os.read(lives, 1)
    try:
        yield
    finally:
        os.close(write_end)
        for end in (read_end, lives, told):
            os.close(end)
        assert ends_well(child)
