"""Frozen values and naming rules that every layer shares. No I/O."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import Any, NewType

import msgspec

from artfs.errors import InvalidName

Digest = NewType("Digest", bytes)
"""The SHA-256 of some content: 32 raw bytes, the key under which it is stored."""

BlockList = NewType("BlockList", bytes)
"""What an entry says of its block list (artfs/blobs/blocklists.py): the SHA-256 of the list, then
the BLAKE3 of its roots."""

BLOCK_LIST_KEY_BYTES = 64
"""The length of a BlockList."""

Buffer = bytes | bytearray | memoryview
"""Bytes that are only looked at, whatever holds them."""

BLOCK_SIZE_BYTES = 4 * 1024 * 1024
"""The unit of fetching, caching and verifying (docs/design.md)."""

PART_BYTES = 64 * 1024
"""The unit of fetching for reads here and there, where no block has to prove them."""

SMALL_BLOB_LIMIT_BYTES = 1024 * 1024
"""Blobs below this size are stored in packs."""

MAX_NAME_CHARS = 128
MAX_ENTRY_NAME_BYTES = 255
MAX_METADATA_KEYS = 100
MAX_RUN_ID_BYTES = 128

_NAME = re.compile(r"[a-zA-Z0-9_\-.]+")
_NOT_IN_RUN_IDS = frozenset("/\\#?%:")
_VERSION = re.compile(r"v(0|[1-9][0-9]*)")
_WANDB_DIGEST = re.compile(r"[0-9a-f]{32}")


_LAST_TIME_NS = 2**63 - 1


class ByteRange(msgspec.Struct, frozen=True):
    """`length` bytes from `start`; both in bytes, never negative."""

    start: int
    length: int

    @property
    def stop(self) -> int:
        """The offset behind the last byte."""
        return self.start + self.length


def block_list_name(blocks: BlockList) -> Digest:
    """The SHA-256 of a block list, under which it is stored."""
    return Digest(blocks[:32])


def blobs_of(sha256: Digest, blocks: BlockList | None) -> tuple[Digest, ...]:
    """The blobs that some content is made of: itself and, if there is one, its block list."""
    return (sha256,) if blocks is None else (sha256, block_list_name(blocks))


def block_count(size_bytes: int) -> int:
    """How many blocks content of this size has; empty content has none."""
    return -(-size_bytes // BLOCK_SIZE_BYTES)


def block_range(index: int, size_bytes: int) -> ByteRange:
    """The bytes of block `index` in content of `size_bytes`."""
    start = index * BLOCK_SIZE_BYTES
    return ByteRange(start, min(BLOCK_SIZE_BYTES, size_bytes - start))


def storable_time_ns(time_ns: int) -> int:
    """The nearest of the times that can be kept, the years 1678 to 2262: file systems do the same
    with what they cannot hold. Both in nanoseconds since 1970.
    """
    return max(-_LAST_TIME_NS, min(time_ns, _LAST_TIME_NS))


class VersionState(StrEnum):
    """A version's life: only COMMITTED ones can be named, read and mounted."""

    PENDING = "PENDING"
    COMMITTED = "COMMITTED"
    DELETED = "DELETED"


class RunState(StrEnum):
    """A run's life."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CRASHED = "crashed"
    """Nobody holds it any more, and nobody ended it: its processes were killed."""


def version_index(text: str) -> int | None:
    """7 for `v7`; None for anything that is not spelled like a version."""
    match = _VERSION.fullmatch(text)
    return int(match[1]) if match else None


def is_wandb_digest(text: str) -> bool:
    """Whether `text` is spelled like an artifact's W&B digest."""
    return _WANDB_DIGEST.fullmatch(text) is not None


