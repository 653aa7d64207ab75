"""What a W&B server is not: a store that is written, or one with blobs and leases of artfs.

Everything that writes is refused in one line; of what only a store of artfs has there is none.
"""

# ruff: noqa: ARG002 - the signatures are those of the ports

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from artfs.blobs.base import Namespace, ObjectKey, StoredObject, Transfer
from artfs.blobs.temporaries import Temporaries
from artfs.catalog.blob_port import Confirm, Lease
from artfs.catalog.records import (
    ArtifactChange,
    ArtifactRecord,
    BlobRecord,
    CommitResult,
    Copy,
    LeaseKind,
    LeaseRecord,
    PackRecord,
    Reserved,
    RunChange,
    RunRecord,
    VersionCommit,
    VersionRecord,
    VersionUpdate,
)
from artfs.catalog.serving_records import ServingState
from artfs.errors import BlobNotFound, ReadOnly
from artfs.model import ByteRange, Digest, Metadata, RunState

_REASON = "a W&B server is only read here"
_HINT = "log into it with W&B's client, or name a store of artfs with --store"


def refusal(subject: str) -> ReadOnly:
    """The error of everything that writes."""
    return ReadOnly(subject, _REASON, hint=_HINT)


class NoObjects:
    """Implements ObjectStore: there are none."""

    def __init__(self, subject: str) -> None:
        self._subject = subject

    def put(self, key: ObjectKey, source: Path, *, transfer: Transfer) -> None:
        """See ObjectStore."""
        raise refusal(self._subject)

    def read(self, key: ObjectKey, span: ByteRange) -> bytes:
        """See ObjectStore."""
        raise BlobNotFound(str(key), "a W&B server has no blobs")

    def stream(self, key: ObjectKey, span: ByteRange, *, piece_bytes: int) -> Generator[bytes]:
        """See ObjectStore."""
        raise BlobNotFound(str(key), "a W&B server has no blobs")

    def open_local(self, key: ObjectKey) -> int | None:
        """See ObjectStore."""
        return None

    def size(self, key: ObjectKey) -> int | None:
        """See ObjectStore."""
        return None

    def delete(self, key: ObjectKey) -> None:
        """See ObjectStore."""
        raise refusal(self._subject)

    def objects(self, namespace: Namespace) -> Iterator[StoredObject]:
        """See ObjectStore."""
        return iter(())


class NoWorkspace:
    """Implements Workspace: nothing is ever made to be stored."""

    def __init__(self, subject: str) -> None:
        self._subject = subject

    @property
    def temporaries(self) -> Temporaries:
        """See Workspace."""
        raise refusal(self._subject)

    @temporaries.setter
    def temporaries(self, value: Temporaries) -> None:
        raise refusal(self._subject)


