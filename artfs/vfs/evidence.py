"""Which version a file was opened in, when several hold it.

The kernel names an open file by its inode, and equal files of several versions are one inode. What
it asked before tells them apart: it asks for names that it does not know yet, and for every
directory that is opened; a directory belongs to one version.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

_MAX_VERSIONS = 256


def now_s() -> float:
    """The clock by which the kernel tells when threads started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Told(msgspec.Struct, frozen=True):
    """In which versions the kernel was told an inode, by ids."""

    versions: frozenset[str]
    first: str
    """The one in which it was told first."""


class Evidence:
    """The versions that a thread, or all threads of a run, looked at."""

    __slots__ = ("_inside", "_named")

    def __init__(self) -> None:
        self._inside: dict[str, float] = {}
        self._named: tuple[str, float] | None = None

    def inside(self, version_id: str) -> None:
        """A directory of the version was opened, or a name in it was looked up."""
        self._inside[version_id] = now_s()
        if len(self._inside) > _MAX_VERSIONS:
            del self._inside[min(self._inside, key=self._inside.__getitem__)]

    def named(self, version_id: str) -> None:
        """The version's number or an alias of it was looked up."""
        self._named = (version_id, now_s())

    def add(self, other: Evidence) -> None:
        """Take over what `other` knows."""
        self._inside |= other._inside
        known = [named for named in (self._named, other._named) if named is not None]
        self._named = max(known, key=lambda named: named[1], default=None)

    def forget_before(self, moment_s: float) -> None:
        """Drop what was seen before: it was seen of somebody else."""
        self._inside = {each: at for each, at in self._inside.items() if at >= moment_s}
        if self._named is not None and self._named[1] < moment_s:
            self._named = None

    def choose(self, told: Told) -> frozenset[str]:
        """Those of the versions for which something speaks: all that were looked into, else the
        one that was named last, else none."""
        found = told.versions & self._inside.keys()
        if not found and self._named is not None:
            found = told.versions & {self._named[0]}
        return found


def used_versions(told: Told, evidence: Iterable[Evidence]) -> frozenset[str]:
    """The versions that the opening of a file uses; the first evidence that says something counts.

    A file of one version needs none. Where nothing speaks for any, it is the version in which the
    kernel was told the file first.
    """
    if len(told.versions) == 1:
        return told.versions
    for each in evidence:
        if found := each.choose(told):
            return found
    return frozenset({told.first})