def check_name(text: str, *, kind: str) -> str:
    """Return `text` if it may name an entity, project or artifact.

    Raises: InvalidName. The character set is W&B's; the length limit and the refusal of `.` and
    `..` are what a mount needs.
    """
    if _NAME.fullmatch(text) is None or text in {".", ".."}:
        raise InvalidName(
            repr(text),
            f"not a valid {kind} name",
            hint="use letters, digits, underscores, hyphens and dots",
        )
    if len(text) > MAX_NAME_CHARS:
        raise InvalidName(
            repr(text[:20] + "…"),
            f"{kind} name of {len(text)} characters",
            hint=f"use at most {MAX_NAME_CHARS}",
        )
    return text


def check_run_id(text: str) -> str:
    """Return `text` if a run may be called so: W&B's rule, and what a file's name can hold.

    Raises: InvalidName.
    """
    if (
        not text
        or not text.isprintable()
        or len(text.encode()) > MAX_RUN_ID_BYTES
        or _NOT_IN_RUN_IDS & set(text)
    ):
        raise InvalidName(
            repr(text[:40]),
            "not a valid run id",
            hint=f"use at most {MAX_RUN_ID_BYTES} bytes, and none of / \\ # ? % :",
        )
    return text


def check_type(text: str) -> str:
    """Return `text` if it may be an artifact's type.

    Raises: InvalidName.
    """
    if (
        not text
        or len(text) > MAX_NAME_CHARS
        or "/" in text
        or ":" in text
        or not text.isprintable()
    ):
        raise InvalidName(
            repr(text[:140]),
            "not a valid artifact type",
            hint=f"use 1 to {MAX_NAME_CHARS} characters without '/' and ':'",
        )
    return text


def check_alias(text: str) -> str:
    """Return `text` if a person may give it as an alias.

    Raises: InvalidName. `vN` is refused: those names are the store's own.
    """
    reason = None
    if not text or text in {".", ".."} or not text.isprintable():
        reason = "not a valid alias"
    elif "/" in text or ":" in text:
        reason = "an alias cannot contain '/' or ':'"
    elif version_index(text) is not None:
        reason = "an alias cannot be spelled like a version"
    elif len(text) > MAX_NAME_CHARS or len(text.encode()) > MAX_ENTRY_NAME_BYTES:
        reason = (
            f"an alias has at most {MAX_NAME_CHARS} characters and {MAX_ENTRY_NAME_BYTES} bytes"
        )
    if reason:
        raise InvalidName(repr(text[:140]), reason)
    return text


def check_entry_name(name: str) -> str:
    """Return `name` if it may name one entry of a directory.

    Raises: InvalidName for an empty name, `.`, `..`, a slash, NUL, over 255 bytes, or a name
    that is not UTF-8 (which Python shows as lone surrogates).
    """
    reason = None
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        reason = "not a valid entry name"
    else:
        try:
            if len(name) * 4 > MAX_ENTRY_NAME_BYTES and len(name.encode()) > MAX_ENTRY_NAME_BYTES:
                reason = f"longer than {MAX_ENTRY_NAME_BYTES} bytes"
            elif not name.isascii():
                name.encode()
        except UnicodeEncodeError:
            reason = "not UTF-8"
    if reason:
        raise InvalidName(repr(name), reason)
    return name


def split_entry_path(path: str) -> list[str]:
    """The checked parts of a path inside a version.

    Raises: InvalidName for a path that is empty, absolute, or has an empty, `.` or `..` part.
    """
    try:
        return [check_entry_name(part) for part in path.split("/")]
    except InvalidName as error:
        raise InvalidName(
            repr(path),
            f"not a valid path inside an artifact ({error.reason})",
            hint="use a relative path without '.', '..' and empty parts",
        ) from None


StrPath = str | os.PathLike[str]


def entry_path(name: StrPath) -> str:
    """A path inside a version as programs write it, `./d` or a `pathlib` path; `.` is its root.

    What it names is checked by whoever uses it: `split_entry_path`.
    """
    return "/".join(part for part in os.fspath(name).split("/") if part != ".")


Metadata = dict[str, Any]