class WritesNothing:
    """The half of Catalog that changes something, and that which is about blobs."""

    subject: str

    def _refuse(self) -> NoReturn:
        raise refusal(self.subject)

    @property
    def serving(self) -> ServingState:
        """See Catalog."""
        self._refuse()

    def choose_setting(self, key: str, value: str) -> str:
        """See Catalog."""
        self._refuse()

    def replace_setting(self, key: str, old: str, new: str) -> bool:
        """See Catalog."""
        self._refuse()

    def copy_names(self) -> Copy:
        """See Catalog."""
        self._refuse()

    def put_copy(self, copied: Copy) -> None:
        """See Catalog."""
        self._refuse()

    def changes(self) -> int:
        """See Catalog."""
        return 0

    def commit(self, commit: VersionCommit, *, confirm: Confirm | None = None) -> CommitResult:
        """See Catalog."""
        self._refuse()

    def update_version(
        self,
        version_id: str,
        update: VersionUpdate,
        *,
        portfolio: tuple[str, str] | None = None,
    ) -> VersionRecord:
        """See Catalog."""
        self._refuse()

    def delete_version(self, version_id: str, *, delete_aliases: bool) -> None:
        """See Catalog."""
        self._refuse()

    def expire_version(self, version_id: str, *, dry_run: bool = False) -> str | None:
        """See Catalog."""
        self._refuse()

    def change_artifact(self, artifact_id: int, change: ArtifactChange) -> ArtifactRecord:
        """See Catalog."""
        self._refuse()

    def delete_artifact(self, artifact_id: int) -> None:
        """See Catalog."""
        self._refuse()

    def link(
        self, version_id: str, project: str, portfolio: str, aliases: Sequence[str]
    ) -> VersionRecord:
        """See Catalog."""
        self._refuse()

    def unlink(self, version_id: str, project: str, portfolio: str) -> None:
        """See Catalog."""
        self._refuse()

    def create_run(
        self,
        project: str,
        *,
        name: str | None,
        job_type: str | None,
        config: Metadata,
        run_id: str | None = None,
    ) -> RunRecord:
        """See Catalog."""
        self._refuse()

    def join_run(self, run_id: str) -> RunRecord:
        """See Catalog."""
        self._refuse()

    def leave_run(self, run_id: str) -> None:
        """See Catalog."""

    def change_run(self, run_id: str, change: RunChange) -> RunRecord:
        """See Catalog."""
        self._refuse()

    def describe_run(
        self,
        run_id: str,
        details: Metadata,
        *,
        within: str | None = None,
        without: Sequence[str] = (),
    ) -> None:
        """See Catalog."""
        self._refuse()

    def adopt_run(self, run: RunRecord, details: Metadata) -> bool:
        """See Catalog."""
        self._refuse()

    def configure_run(self, run_id: str, values: Metadata) -> None:
        """See Catalog."""
        self._refuse()

    def finish_run(self, run_id: str, state: RunState) -> RunRecord:
        """See Catalog."""
        self._refuse()

    def record_use(self, run_id: str, version_id: str, *, use_as: str | None) -> None:
        """See Catalog."""
        self._refuse()

    def record_output(self, run_id: str, version_id: str) -> None:
        """See Catalog."""
        self._refuse()

    # --- blobs -----------------------------------------------------------------------------

    def locate(self, wanted: Sequence[Digest]) -> dict[Digest, BlobRecord]:
        """See BlobCatalog."""
        return {}

    def pack_contents(self, pack: Digest, span: ByteRange) -> list[BlobRecord]:
        """See BlobCatalog."""
        return []

    def blobs(self) -> Iterator[BlobRecord]:
        """See BlobCatalog."""
        return iter(())

    def packs(self, *, only: Sequence[Digest] | None = None) -> Iterator[PackRecord]:
        """See BlobCatalog."""
        return iter(())

    def add_blobs(
        self,
        packs: Sequence[PackRecord],
        blobs: Sequence[BlobRecord],
        *,
        condemned_at_ns: int | None = None,
        confirm: Confirm | None = None,
    ) -> None:
        """See BlobCatalog."""
        self._refuse()

    def forget(self, damaged: Sequence[BlobRecord]) -> int:
        """See BlobCatalog."""
        self._refuse()

    def lease(self, kind: LeaseKind, *, subject: str = "", tree: Digest | None = None) -> Lease:
        """See BlobCatalog."""
        self._refuse()

    def leases(self) -> list[LeaseRecord]:
        """See BlobCatalog."""
        return []

    def revoke_abandoned(self) -> int:
        """See BlobCatalog."""
        return 0

    def reserve(self, wanted: Sequence[Digest], *, packs: Sequence[Digest] = ()) -> Reserved:
        """See BlobCatalog."""
        self._refuse()

    def condemn(self, unreachable: Sequence[Digest], *, at_ns: int) -> None:
        """See BlobCatalog."""
        self._refuse()

    def pardon(self, reachable: Sequence[Digest]) -> int:
        """See BlobCatalog."""
        self._refuse()

    def condemned(self, *, before_ns: int, needed: bool = True) -> Iterator[BlobRecord]:
        """See BlobCatalog."""
        return iter(())

    def doom_blobs(
        self, digests: Sequence[Digest], *, condemned_before_ns: int
    ) -> list[BlobRecord]:
        """See BlobCatalog."""
        self._refuse()

    def doom_packs(self, packs: Sequence[Digest], *, condemned_before_ns: int) -> list[PackRecord]:
        """See BlobCatalog."""
        self._refuse()

    def move_blobs(
        self,
        source: Digest,
        target: PackRecord,
        blobs: Sequence[BlobRecord],
        *,
        confirm: Confirm | None = None,
    ) -> int:
        """See BlobCatalog."""
        self._refuse()

    def sweep(
        self,
        delete: Callable[[BlobRecord | PackRecord], None],
        *,
        only: Sequence[Digest] | None = None,
        needed: Collection[Digest] = (),
    ) -> int:
        """See BlobCatalog."""
        self._refuse()
