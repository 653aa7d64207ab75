"""What a staging area says of itself."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import msgspec

from artfs.catalog.base import Catalog
from artfs.catalog.blob_port import Lease
from artfs.catalog.records import LeaseKind
from artfs.decoding import analysed
from artfs.errors import UNDECODABLE, ArtfsError
from artfs.model import Digest, Metadata
from artfs.system.oserrors import translate_os_errors

logger = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CLOCK_STEP_NS = 20_000_000
"""The kernel's clock for files goes in steps, of 10 ms at most, and is behind."""


Account = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
"""The number of a user or a group."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


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
    created_at_ns: Count
    uid: Account
    gid: Account
    commits: Count = 0
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
    """Raises: UNDECODABLE."""
    return msgspec.json.decode(text, type=analysed(AreaMeta))


class Durable(msgspec.Struct, frozen=True):
    """What is known."""

    boot_id: str
    """The run of the host; empty where the host does not tell, and then nothing is suspected."""
    until_ns: int
    """What was not changed after this, in nanoseconds since 1970, survives the host."""

    @classmethod
    def now(cls) -> Self:
        """For who begins to make everything durable."""
        boot_id = ""
        with suppress(OSError):
            boot_id = _BOOT_ID.read_text().strip()
        return cls(boot_id, time.time_ns() - _CLOCK_STEP_NS)


def read_durable(path: Path) -> Durable | None:
    """What was noted; None where nothing was. Raises: PermissionDenied, BackendUnavailable."""
    with translate_os_errors(path):
        try:
            return msgspec.json.decode(path.read_bytes(), type=analysed(Durable))
        except (FileNotFoundError, *UNDECODABLE):
            # Of an area from before there was such a note, or of a host that died with it.
            return None


def write_durable(path: Path, durable: Durable) -> None:
    """Note it, durably once the directory is. Blocks: disk. Raises: OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        # In place: it is shorter than what a disk writes at once, and always equally long.
        os.pwrite(fd, msgspec.json.encode(durable), 0)
        os.fdatasync(fd)
    finally:
        os.close(fd)


class BaseLease:
    """The lease of one open area. For one thread at a time."""

    def __init__(self, catalog: Catalog, area_id: str) -> None:
        self._catalog = catalog
        self._area_id = area_id
        self._tree: Digest | None = None
        self._lease: Lease | None = None

    def keep(self, tree: Digest | None) -> None:
        """Keep this tree from gc, and no longer the one before. Blocks: on the catalog.

        What an area is good for without its store goes on where that is out of reach.
        """
        if tree == self._tree:
            return
        before, self._lease = self._lease, None
        try:
            if tree is not None:
                kind = LeaseKind.STAGING
                self._lease = self._catalog.lease(kind, subject=self._area_id, tree=tree)
            self._tree = tree
        except ArtfsError as error:
            logger.warning("gc of other hosts is not told of area %s: %s", self._area_id, error)
        if before is not None:
            before.release()

    def release(self) -> None:
        """Keep nothing any more. Blocks: on the catalog."""
        self._tree = None
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()
