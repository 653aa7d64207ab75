"""What a catalog tells and is told: frozen values.

Times are nanoseconds since the Unix epoch, UTC. Records are snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from artfs.manifest.entries import DirectoryEntry
from artfs.model import Digest, Metadata, RunState, VersionState


class ProjectRecord(msgspec.Struct, frozen=True):
    """A project and what it holds."""

    name: str
    created_at_ns: int
    artifact_count: int


class VersionRecord(msgspec.Struct, frozen=True):
    """One version, as seen through the artifact or portfolio that it was asked of."""

    id: str
    """32 hexadecimal digits, unique in the store."""
    project: str
    name: str
    """The artifact's name, or the portfolio's where it was asked of one."""
    index: int
    """7 for v7, in the artifact or portfolio that it was asked of."""
    type: str
    source_project: str
    source_name: str
    source_index: int
    """Where the version was made; equal to project, name, index but in a portfolio."""
    state: VersionState
    digest: str
    """The W&B digest: 32 hexadecimal digits."""
    content_digest: str
    """A digest of what the W&B digest does not see (artfs/manifest/wandb.py)."""
    tree: Digest
    size_bytes: int
    file_count: int
    description: str | None
    metadata: Metadata
    created_at_ns: int
    aliases: tuple[str, ...]
    """Sorted; of the artifact or portfolio that it was asked of."""
    tags: tuple[str, ...] = ()
    ttl_s: int | None = None
    """Seconds from creation to expiry; None: never, or as the artifact says."""

    @property
    def version(self) -> str:
        """`v7`."""
        return f"v{self.index}"

    @property
    def path(self) -> str:
        """`project/name:v7`."""
        return f"{self.project}/{self.name}:{self.version}"

    @property
    def is_linked(self) -> bool:
        """Whether it is seen through a portfolio."""
        return (self.project, self.name) != (self.source_project, self.source_name)

    @property
    def root(self) -> DirectoryEntry:
        """The root directory, as an entry of no name."""
        return DirectoryEntry("", self.tree, self.size_bytes, self.file_count)


class ArtifactRecord(msgspec.Struct, frozen=True):
    """An artifact or a portfolio, with its newest version at a glance."""

    id: int
    project: str
    name: str
    type: str
    is_portfolio: bool
    created_at_ns: int
    version_count: int
    """COMMITTED versions only."""
    latest: VersionRecord | None
    """The version called `latest`; None when every version was deleted."""
    description: str | None = None
    tags: tuple[str, ...] = ()
    """Sorted; of the artifact itself, beside those of its versions."""

    @property
    def path(self) -> str:
        """`project/name`."""
        return f"{self.project}/{self.name}"


class ArtifactChange(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to an artifact or portfolio as a whole; UNSET leaves a field as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    type: str | msgspec.UnsetType = msgspec.UNSET
    """Of all its versions; a portfolio keeps its own."""
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    """Those that it has not are passed over."""


class RunRecord(msgspec.Struct, frozen=True):
    """A run: whatever makes and uses versions."""

    id: str
    project: str
    name: str
    job_type: str | None
    state: RunState
    config: Metadata
    created_at_ns: int
    finished_at_ns: int | None


class RunChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is said anew of a run; UNSET leaves a field as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    job_type: str | msgspec.UnsetType | None = msgspec.UNSET
    config: Metadata | msgspec.UnsetType = msgspec.UNSET


class LeaseKind(StrEnum):
    """What somebody is at work with."""

    INTAKE = "intake"
    """Stores content that a commit names later."""
    STAGING = "staging"
    """Shows a tree in a staging area."""
    COLLECTION = "gc"
    """Looks for what nothing needs, and moves what is needed."""
    RUN = "run"
    """Is a run, or a part of it; `subject` is the run's id."""


class LeaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Word of somebody who is at work, or was when it ended without a word."""

    id: str
    kind: LeaseKind
    subject: str
    number: int
    """What was condemned up to this number, its holder has seen condemned."""
    holder: str
    """Who it is, for people."""
    began_at_ns: int
    tree: Digest | None
    """A tree that is needed as long as it is held."""
    is_held: bool
    """Whether its holder is still there."""


class BlobRecord(msgspec.Struct, frozen=True):
    """A blob and where it is: an object of its own, or `size_bytes` at `offset` of a pack."""

    sha256: Digest
    size_bytes: int
    pack: Digest | None
    offset: int


class PackRecord(msgspec.Struct, frozen=True):
    """A stored pack, named by the SHA-256 of all its bytes."""

    sha256: Digest
    size_bytes: int


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is where it is copied from, and becomes where it is copied to."""

    id: str
    """Kept, unless a version has it, or had it."""
    created_at_ns: int
    index: int | None = None
    """The number that it gets, if no version has or had that; None: the next one, as always."""


class CommitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a new version should be, besides its content."""

    project: str
    name: str
    type: str
    description: str | None = None
    metadata: Metadata = {}
    aliases: tuple[str, ...] = ()
    """Aliases to move besides `latest`, which moves to every new version."""
    base_ids: tuple[str, ...] = ()
    """Versions whose whole subtrees the tree reuses; they must still be COMMITTED."""
    commit_key: str | None = None
    """A second commit with the same key answers with the first one's version."""
    expect_latest: str | None = None
    """The id that `latest` must still have; empty string: there must be no version yet."""
    dedupe_all: bool = False
    """Look for the same content in every version, not only in `latest`."""
    run_id: str | None = None
    """The run that makes it, recorded as its output."""
    tags: tuple[str, ...] = ()
    ttl_s: int | None = None
    version_id: str | None = None
    """The id that a version gets where one is made; None: a random one."""
    origin: Origin | None = None
    """Of a copy: it is the same as what has its number, or, without one, as any version."""


class VersionCommit(CommitRequest, frozen=True, kw_only=True):
    """Everything that one commit writes, in one transaction."""

    digest: str
    content_digest: str
    tree: Digest
    size_bytes: int
    file_count: int
    packs: Sequence[PackRecord] = ()
    blobs: Sequence[BlobRecord] = ()
    """Blobs that this commit stored. One that the catalog knows already keeps its place."""
    lost: Mapping[Digest, Digest | None] = {}
    """Those whose object is gone, and the pack that it was (None: none): they get a new place."""
    reused: Sequence[Digest] = ()
    """Blobs that the tree needs, that were stored before, and that no base version protects."""


class Reserved(msgspec.Struct, frozen=True):
    """What a store has of what was asked for."""

    found: dict[Digest, BlobRecord]
    """What can be relied upon, as long as a lease is held that began before."""
    doomed: tuple[Digest, ...]
    """Blobs and packs that are being deleted: to be stored again once they are gone."""


class CommitResult(msgspec.Struct, frozen=True):
    """The version that now holds the content, and whether the commit made it."""

    version: VersionRecord
    created: bool
    changed: tuple[str, ...] = ()
    """What the request changed of a version that was there: its description, metadata and so on."""


class VersionUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to what is mutable of a version; UNSET leaves a field as it is."""

    description: str | msgspec.UnsetType | None = msgspec.UNSET
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET
    tags: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    ttl_s: int | msgspec.UnsetType | None = msgspec.UNSET
    add_aliases: tuple[str, ...] = ()
    remove_aliases: tuple[str, ...] = ()


Rows = list[dict[str, Any]]
"""Of one table, each by the names of its columns."""

Copy = dict[str, Rows]
"""Everything in a catalog but where blobs are, by the names of the tables (copies.py)."""


class StoreTotals(msgspec.Struct, frozen=True):
    """Counts over the whole store, for `status` and `doctor`."""

    projects: int
    artifacts: int
    versions: int
    blobs: int
    blob_bytes: int
    packs: int
    pack_bytes: int
