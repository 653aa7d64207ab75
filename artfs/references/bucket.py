"""What references to objects in buckets have in common: URIs, names, limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import TypeVar

from artfs.credentials import without_credentials
from artfs.errors import InvalidArgument
from artfs.references.base import DEFAULT_MAX_OBJECTS
from artfs.system.threads import in_parallel

T = TypeVar("T")

_LISTERS = 8
_MAX_LISTING_DEPTH = 3

Page = tuple[list[T], list[str]]
"""Objects, and with a delimiter the directories beside them."""
Pages = Callable[[str, str], Iterator[Page[T]]]
"""All pages of a prefix; with a delimiter only what lies in it directly."""


def listed(pages: Pages[T], prefix: str) -> Iterator[T]:
    """All objects below a prefix; what lies in different directories is listed in parallel.

    Within one directory only the page before says where a page begins.
    """
    prefixes = [prefix]
    for _ in range(_MAX_LISTING_DEPTH):
        below: list[str] = []
        for parent in prefixes:
            for objects, directories in pages(parent, "/"):
                yield from objects
                below += directories
        prefixes = below
        if not prefixes or len(prefixes) >= _LISTERS:
            break
    found = in_parallel(
        lambda each: [item for objects, _ in pages(each, "") for item in objects],
        prefixes,
        workers=_LISTERS,
    )
    for objects in found:
        yield from objects


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of `scheme://bucket/key`, both as they are written.

    Raises: InvalidArgument where there is no bucket.
    """
    bucket, _, key = uri.partition("://")[2].partition("/")
    if not bucket:
        raise InvalidArgument(uri, "names no bucket")
    if without_credentials(uri) != uri:
        raise InvalidArgument(
            uri,
            "holds credentials, which are not used from there",
            hint="configure them for the tools of the bucket",
        )
    return bucket, key


def single_path(key: str, name: str | None) -> str:
    """Where one object goes: under its own last name unless told otherwise."""
    return name or PurePosixPath(key).name


def listed_path(key: str, prefix: str, name: str | None) -> str:
    """Where an object of a listing goes: below `name`, by what follows the prefix in its key."""
    relative = key[len(prefix) :].lstrip("/") or PurePosixPath(key).name
    return str(PurePosixPath(name or "", relative))


def limited(found: Iterable[T], uri: str, max_objects: int | None) -> Iterator[T]:
    """What was found, as long as it is not too much or nothing at all. Raises: InvalidArgument."""
    limit = max_objects or DEFAULT_MAX_OBJECTS
    count = 0
    for count, item in enumerate(found, 1):
        if count > limit:
            raise InvalidArgument(
                uri, f"holds more than {limit} objects", hint="pass a larger max_objects"
            )
        yield item
    if not count:
        raise InvalidArgument(uri, "there is no object of this name or below it")
