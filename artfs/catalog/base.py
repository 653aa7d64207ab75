"""The catalog port: the only mutable state of a store.

Times are nanoseconds since the Unix epoch, UTC. Records are snapshots. Every method is one
transaction, blocks, and is safe to call from many threads and processes; each may raise
BackendUnavailable, and PermissionDenied or OutOfSpace when it writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

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
    posix_digest: str
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

    @property
    def path(self) -> str:
        """`project/name`."""
        return f"{self.project}/{self.name}"


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


class VersionCommit(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one commit writes, in one transaction."""

    project: str
    name: str
    type: str
    digest: str
    posix_digest: str
    tree: Digest
    size_bytes: int
    file_count: int
    description: str | None = None
    metadata: Metadata = {}
    aliases: tuple[str, ...] = ()
    """Aliases to move besides `latest`, which always moves."""
    packs: Sequence[PackRecord] = ()
    blobs: Sequence[BlobRecord] = ()
    """Blobs that this commit stored. One that the catalog knows already keeps its place."""
    reused: Sequence[Digest] = ()
    """Blobs that the tree needs, that were stored before, and that no base version protects."""
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


class CommitOutcome(msgspec.Struct, frozen=True):
    """The version that now holds the content, and whether the commit made it."""

    version: VersionRecord
    created: bool


class BaseGone(Exception):
    """A version in `base_ids` is no longer COMMITTED: name all reused blobs instead."""


class BlobsGone(Exception):
    """Blobs in `reused` are no longer known; `.missing` are their digests."""

    def __init__(self, missing: Sequence[Digest]) -> None:
        super().__init__(f"{len(missing)} blobs are gone")
        self.missing = tuple(missing)


class VersionUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to what is mutable of a version; UNSET leaves a field as it is."""

    description: str | msgspec.UnsetType | None = msgspec.UNSET
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET
    tags: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    ttl_s: int | msgspec.UnsetType | None = msgspec.UNSET
    add_aliases: tuple[str, ...] = ()
    remove_aliases: tuple[str, ...] = ()


class StoreTotals(msgspec.Struct, frozen=True):
    """Counts over the whole store, for `status` and `doctor`."""

    projects: int
    artifacts: int
    versions: int
    blobs: int
    blob_bytes: int
    packs: int
    pack_bytes: int


class Catalog(Protocol):
    """Names, versions, aliases, runs and blob locations."""

    def close(self) -> None:
        """Release connections; the catalog cannot be used afterwards."""
        ...

    def setting(self, key: str) -> str | None:
        """A free setting of the store, such as the URL of its blobs."""
        ...

    def set_setting(self, key: str, value: str) -> None:
        """Change a setting."""
        ...

    # --- names -----------------------------------------------------------------------------

    def projects(self) -> list[ProjectRecord]:
        """All projects, by name."""
        ...

    def artifacts(
        self, *, project: str | None = None, type_name: str | None = None
    ) -> list[ArtifactRecord]:
        """Artifacts and portfolios, by project and name."""
        ...

    def artifact(self, project: str, name: str) -> ArtifactRecord:
        """Raises: ArtifactNotFound."""
        ...

    def versions(
        self, artifact_id: int, *, before_index: int | None = None, limit: int | None = None
    ) -> list[VersionRecord]:
        """COMMITTED versions of an artifact or portfolio, newest first.

        `before_index` and `limit` page through them.
        """
        ...

    def version(self, project: str, name: str, selector: str) -> VersionRecord:
        """The COMMITTED version that an alias, `vN` or W&B digest selects.

        Raises: ArtifactNotFound, VersionNotFound, AliasNotFound.
        """
        ...

    def version_by_id(self, version_id: str) -> VersionRecord:
        """A version in any state, seen through the artifact that it was made in.

        Raises: VersionNotFound.
        """
        ...

    # --- changes ---------------------------------------------------------------------------

    def commit(self, commit: VersionCommit) -> CommitOutcome:
        """Make a version, or find the one that has the same content already.

        The same content means `digest` and `posix_digest` equal those of `latest` (any version
        with `dedupe_all`); then only aliases move and the run is recorded. Reused blobs that
        were condemned are saved.

        Raises: Conflict (VersionExists: the artifact has another type or is a portfolio;
        AliasMoved: `expect_latest` does not hold), BaseGone, BlobsGone.
        """
        ...

    def update_version(self, version_id: str, update: VersionUpdate) -> VersionRecord:
        """Change what is mutable. An added alias moves from whichever version had it.

        Raises: VersionNotFound; AliasNotFound for a removed alias that the version has not.
        """
        ...

    def delete_version(self, version_id: str, *, delete_aliases: bool) -> None:
        """Mark a version DELETED; its number is never used again.

        `latest` does not count as an alias here: it falls back to the newest version left.
        Raises: VersionNotFound; Conflict where it has aliases and `delete_aliases` is False.
        """
        ...

    def delete_artifact(self, artifact_id: int) -> None:
        """Delete an artifact or portfolio with all its versions (or links) and aliases."""
        ...

    def link(
        self, version_id: str, project: str, portfolio: str, aliases: Sequence[str]
    ) -> VersionRecord:
        """Put a version into a portfolio (made when missing) and return it seen through it.

        A version that is linked already keeps its index. `latest` follows every new link.
        Raises: VersionNotFound; VersionExists where the name belongs to an artifact.
        """
        ...

    # --- blobs -----------------------------------------------------------------------------

    def locate(self, wanted: Sequence[Digest]) -> dict[Digest, BlobRecord]:
        """Where each blob is; unknown ones are left out."""
        ...

    def blobs(self) -> Iterator[BlobRecord]:
        """Every blob, by pack and offset."""
        ...

    def packs(self) -> Iterator[PackRecord]:
        """Every pack."""
        ...

    def condemn(self, unreachable: Sequence[Digest], *, at_ns: int) -> None:
        """Note that gc found no use for these blobs; those condemned before keep their time."""
        ...

    def pardon(self, reachable: Sequence[Digest]) -> None:
        """Undo `condemn` for blobs that turned out to be in use."""
        ...

    def condemned(self, *, before_ns: int) -> list[BlobRecord]:
        """Blobs condemned before a time."""
        ...

    def forget_blobs(self, condemned: Sequence[Digest]) -> list[BlobRecord]:
        """Delete the rows of those that are still condemned, and return them.

        Afterwards a commit that counts on one of them fails with BlobsGone, and one that stores
        it anew is a new blob: its object may be deleted by whoever got it from here.
        """
        ...

    def move_blobs(self, pack: PackRecord, blobs: Sequence[BlobRecord]) -> None:
        """Record that blobs were written again, into another pack."""
        ...

    def forget_packs(self, empty: Sequence[Digest]) -> list[PackRecord]:
        """Delete the rows of packs that hold no blob any more, and return them."""
        ...

    def add_blobs(self, packs: Sequence[PackRecord], blobs: Sequence[BlobRecord]) -> None:
        """Record stored packs and blobs, when a lost catalog is rebuilt."""
        ...

    def live_trees(self) -> Iterator[tuple[VersionRecord, Digest]]:
        """Every COMMITTED version and its tree: the roots of gc."""
        ...

    def totals(self) -> StoreTotals:
        """Counts over the whole store."""
        ...

    def check(self) -> list[str]:
        """What is damaged in the catalog itself, a line for each; none where all is right.

        Blocks: to read the whole catalog.
        """
        ...

    # --- runs ------------------------------------------------------------------------------

    def create_run(
        self, project: str, *, name: str | None, job_type: str | None, config: Metadata
    ) -> RunRecord:
        """Start a run; a name is made where none is given."""
        ...

    def run(self, run_id: str) -> RunRecord:
        """Raises: RunNotFound."""
        ...

    def runs(self, *, project: str | None = None) -> list[RunRecord]:
        """Runs, newest first."""
        ...

    def finish_run(self, run_id: str, state: RunState) -> RunRecord:
        """Raises: RunNotFound."""
        ...

    def record_use(self, run_id: str, version_id: str, *, use_as: str | None) -> None:
        """Record a version as the run's input; twice is once. Raises: RunNotFound."""
        ...

    def inputs_of(self, run_id: str) -> list[VersionRecord]:
        """Versions that the run used, in the order of first use."""
        ...

    def outputs_of(self, run_id: str) -> list[VersionRecord]:
        """Versions that the run logged, oldest first."""
        ...

    def users_of(self, version_id: str) -> list[RunRecord]:
        """Runs that used the version, oldest first."""
        ...

    def maker_of(self, version_id: str) -> RunRecord | None:
        """The run that first logged the version, if one did."""
        ...
