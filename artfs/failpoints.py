"""Failpoints: named steps at which a process can be made to die, fail or stall, for tests.

    ARTFS_FAILPOINTS='put.pack-stored=kill;catalog.ended=2*off->error(EIO);gc.*=25%sleep(0.1)'

The grammar is that of FreeBSD's fail(9) and of the libraries that took it over:

    POINTS = POINT { ";" POINT }      POINT = NAME "=" TERM { "->" TERM } | "seed=" NUMBER
    TERM   = [ PERCENT "%" ] [ COUNT "*" ] ACTION [ "(" ARGUMENT ")" ]

Of a point's terms the first one counts that is not used up and whose chance comes. A name that ends
in `*` stands for all that begin so, which share its counts. Actions: `off`, `print` (the name, on
standard error), `kill` (SIGKILL), `error` (an OSError; its argument names the errno, EIO else),
`drop` (a connection that breaks: ECONNRESET, or what the place itself knows to do), `sleep`
(seconds). docs/reliability.md lists the names.

The variable is read once, when artfs is imported; without it a failpoint is one look at a global.
"""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count

VARIABLE = "ARTFS_FAILPOINTS"

_TERM = re.compile(
    r"(?:(?P<percent>\d+(?:\.\d+)?)%)?(?:(?P<count>\d+)\*)?"
    r"(?P<action>off|print|kill|error|drop|sleep)(?:\((?P<argument>[^()]*)\))?"
)
_NAME = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+|[a-z0-9.-]*\*")
_EXIT_CODE = 11
"""As artfs/errors.py has it for a configuration that cannot be used."""


class _Term:
    __slots__ = ("_limit", "_number", "_used", "action", "percent")

    def __init__(self, text: str) -> None:
        match = _TERM.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no action")
        self.percent = float(match["percent"] or 100)
        self._limit = None if match["count"] is None else int(match["count"])
        self._used: Iterator[int] = count()
        self.action, self._number = match["action"], 0.0
        argument = match["argument"]
        if self.action == "error":
            found = getattr(errno, argument or "EIO", None)
            if not isinstance(found, int):
                raise ValueError(f"{argument!r} is no error number")
            self._number = found
        elif self.action == "sleep":
            self._number = float(argument or 0)
        elif argument is not None:
            raise ValueError(f"{self.action} takes no argument")

    @property
    def number(self) -> float:
        """The errno, or how many seconds."""
        return self._number

    def take(self) -> bool:
        """Whether it is not used up; one use is, then."""
        # Of a counter, as two threads may be here at once.
        return self._limit is None or next(self._used) < self._limit


class _Points:
    """What is to happen where."""

    def __init__(self, text: str) -> None:
        """Raises: ValueError."""
        self._random = random.Random(0)  # noqa: S311 - no secret
        self._points: list[tuple[str, list[_Term]]] = []
        for item in filter(None, (each.strip() for each in text.split(";"))):
            name, equals, terms = (part.strip() for part in item.partition("="))
            if name == "seed":
                self._random.seed(int(terms))
            elif not equals or _NAME.fullmatch(name) is None:
                raise ValueError(f"{item!r} is not NAME=ACTION")
            else:
                self._points.append((name, [_Term(term.strip()) for term in terms.split("->")]))

    def chosen(self, name: str) -> _Term | None:
        """What is to be done at a point that was reached."""
        for pattern, terms in self._points:
            if pattern == name or (pattern[-1] == "*" and name.startswith(pattern[:-1])):
                for term in terms:
                    by_chance = term.percent >= 100 or self._random.random() * 100 < term.percent
                    if by_chance and term.take():
                        return term
                return None
        return None


def reach(name: str, *, drop: Callable[[], object] | None = None) -> None:
    """Be at a step of something; what is to happen there does. `drop` breaks a connection here.

    Raises: OSError, where one was asked for.
    """
    if _points is not None:
        _do(_points, name, drop)


def active() -> bool:
    """Whether any failpoint has something to do."""
    return _points is not None


def use(text: str) -> None:
    """Take what is to happen from here on in this process from `text`. Raises: ValueError."""
    global _points  # noqa: PLW0603 - what the environment says, for a process that was forked
    _points = _parsed(text)


def use_environment() -> None:
    """The same with what the environment says by now; exits as at the import."""
    global _points  # noqa: PLW0603 - as above
    _points = _from_environment()


def _parsed(text: str) -> _Points | None:
    return _Points(text) if text.strip() else None


def _do(points: _Points, name: str, drop: Callable[[], object] | None) -> None:
    term = points.chosen(name)
    if term is None or term.action == "off":
        return
    if term.action == "print":
        os.write(2, f"artfs: failpoint {name}\n".encode())
    elif term.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif term.action == "sleep":
        time.sleep(term.number)
    elif term.action == "drop" and drop is not None:
        drop()
    else:
        number = errno.ECONNRESET if term.action == "drop" else int(term.number)
        raise OSError(number, f"{os.strerror(number)}, at failpoint {name}")


def _from_environment() -> _Points | None:
    try:
        return _parsed(os.environ.get(VARIABLE, ""))
    except ValueError as error:
        sys.stderr.write(f"artfs: {VARIABLE}: {error}\n")
        raise SystemExit(_EXIT_CODE) from None


_points = _from_environment()
