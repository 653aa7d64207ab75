"""What references to objects in buckets have in common: URIs, listings, names, limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Generic, TypeVar

import msgspec

from artfs.credentials import without_credentials
from artfs.errors import BackendUnavailable, InvalidArgument, InvalidName
from artfs.model import split_entry_path
from artfs.references.base import (
    DEFAULT_MAX_OBJECTS,
    MarkedDirectory,
    UnusableKey,
    limit_error,
)
from artfs.system.threads import in_parallel

T = TypeVar("T")

_LISTERS = 8
_MAX_LISTING_DEPTH = 3

Page = tuple[list[T], list[str]]
"""Objects, and with a delimiter the directories beside them."""
Pages = Callable[[str, str], Iterator[Page[T]]]
"""All pages of a prefix; with a delimiter only what lies in it directly."""


class Listed(msgspec.Struct, Generic[T], frozen=True):
    """An object of a listing."""

    key: str
    size_bytes: int
    found: T

    @property
    def is_marker(self) -> bool:
        """Whether it only says that there is a directory of this name."""
        return self.key.endswith("/") and not self.size_bytes


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


def prefix_of(key: str) -> str:
    """What the keys below a key begin with."""
    return f"{key.removesuffix('/')}/" if key else ""


def limited(
    found: Iterable[Listed[T]],
    uri: str,
    max_objects: int | None,
    *,
    counts: Callable[[Listed[T]], bool],
) -> Iterator[Listed[T]]:
    """What was found, as long as it is not too much. Raises: InvalidArgument."""
    limit, count = max_objects or DEFAULT_MAX_OBJECTS, 0
    for item in found:
        count += counts(item)
        if count > limit:
            raise limit_error(uri, limit)
        yield item


def listing_words(key: str, max_objects: int | None) -> str:
    """What is said before the objects below a key are listed: W&B's words."""
    limit = max_objects or DEFAULT_MAX_OBJECTS
    return f'Generating checksum for up to {limit} objects with prefix "{key}"... '


def placed(
    found: Iterable[Listed[T]], uri: str, prefix: str, name: str | None
) -> Iterator[tuple[str, Listed[T]] | MarkedDirectory | UnusableKey]:
    """Where the objects of a listing go: below `name`, by what follows the prefix in their keys.

    A bucket knows no directories, so its keys may be what no path can be. What marks a directory
    becomes one. Raises: InvalidArgument where nothing was found at all; InvalidName
    for `name`; BackendUnavailable where a server listed something else.
    """
    below = f"{name.rstrip('/')}/" if name else ""
    if name:
        split_entry_path(below[:-1])
    files: dict[str, Listed[T]] = {}
    marked: list[str] = []
    unusable: list[UnusableKey] = []
    for item in found:
        if not item.key.startswith(prefix):
            raise BackendUnavailable(uri, f"its listing has what is not below it: {item.key!r}")
        relative = item.key[len(prefix) :]
        path = below + (relative.removesuffix("/") if item.is_marker else relative)
        if item.is_marker and not relative:
            continue
        if not _is_path(path):
            unusable.append(UnusableKey(item.key, _why_no_path(item, relative)))
        elif item.is_marker:
            marked.append(path)
        else:
            files[path] = item
    directories = {above for path in files for above in _above(path)}
    unusable += [
        UnusableKey(item.key, "other keys go on below it, like in a directory")
        for path, item in files.items()
        if path in directories and item.size_bytes
    ]
    if not files and not unusable:
        raise InvalidArgument(uri, "there is no object of this name or below it")
    yield from ((path, item) for path, item in files.items() if path not in directories)
    for path in marked:
        if not any(above in files and above not in directories for above in (path, *_above(path))):
            yield MarkedDirectory(path)
    yield from unusable


def _is_path(path: str) -> bool:
    try:
        split_entry_path(path)
    except InvalidName:
        return False
    return True


def _above(path: str) -> Iterator[str]:
    """The directories that a path lies in, from the inmost."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _why_no_path(item: Listed[T], relative: str) -> str:
    parts = relative.split("/")
    if not item.is_marker and (not relative or relative.endswith("/")):
        return "it ends with '/', and has content"
    if "" in parts:
        return "it has an empty part"
    if {".", ".."} & set(parts):
        return "it has '.' or '..' as a part"
    if "\0" in relative:
        return "it contains NUL"
    return "a part of it is too long for a file name, or not UTF-8"
