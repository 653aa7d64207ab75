"""Taking what a URI names into a version: references, directories, and what is left out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

import msgspec

from artfs.manifest.entries import ReferenceEntry
from artfs.references.base import Announced, MarkedDirectory, Remark, UnusableKey
from artfs.references.registry import References
from artfs.sdk.draft_entries import DraftEntries


class ReferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A URI that a version refers to; see References.describe."""

    uri: str
    name: str | None = None
    checksum: bool = True
    max_objects: int | None = None
    skip_invalid: bool = False


class Skipped(msgspec.Struct, frozen=True):
    """Something that a URI names and a version cannot hold."""

    uri: str
    key: str
    reason: str


def refer(
    references: References,
    contents: DraftEntries,
    request: ReferenceRequest,
    *,
    on_skipped: Callable[[Skipped], None],
    on_entry: Callable[[], None] | None = None,
    on_announced: Callable[[Announced], None] | None = None,
) -> list[tuple[str, ReferenceEntry]]:
    """Add what a URI names to the contents; the references that were added.

    Nothing is added before everything is known. Blocks: on network and disk.
    Raises: what References.describe and Contents.add raise.
    """
    directories: list[str] = []
    unusable: list[UnusableKey] = []

    def note(item: Remark) -> None:
        if isinstance(item, MarkedDirectory):
            directories.append(item.path)
        elif isinstance(item, UnusableKey):
            unusable.append(item)
        elif on_announced is not None:
            on_announced(item)

    found: list[tuple[str, ReferenceEntry]] = []
    for each in references.describe(
        request.uri,
        name=request.name,
        checksum=request.checksum,
        max_objects=request.max_objects,
        skip_invalid=request.skip_invalid,
        on_remark=note,
    ):
        found.append(each)
        if on_entry is not None:
            on_entry()
    for path, entry in found:
        contents.add(path, entry)
    for path in directories:
        contents.add_all(path, ())
    for item in unusable:
        on_skipped(Skipped(request.uri, item.key, item.reason))
    return found


def print_announced(words: Announced) -> None:
    """Print the words of a listing, each line but the one that they go on with begun by `artfs: `.

    Where nobody can read them, nothing happens.
    """
    if words.is_end:
        text = f"{words.text}\n"
    else:
        text = "\n".join(f"artfs: {line}" for line in words.text.split("\n"))
    if sys.stderr is None:
        return
    # Closed, or a pipe that nobody reads: no reason to add nothing.
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
