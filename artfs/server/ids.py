"""Ids as clients of W&B want them: base64 of something.

The id of an artifact is that of a version, or of a draft: 16 bytes, which clients write in
hexadecimal into `wandb-artifact://…` references, as artfs does.
"""

from __future__ import annotations

import binascii
import re
import zlib
from base64 import b64decode, b64encode

from artfs.errors import InvalidArgument

_HEX_ID = re.compile(r"[0-9a-f]{32}")
_RUN = "Run"
_COLLECTION = "ArtifactCollection"
_MANIFEST = "ArtifactManifest"


def artifact_gid(hex_id: str) -> str:
    """The id of a version or draft for clients."""
    return b64encode(bytes.fromhex(hex_id)).decode()


def artifact_id(gid: str) -> str:
    """The version or draft that a client means. Raises: InvalidArgument."""
    if _HEX_ID.fullmatch(gid):
        return gid
    raw = _decoded(gid)
    if len(raw) != 16:
        raise InvalidArgument(repr(gid)[:60], "is not the id of an artifact")
    return raw.hex()


def named_gid(kind: str, *parts: object) -> str:
    """The id of something that has a name: base64 of `Kind:PART:PART`."""
    return b64encode(":".join([kind, *map(str, parts)]).encode()).decode()


def collection_gid(project: str, name: str, number: int | None = None) -> str:
    """The id of an artifact with all its versions, or of a portfolio.

    With the number of its row it stays so when the name changes; what is only being made has none.
    """
    return named_gid(_COLLECTION, project, name, *([] if number is None else [number]))


def collection_project(gid: str) -> str:
    """The project that a collection is in. Raises: InvalidArgument."""
    return collection_parts(gid)[0]


def collection_parts(gid: str) -> tuple[str, str, int | None]:
    """Project, name and number of a collection as its id says. Raises: InvalidArgument."""
    parts = _parts(gid, _COLLECTION)
    is_numbered = len(parts) == 3 and parts[2].isdecimal() and len(parts[2]) < 19
    if len(parts) != 2 and not is_numbered:
        raise InvalidArgument(repr(gid)[:60], "is not the id of a collection")
    return parts[0], parts[1], int(parts[2]) if is_numbered else None


def run_gid(run_id: str) -> str:
    """The id of a run for clients."""
    return named_gid(_RUN, run_id)


def run_id(gid: str) -> str:
    """The run that a client means. Raises: InvalidArgument."""
    return ":".join(_parts(gid, _RUN))


def manifest_gid(hex_id: str) -> str:
    """The id of a manifest for clients."""
    return named_gid(_MANIFEST, hex_id)


def manifest_id(gid: str) -> str:
    """The manifest that a client means. Raises: InvalidArgument."""
    parts = _parts(gid, _MANIFEST)
    if len(parts) != 1 or not _HEX_ID.fullmatch(parts[0]):
        raise InvalidArgument(repr(gid)[:60], "is not the id of a manifest")
    return parts[0]


def number_of(text: str) -> int:
    """A number for what clients want a number of, the same each time."""
    return zlib.crc32(text.encode()) & 0x7FFFFFFF


def _parts(gid: str, kind: str) -> list[str]:
    try:
        found, *parts = _decoded(gid).decode().split(":")
    except UnicodeDecodeError:
        found, parts = "", []
    if found != kind:
        raise InvalidArgument(repr(gid)[:60], f"is not the id of a {kind}")
    return parts


def _decoded(gid: str) -> bytes:
    try:
        return b64decode(gid, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument(repr(gid)[:60], "is not an id") from None
