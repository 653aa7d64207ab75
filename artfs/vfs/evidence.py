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
    """The versions that a thread, all threads of a run, or everybody looked at, and when."""

    __slots__ = ("_inside", "_named")

    def __init__(self) -> None:
        self._inside: dict[str, float] = {}
        self._named: dict[str, float] = {}

    def inside(self, version_id: str) -> None:
        """A directory of the version was opened, or a name in it was looked up."""
        _note(self._inside, version_id)

    def named(self, version_id: str) -> None:
        """The version's number or an alias of it was looked up."""
        _note(self._named, version_id)

    def add(self, other: Evidence) -> None:
        """Take over what `other` knows."""
        self._inside = _merged(self._inside, other._inside)
        self._named = _merged(self._named, other._named)

    def forget_before(self, moment_s: float) -> None:
        """Drop what was seen before: it was seen of somebody else."""
        self._inside = {each: at for each, at in self._inside.items() if at >= moment_s}
        self._named = {each: at for each, at in self._named.items() if at >= moment_s}

    def choose(self, told: Told) -> frozenset[str]:
        """Those of the versions for which something speaks: all that were looked into, else the
        one that was named last, else none."""
        return told.versions & self._inside.keys() or _latest(told, self._named)

    def latest(self, told: Told) -> frozenset[str]:
        """The one of the versions that was looked at last, if one was."""
        return _latest(told, _merged(self._inside, self._named))


def used_versions(told: Told, evidence: Iterable[Evidence], everybody: Evidence) -> frozenset[str]:
    """The versions that the opening of a file uses; the first evidence that says something counts.

    A file of one version needs none. Where none of it speaks for any, `everybody` looked at the
    version: the kernel did not ask again because somebody else had just asked.
    """
    if len(told.versions) == 1:
        return told.versions
    for each in evidence:
        if found := each.choose(told):
            return found
    return everybody.latest(told) or frozenset({told.first})


def _note(seen: dict[str, float], version_id: str) -> None:
    seen[version_id] = now_s()
    if len(seen) > _MAX_VERSIONS:
        del seen[min(seen, key=seen.__getitem__)]


def _merged(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {each: max(one.get(each, 0.0), other.get(each, 0.0)) for each in one | other}


def _latest(told: Told, seen: dict[str, float]) -> frozenset[str]:
    found = told.versions & seen.keys()
    return frozenset({max(found, key=seen.__getitem__)}) if found else frozenset()
