"""What a fork may not cut in two: the only place that asks to be told when this process forks.

A forked child has its parent's memory and open files, but none of its other threads: a lock that
one of them held stays locked for ever, what it was changing stays half changed, and two processes
speak through one connection, or lose each other's locks on a database. So before a fork

- no thread begins anything that must not be cut (`undivided`), and those in the midst of it end;
- all locks that `lock` made are taken: what they guard is whole in the child, too;
- what asked for it by `before_fork` closes what it has open; `in_child` forgets the parent's.

Afterwards both sides go on, and open again what they need. A wait that takes too long ends, and the
fork happens: what it cut is then refused in the child, and unharmed in the parent. Programs
that are started (`subprocess`, `posix_spawn`) are not forks in this sense and wait for nothing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

# Both have hooks of their own, which hold locks that our threads may need to get done: hooks
# that were registered first come last before a fork.

logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0
"""How long a fork waits for other threads; what is cut after that is refused in the child."""

_FIRST_SLICE_S = 0.02
_LONGEST_SLICE_S = 5.0

ForkLock: TypeAlias = "threading.RLock"
"""What `lock` makes."""

_Hook: TypeAlias = "weakref.WeakMethod[Callable[[], None]]"


class _ForkGate:
    """Threads in the midst of something that must not be cut, and whether more may begin."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside: dict[int, int] = {}
        self._closed = False

    def enter(self) -> None:
        me = threading.get_ident()
        with self._changed:
            # Who is inside already must get on, or the fork would wait for ever.
            while self._closed and me not in self._inside:
                self._changed.wait()
            self._inside[me] = self._inside.get(me, 0) + 1

    def leave(self) -> None:
        me = threading.get_ident()
        with self._changed:
            depth = self._inside.pop(me) - 1
            if depth:
                self._inside[me] = depth
            else:
                self._changed.notify_all()

    def close(self, timeout_s: float) -> bool:
        """Let nobody begin any more; whether all others are out in time."""
        with self._changed:
            self._closed = True
            return self._changed.wait_for(self._is_empty, timeout_s)

    def open(self) -> None:
        with self._changed:
            self._closed = False
            self._changed.notify_all()

    def _is_empty(self) -> bool:
        return not self._inside.keys() - {threading.get_ident()}


class _Registry:
    """All that this module knows of the process; one for each."""

    def __init__(self) -> None:
        self.generation = 0
        self.gate = _ForkGate()
        # Changed by single steps of the interpreter, and copied by one: they need no lock.
        self.locks: set[weakref.ref[ForkLock]] = set()
        self.turns: set[weakref.ref[threading.Lock]] = set()
        self.before: set[_Hook] = set()
        self.in_child: set[_Hook] = set()
        self.descriptors: dict[int, int] = {}
        self.forking = threading.RLock()
        self.held: dict[int, ForkLock] = {}


_registry = _Registry()


def generation() -> int:
    """How many forks lie between the first process and this one.

    What was made in another generation is a copy of what its maker, a parent, still has.
    """
    return _registry.generation


def lock() -> ForkLock:
    """A lock for what is in memory; it is free in every child, and what it guards is whole.

    A thread that holds it may take it again. Forks wait for who holds it.
    """
    made = threading.RLock()
    _registry.locks.add(weakref.ref(made, _registry.locks.discard))
    return made


def turn() -> threading.Lock:
    """A lock for who may take long, such as for a request. Forks do not wait; in a child it is
    free, whoever held it in the parent.
    """
    made = threading.Lock()
    _registry.turns.add(weakref.ref(made, _registry.turns.discard))
    return made


def before_fork(method: Callable[[], None]) -> None:
    """Call a method of an object, as long as that lives, before each fork, to close what it has.

    Nobody else uses it then, but for threads that were too slow. It must not wait for others.
    """
    _registry.before.add(weakref.WeakMethod(method, _registry.before.discard))


def in_child(method: Callable[[], None]) -> None:
    """Call a method of an object, as long as that lives, in each child, to forget its parent's."""
    _registry.in_child.add(weakref.WeakMethod(method, _registry.in_child.discard))


