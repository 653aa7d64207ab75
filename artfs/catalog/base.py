"""The catalog port: the only mutable state of a store.

Every method is one transaction, blocks, and is safe to call from many threads and processes;
each may raise BackendUnavailable, and PermissionDenied or OutOfSpace when it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from artfs.catalog.blob_port import BlobCatalog, Confirm, OnDamage
from artfs.catalog.queries import Found, Search
from artfs.catalog.records import (
    ArtifactChange,
    ArtifactRecord,
    CommitResult,
    Copy,
    ProjectRecord,
    RunChange,
    RunRecord,
    VersionCommit,
    VersionRecord,
    VersionUpdate,
)
from artfs.catalog.serving_records import ServingState
from artfs.model import Metadata, RunState, VersionState


class BaseGone(Exception):
    """A version in `base_ids` is no longer COMMITTED: name all reused blobs instead."""


class Catalog(BlobCatalog, Protocol):
    """Names, versions, aliases, runs, and what BlobCatalog has."""

    @property
    def serving(self) -> ServingState:
        """What servers over this store share: keys, drafts."""
        ...

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
    # `on_damage` they tell that, and leave out what it is about. So do they for rows that are
    # lost, as far as others show that they were there.

    def projects(self, *, on_damage: OnDamage | None = None) -> list[ProjectRecord]:
        """All projects, by name."""
        ...

    def artifacts(
        self,
        *,
        project: str | None = None,
        type_name: str | None = None,
        on_damage: OnDamage | None = None,
        finds_lost: bool = True,
    ) -> list[ArtifactRecord]:
        """Artifacts and portfolios, by project and name.

        Without `finds_lost` it is not told of rows that are lost: with 1,000,000 versions that
        takes most of a second.
        """
        ...

    def artifact(
        self, project: str, name: str, *, on_damage: OnDamage | None = None
    ) -> ArtifactRecord:
        """Raises: ArtifactNotFound."""
        ...

    def made_at_ns(self, project: str, name: str) -> tuple[int, int]:
        """When a project and an artifact in it were made. Raises: ArtifactNotFound."""
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

    def committed_with(self, commit_key: str) -> str | None:
        """The id of the version that a commit with this key got."""
        ...

    def memberships(self, version_id: str) -> list[VersionRecord]:
        """A COMMITTED version as seen through all that holds it: its artifact, then portfolios."""
        ...

    def search(self, wanted: Search, *, on_damage: OnDamage | None = None) -> Found:
        """The newest COMMITTED versions for which all of a search holds.

        It looks at 20,000 at most of those that the database cannot leave out at once.
        """
        ...

    # --- changes ---------------------------------------------------------------------------

    def commit(self, commit: VersionCommit, *, confirm: Confirm | None = None) -> CommitResult:
        """Make a version, or find the one that has the same content already.

        The same content means the `content_digest` of `latest` (of any version with
        `dedupe_all`); then only `aliases` move, the run and blobs in `lost` are recorded.
        Reused blobs that were condemned are saved. A second commit with a `commit_key` changes
        nothing, even where the first one's version was deleted since. `confirm` is called last.
        A copy, which has an `origin`, keeps its id, time and number where those are free, and
        `latest` moves to it only if none has a higher number. It is the same as a version of its
        content with its number; without one, or where another version has that, as any version.

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

    def change_artifact(self, artifact_id: int, change: ArtifactChange) -> ArtifactRecord:
        """Change what an artifact or portfolio is called, its type, and what is said of it.

        Raises: ArtifactNotFound; VersionExists where another has the name; Conflict for the type
        of a portfolio.
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

    # --- runs ------------------------------------------------------------------------------

    def create_run(
        self,
        project: str,
        *,
        name: str | None,
        job_type: str | None,
        config: Metadata,
        run_id: str | None = None,
    ) -> RunRecord:
        """Start a run, and hold it; a name, and an id, are made where none is given.

        It is RUNNING as long as somebody holds it, as this catalog does until it is closed or its
        process ends, then CRASHED: unless it was finished before.
        Raises: Conflict where a run has the id that is given (a valid one: model.check_run_id).
        """
        ...

    def adopt_run(self, run: RunRecord, details: Metadata) -> bool:
        """Record a run of another catalog as it was there; whether that said anything new.

        One that has ended here stays as it is. One that is running there is held by nobody here.
        Raises: Conflict where another run, which began at another time, has its id.
        """
        ...

    def join_run(self, run_id: str) -> RunRecord:
        """Hold a run as well that goes on: it is running as long as one of its holders is.

        Raises: RunNotFound.
        """
        ...

    def leave_run(self, run_id: str) -> None:
        """Hold a run no more, without a word of how it ended."""
        ...

    def change_run(self, run_id: str, change: RunChange) -> RunRecord:
        """Say anew what a run is. Raises: RunNotFound."""
        ...

    def run(self, run_id: str) -> RunRecord:
        """Raises: RunNotFound."""
        ...

    def runs(self, *, project: str | None = None) -> list[RunRecord]:
        """Runs, newest first."""
        ...

    def run_details(self, run_ids: Sequence[str]) -> dict[str, Metadata]:
        """What runs say of themselves beside their config, by id: `summary`, `tags`, `notes` and
        so on; nothing of those that said nothing.
        """
        ...

    def describe_run(
        self,
        run_id: str,
        details: Metadata,
        *,
        within: str | None = None,
        without: Sequence[str] = (),
    ) -> None:
        """Put values into a run's details, beside or over those there; take out `without`.

        With `within` it is about the values of one detail, such as those of the `summary`.
        Raises: RunNotFound.
        """
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

    def record_output(self, run_id: str, version_id: str) -> None:
        """Record a version as the run's output; twice is once. Raises: RunNotFound."""
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
