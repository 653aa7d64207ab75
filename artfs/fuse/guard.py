"""The guard around every handler: nothing but FUSEError leaves one.

pyfuse3 ends the whole mount on any other exception, so the guard is put on by the class itself,
around whatever handler of pyfuse3's a subclass defines or inherits.
"""

from __future__ import annotations

import errno
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn
from weakref import WeakSet

import pyfuse3

from artfs.errors import ArtfsError
from artfs.mounts.messages import Counters
from artfs.system.errnos import errno_of

logger = logging.getLogger(__name__)

Handler = Callable[..., Awaitable[Any]]

HANDLER_NAMES = frozenset(
    name for name, member in vars(pyfuse3.Operations).items() if inspect.iscoroutinefunction(member)
)
"""All requests that pyfuse3 passes on."""

_QUIET = frozenset(
    {
        errno.ENOENT,
        errno.ENAMETOOLONG,
        errno.ENODATA,
        errno.ENOSYS,
        errno.EOPNOTSUPP,
        errno.EROFS,
    }
)
"""Answers that are no failure of the mount."""


class GuardedOperations(pyfuse3.Operations):
    """Operations whose handlers, in every subclass, raise FUSEError only."""

    # pyfuse3 would pass on `.` and `..`, which only exporting over NFS needs.
    supports_dot_lookup = False

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self.counters = counters
        self.told: WeakSet[Exception] = WeakSet()

    def planned_errno(self, error: Exception) -> int | None:
        """The errno of an error that is part of the plan; None for all others, which are logged."""
        return errno_of(error) if isinstance(error, ArtfsError) else None

    def __init_subclass__(cls, *, refused: Mapping[str, int] | None = None, **options: Any) -> None:
        """`refused`: the errno of each request that is answered by nothing else."""
        super().__init_subclass__(**options)
        for name, number in (refused or {}).items():
            setattr(cls, name, _refusal(name, number))
        for name in HANDLER_NAMES:
            handler = getattr(cls, name)
            if not hasattr(handler, "guarded"):
                setattr(cls, name, _unanswered(handler) if name == "forget" else _guarded(handler))


def _refusal(name: str, number: int) -> Handler:
    async def refuse(_self: GuardedOperations, *_request: Any) -> NoReturn:
        raise pyfuse3.FUSEError(number)

    refuse.__name__ = name
    return refuse


def _guarded(handler: Handler) -> Handler:
    @functools.wraps(handler)
    async def guard(self: GuardedOperations, *arguments: Any) -> Any:
        try:
            return await handler(self, *arguments)
        except pyfuse3.FUSEError as error:
            if error.errno not in _QUIET:
                self.counters.errors += 1
            raise
        except Exception as error:  # noqa: BLE001 - the mount would end with it
            raise pyfuse3.FUSEError(_report(self, handler, error)) from None

    guard.guarded = True  # type: ignore[attr-defined]
    return guard


def _unanswered(handler: Handler) -> Handler:
    """As `_guarded`, for the request that has no answer, and so no error either."""

    @functools.wraps(handler)
    async def guard(self: GuardedOperations, *arguments: Any) -> None:
        try:
            await handler(self, *arguments)
        except Exception as error:  # noqa: BLE001 - as above
            _report(self, handler, error)

    guard.guarded = True  # type: ignore[attr-defined]
    return guard


def _report(operations: GuardedOperations, handler: Handler, error: Exception) -> int:
    number = operations.planned_errno(error)
    if number not in _QUIET:
        operations.counters.errors += 1
    if number is None:
        logger.error("%s failed", handler.__name__, exc_info=error)
        return errno.EIO
    # Several requests may fail by the same: a read and the kernel's repetitions of it.
    is_new = isinstance(error, ArtfsError) and error not in operations.told
    if is_new and number not in _QUIET:
        operations.told.add(error)
        logger.warning("%s: %s", handler.__name__, error)
    return number
