"""Rules of the small values that people attach to versions: aliases, tags, `use_as`, TTL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from enum import Enum

from artfs.errors import InvalidArgument, InvalidName
from artfs.model import check_alias
from artfs.repository.facade import LATEST

_TAG = re.compile(r"[-\w]+( +[-\w]+)*")


class ArtifactTTL(Enum):
    """The one TTL that is not a time."""

    INHERIT = "inherit"
    """As the store says of all versions: they live for ever."""


Ttl = timedelta | ArtifactTTL | None


def ttl_seconds(ttl: Ttl) -> int | None:
    """A TTL in whole seconds; None: for ever.

    Raises: InvalidArgument for a time that is not positive, TypeError for what is no TTL.
    """
    if ttl is None or ttl is ArtifactTTL.INHERIT:
        return None
    if not isinstance(ttl, timedelta):
        raise TypeError(f"ttl must be a timedelta, None or ArtifactTTL.INHERIT, not {ttl!r}")
    seconds = int(ttl.total_seconds())
    if seconds <= 0:
        raise InvalidArgument("ttl", f"{ttl} is not at least a second")
    return seconds


def check_tags(tags: Iterable[str]) -> list[str]:
    """Tags without repetitions, sorted.

    Raises: InvalidArgument for one that is not letters, digits, `_`, `-` and single words.
    """
    found = sorted({tags} if isinstance(tags, str) else set(tags))
    for tag in found:
        if _TAG.fullmatch(tag) is None:
            raise InvalidArgument(
                f"tag {tag!r}", "is not valid", hint="use letters, digits, '_', '-' and spaces"
            )
    return found


def check_use_as(use_as: str | None) -> str | None:
    """`use_as` if it may be one. Raises: InvalidArgument for one with '/' or ':'."""
    if use_as is not None and ("/" in use_as or ":" in use_as):
        raise InvalidArgument(f"use_as {use_as!r}", "cannot contain '/' or ':'")
    return use_as


def chosen_aliases(aliases: str | Iterable[str] | None) -> tuple[str, ...]:
    """The aliases that a user asks for, once each, without `latest`, which moves by itself.

    Raises: InvalidName.
    """
    wanted = [aliases] if isinstance(aliases, str) else list(aliases or ())
    for alias in wanted:
        if not isinstance(alias, str):
            raise InvalidName(repr(alias), "an alias is a string")
    return tuple(check_alias(alias) for alias in dict.fromkeys(wanted) if alias != LATEST)
