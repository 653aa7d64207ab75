"""The catalog port: the only mutable state of a store.

Every method is one transaction, blocks, and is safe to call from many threads and processes;
each may raise BackendUnavailable, and PermissionDenied or OutOfSpace when it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from artfs.catalog.records import (
    ArtifactRecord,
    BlobRecord,
    CommitResult,
    Copy,
    LeaseKind,
    LeaseRecord,
    PackRecord,
    ProjectRecord,
    Reserved,
    RunRecord,
    StoreTotals,
    VersionCommit,
    VersionRecord,
    VersionUpdate,
)
from artfs.errors import DamagedRecord
from artfs.model import ByteRange, Digest, Metadata, RunState, VersionState

OnDamage = Callable[[DamagedRecord], None]
"""Gets what is damaged where the rest is wanted all the same."""


class BaseGone(Exception):
    """A version in `base_ids` is no longer COMMITTED: name all reused blobs instead."""


class BlobsGone(Exception):
    """What a commit relies on is unknown, or gc is deleting it.

    `.missing` are digests of blobs in `reused` or `blobs`, `.packs` those of packs. What is being
    deleted cannot be stored before it is gone: finish that with `Catalog.sweep(…, only=…)`, store
    it again, and commit again.
    """

    def __init__(self, missing: Sequence[Digest] = (), *, packs: Sequence[Digest] = ()) -> None:
        super().__init__(f"{len(missing)} blobs and {len(packs)} packs are gone")
        self.missing = tuple(missing)
        self.packs = tuple(packs)


Confirm = Callable[[Sequence[PackRecord], Sequence[BlobRecord]], None]
"""Called with what was just recorded as stored, in the transaction, when everything is locked that
gc would need to delete any of it. Raises: BlobsGone where an object is not there, which undoes it
all."""


class Lease(Protocol):
    """Word to everybody that its holder is at work: gc leaves what it may need, a run is running.

    It ends with its holder, however that ends. A child that is forked holds it as well.
    """

    id: str

    def release(self) -> None:
        """Be done. Blocks: on the catalog. Never raises: what nobody renews ends by itself."""
        ...

    def abandon(self) -> None:
        """As `release`, from anywhere, such as a finalizer: it never blocks."""
        ...


class Catalog(Protocol):
    """Names, versions, aliases, runs and blob locations."""

    def close(self) -> None:
        """Release connections; the catalog cannot be used afterwards."""
        ...

    # --- settings --------------------------------------------------------------------------

    def settings(self) -> dict[str, str]:
        """What the store is: its `id`, 32 hexadecimal digits, and what was chosen for it."""
        ...

    def choose_setting(self, key: str, value: str) -> str:
        """Set what is not set yet, such as the URL of the blobs; what holds from now on."""
        ...

    def replace_setting(self, key: str, old: str, new: str) -> bool:
        """Set what is `old` still; whether it was."""
        ...

    def copy_names(self) -> Copy:
        """All names, versions, aliases, runs and settings, of one moment; not where blobs are.

        Blocks: reads all of them.
        """
        ...

    def put_copy(self, copied: Copy) -> None:
        """Put a copy into a catalog that has nothing of all that.

        Raises: InvalidManifest for what no catalog can have.
        """
        ...

    def changes(self) -> int:
        """How many transactions of this object have changed what `copy_names` tells."""
        ...

    def check(self) -> list[str]:
        """Look for damage in the catalog itself, each a line for a person; empty: it is sound.

        Blocks: reads all of the catalog. Raises: StoreFormatError where it cannot even be read.
        """
        ...

    # --- names -----------------------------------------------------------------------------

    # Listings fail for a row that is damaged, with the DamagedRecord that names it; with
    # `on_damage` they tell that, and leave out what it is about.

    def projects(self, *, on_damage: OnDamage | None = None) -> list[ProjectRecord]:
        """All projects, by name."""
        ...

    def artifacts(
        self,
        *,
        project: str | None = None,
        type_name: str | None = None,
        on_damage: OnDamage | None = None,
    ) -> list[ArtifactRecord]:
        """Artifacts and portfolios, by project and name."""
        ...

    def artifact(
        self, project: str, name: str, *, on_damage: OnDamage | None = None
    ) -> ArtifactRecord:
        """Raises: ArtifactNotFound."""
        ...

    def versions(
        self,
        artifact_id: int,
        *,
        before_index: int | None = None,
        limit: int | None = None,
        on_damage: OnDamage | None = None,
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

    def version_states(self) -> dict[str, VersionState]:
        """The state of every version that there is or was, by its id."""
        ...

    def version_by_id(self, version_id: str) -> VersionRecord:
        """A version in any state, seen through the artifact that it was made in.

        Raises: VersionNotFound.
        """
        ...

    # --- changes ---------------------------------------------------------------------------

    def commit(self, commit: VersionCommit, *, confirm: Confirm | None = None) -> CommitResult:
        """Make a version, or find the one that has the same content already.

        The same content means the `content_digest` of `latest` (of any version with
        `dedupe_all`); then only `aliases` move, the run and blobs in `lost` are recorded.
        Reused blobs that were condemned are saved. A second commit with a `commit_key` changes
        nothing, even where the first one's version was deleted since. `confirm` is called last.

        Raises: Conflict (VersionExists: the artifact has another type or is a portfolio;
        AliasMoved: `expect_latest` does not hold), BaseGone, BlobsGone, RunNotFound.
        """
        ...

    def update_version(
        self,
        version_id: str,
        update: VersionUpdate,
        *,
        portfolio: tuple[str, str] | None = None,
    ) -> VersionRecord:
        """Change what is mutable. An added alias moves from whichever version had it.

        Aliases are those of the artifact that the version was made in, or of `portfolio`, given
        as (project, name). `latest` cannot be lost: removed, it falls back to the newest version.
        Raises: VersionNotFound; ArtifactNotFound for the portfolio; AliasNotFound for a removed
        alias that the version has not.
        """
        ...

    def delete_version(self, version_id: str, *, delete_aliases: bool) -> None:
        """Mark a version DELETED; its number is never used again.

        It leaves its portfolios as well, and their aliases count. `latest` does not count as an
        alias here: it falls back to the newest version left.
        Raises: VersionNotFound; Conflict where it has aliases and `delete_aliases` is False.
        """
        ...

    def expire_version(self, version_id: str, *, dry_run: bool = False) -> str | None:
        """Delete a version whose time is over, unless somebody has a use for it; what that is.

        That is what makes `delete_version` ask, an alias, and a portfolio that it was linked into.
        A version that is gone already is no error.
        """
        ...

    def delete_artifact(self, artifact_id: int) -> None:
        """Delete an artifact or portfolio with all its versions (or links) and aliases.

        Its name is free again, for another artifact that starts at v0. Raises: ArtifactNotFound.
        """
        ...

    def link(
        self, version_id: str, project: str, portfolio: str, aliases: Sequence[str]
    ) -> VersionRecord:
        """Put a version into a portfolio (made when missing) and return it seen through it.

        A version that is linked already keeps its index. `latest` follows every new link.
        Raises: VersionNotFound; VersionExists where the name belongs to an artifact.
        """
        ...

    def unlink(self, version_id: str, project: str, portfolio: str) -> None:
        """Take a version out of a portfolio, with the aliases that it has there.

        Raises: ArtifactNotFound, VersionNotFound.
        """
        ...

    # --- blobs -----------------------------------------------------------------------------

    def locate(self, wanted: Sequence[Digest]) -> dict[Digest, BlobRecord]:
        """Where each blob is; unknown ones are left out.

        Blobs that gc is about to delete are known to the last: name them in `reused`, never store
        them again unasked, and let the commit decide.
        """
        ...

    def pack_contents(self, pack: Digest, span: ByteRange) -> list[BlobRecord]:
        """The blobs of a pack that begin within `span`, by offset; none where it is unknown."""
        ...

    def blobs(self) -> Iterator[BlobRecord]:
        """Every blob: objects of their own by digest, then by pack and offset.

        Not one transaction: what is stored or deleted meanwhile may be there or not.
        """
        ...

    def packs(self, *, only: Sequence[Digest] | None = None) -> Iterator[PackRecord]:
        """Every pack, or those that `only` names, the oldest first."""
        ...

    def live_trees(
        self, *, on_damage: OnDamage | None = None
    ) -> Iterator[tuple[VersionRecord, Digest]]:
        """Every COMMITTED version and its tree, of one moment: the roots of gc."""
        ...

    def totals(self) -> StoreTotals:
        """Counts over the whole store."""
        ...

    def add_blobs(
        self,
        packs: Sequence[PackRecord],
        blobs: Sequence[BlobRecord],
        *,
        condemned_at_ns: int | None = None,
        confirm: Confirm | None = None,
    ) -> None:
        """Record stored objects without a version: to rebuild a catalog, or to adopt orphans.

        Known blobs keep their place. An orphan is adopted condemned, so that a commit that found
        its object there can still save it; deleting it at once could take the object from under
        that commit. Raises: BlobsGone.
        """
        ...

    def forget(self, damaged: Sequence[BlobRecord]) -> int:
        """Know damaged blobs no longer that are at these places in packs; how many there were."""
        ...

    # --- leases ----------------------------------------------------------------------------

    def now_ns(self) -> int:
        """What time it is; for all hosts that share a catalog on a server, by its clock."""
        ...

    def lease(self, kind: LeaseKind, *, subject: str = "", tree: Digest | None = None) -> Lease:
        """Begin to hold a lease: before the first `reserve` of an intake, and gc's mark.

        gc keeps `tree` meanwhile.
        """
        ...

    def leases(self) -> list[LeaseRecord]:
        """All leases, held or left behind, by when they began."""
        ...

    def revoke_abandoned(self) -> int:
        """Forget the leases of those that are gone; how many there were."""
        ...

    def reserve(self, wanted: Sequence[Digest], *, packs: Sequence[Digest] = ()) -> Reserved:
        """As `locate`, for who holds a lease and relies on what it finds until its commit.

        What was condemned is so no longer, so that it stays at least as long as the lease. Of
        `packs` it is only told which are doomed; those that no blob is in stay as well.
        """
        ...

    # --- garbage ---------------------------------------------------------------------------
    #
    # gc marks what all live versions, staging areas and leases reach, pardons and condemns
    # accordingly, then dooms and sweeps what was condemned before the grace period, and before
    # every lease began that is held: its own, which it takes before it marks, among them. A commit
    # saves condemned blobs and refuses doomed ones; as a doomed blob stays known until its object
    # is gone, no commit can mistake an object about to be deleted for a stored one.

    def condemn(self, unreachable: Sequence[Digest], *, at_ns: int) -> None:
        """Note that gc found no use for these blobs; those condemned before keep their time.

        None is condemned later than `at_ns`: a clock that was wrong holds nothing back.
        """
        ...

    def pardon(self, reachable: Sequence[Digest]) -> int:
        """Undo `condemn` for blobs that turned out to be in use; returns how many there were."""
        ...

    def condemned(self, *, before_ns: int, needed: bool = True) -> Iterator[BlobRecord]:
        """Blobs condemned before a time and not doomed, in the order of that.

        Without those that are `needed` it is what may be doomed now: what no lease spares.
        Not one transaction.
        """
        ...

    def doom_blobs(
        self, digests: Sequence[Digest], *, condemned_before_ns: int
    ) -> list[BlobRecord]:
        """Decide to delete blobs that are objects of their own; returns those that it doomed.

        Only those still condemned since before that time, and before every lease that is held
        began; there is no way back.
        """
        ...

    def doom_packs(self, packs: Sequence[Digest], *, condemned_before_ns: int) -> list[PackRecord]:
        """Decide to delete packs with all blobs in them; returns those that it doomed.

        Only packs whose blobs may all be doomed as `doom_blobs` does, or were moved away.
        """
        ...

    def move_blobs(
        self,
        source: Digest,
        target: PackRecord,
        blobs: Sequence[BlobRecord],
        *,
        confirm: Confirm | None = None,
    ) -> int:
        """Record that blobs of the pack `source` were copied to the pack `target`.

        `blobs` say their new offsets; one that is elsewhere by now stays there. Returns how many
        moved. Whoever located them before may find the old pack gone, and must locate them again.
        Raises: BlobsGone where either pack is unknown or doomed.
        """
        ...

    def sweep(
        self,
        delete: Callable[[BlobRecord | PackRecord], None],
        *,
        only: Sequence[Digest] | None = None,
    ) -> int:
        """Delete and forget what is doomed, also by a gc that ended half-way.

        `delete` is called for each object, in a transaction that keeps commits from storing it,
        and again where that fails; it must not mind an object that is gone. `only` names blobs or
        packs; others stay. Returns how many objects were deleted.
        """
        ...

    # --- runs ------------------------------------------------------------------------------

    def create_run(
        self, project: str, *, name: str | None, job_type: str | None, config: Metadata
    ) -> RunRecord:
        """Start a run, and hold it; a name is made where none is given.

        It is RUNNING as long as somebody holds it, as this catalog does until it is closed or its
        process ends, then CRASHED: unless it was finished before.
        """
        ...

    def join_run(self, run_id: str) -> RunRecord:
        """Hold a run as well that goes on: it is running as long as one of its holders is.

        Raises: RunNotFound.
        """
        ...

    def run(self, run_id: str) -> RunRecord:
        """Raises: RunNotFound."""
        ...

    def runs(self, *, project: str | None = None) -> list[RunRecord]:
        """Runs, newest first."""
        ...

    def configure_run(self, run_id: str, values: Metadata) -> None:
        """Put values into the run's config, beside or over those there. Raises: RunNotFound."""
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