@contextmanager
def undivided() -> Iterator[None]:
    """No other thread forks while this runs, as long as it takes less than LONGEST_WAIT_S.

    Blocks: while another thread forks.
    """
    gate = _registry.gate
    gate.enter()
    try:
        yield
    finally:
        # In a child that was forked in here there is another gate.
        if gate is _registry.gate:
            gate.leave()


def finalize(owner: object, function: Callable[..., object], /, *arguments: Any) -> None:
    """Call `function` when `owner` is gone or this process ends, but in no forked child."""
    weakref.finalize(owner, _in_generation, generation(), function, arguments)


def _in_generation(made_in: int, function: Callable[..., object], arguments: Any) -> None:
    if made_in == generation():
        function(*arguments)


def open_private(
    path: str | os.PathLike[str], flags: int, mode: int = 0o600, *, dir_fd: int | None = None
) -> int:
    """Open a descriptor that children have not: a lock on it ends with this process.

    For `close_private`. A child that this very thread forks keeps it. Raises: OSError.
    """
    with undivided():
        fd = os.open(path, flags | os.O_CLOEXEC, mode, dir_fd=dir_fd)
        _registry.descriptors[fd] = threading.get_ident()
    return fd


def close_private(fd: int) -> None:
    """Close what `open_private` opened. Raises: OSError."""
    with undivided():
        # Else this is a child, and another thread opened it in the parent: it is closed here.
        if _registry.descriptors.pop(fd, None) is not None:
            os.close(fd)


# --- the fork itself -----------------------------------------------------------------------


def _before() -> None:
    # Two threads that fork at once do it one after the other.
    _registry.forking.acquire()
    deadline_s = time.monotonic() + LONGEST_WAIT_S
    slice_s = _FIRST_SLICE_S
    while True:
        busy = None
        if _registry.gate.close(slice_s):
            busy = _take_all_locks()
            if busy is None:
                break
        if time.monotonic() > deadline_s:
            logger.warning("a fork did not wait for other threads after %.0f s", LONGEST_WAIT_S)
            break
        # Somebody who is to end may be waiting for somebody who waits for us: all go on for a
        # moment.
        _release_locks()
        _registry.gate.open()
        if busy is not None and busy.acquire(timeout=slice_s):
            busy.release()
        slice_s = min(2 * slice_s, _LONGEST_SLICE_S)
    for hook in _alive(_registry.before):
        _quietly(hook)


def _after_in_parent() -> None:
    _release_locks()
    _registry.gate.open()
    _registry.forking.release()


def _after_in_child() -> None:
    _registry.generation += 1
    _registry.gate = _ForkGate()
    _registry.forking = threading.RLock()
    held = set(_registry.held)
    _release_locks()
    for each in _alive(_registry.locks):
        if id(each) not in held:
            each._at_fork_reinit()  # noqa: SLF001 - as the standard library does
    for turn_ in _alive(_registry.turns):
        turn_._at_fork_reinit()  # noqa: SLF001 - see above
    descriptors, _registry.descriptors = _registry.descriptors, {}
    me = threading.get_ident()
    for fd, owner in descriptors.items():
        if owner == me:
            _registry.descriptors[fd] = owner
        else:
            os.close(fd)
    for hook in _alive(_registry.in_child):
        _quietly(hook)


def _take_all_locks() -> ForkLock | None:
    """Take every lock; else one that another thread holds, and some may be taken."""
    while True:
        missing = [each for each in _alive(_registry.locks) if id(each) not in _registry.held]
        if not missing:
            return None
        each: ForkLock
        for each in missing:
            if not each.acquire(blocking=False):
                return each
            _registry.held[id(each)] = each


def _release_locks() -> None:
    held, _registry.held = _registry.held, {}
    for each in held.values():
        each.release()


def _alive(references: set[Any]) -> list[Any]:
    return [each for reference in list(references) if (each := reference()) is not None]


def _quietly(hook: Callable[[], None]) -> None:
    # An error here would be printed by the interpreter, and stop nothing.
    try:
        hook()
    except Exception:
        logger.warning("a fork was not prepared for", exc_info=True)


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
