"""What a staging area says of itself."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from artfs.model import Digest, Metadata


class AreaState(StrEnum):
    """How far an area got, for people; whether somebody owns it is another question."""

    STAGING = "staging"
    FAILED = "failed"
    """The last commit failed; everything is still there."""


class AreaMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What an area is for. Stored as JSON in its index."""

    id: str
    store: str
    """The directory or URL of the store."""
    project: str
    name: str
    type: str
    base_id: str | None = None
    """The version that shows through; None for an area that began empty."""
    base_version: str | None = None
    """`vN` of it."""
    base_tree: Digest | None = None
    aliases: tuple[str, ...] = ()
    description: str | None = None
    metadata: Metadata = {}
    run_id: str | None = None
    expect: str | None = None
    """The version that `latest` must still be: its id; empty: there must be none yet."""
    mountpoint: str | None = None
    """Where it is, or was last, mounted."""
    created_at_ns: int
    uid: int
    gid: int
    commits: int = 0
    """How many versions were made of it."""
    state: AreaState = AreaState.STAGING
    error: str | None = None
    """Why the last commit failed."""

    @property
    def path(self) -> str:
        """`project/name`."""
        return f"{self.project}/{self.name}"


def encode_meta(meta: AreaMeta) -> str:
    """The JSON of it."""
    return msgspec.json.encode(meta).decode()


def decode_meta(text: str) -> AreaMeta:
    """Raises: msgspec.DecodeError."""
    return msgspec.json.decode(text, type=AreaMeta)
