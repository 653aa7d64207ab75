"""What the tables of `artfs serve` hold: frozen values, and the port to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from artfs.catalog.blob_port import Confirm
from artfs.catalog.records import BlobRecord, PackRecord
from artfs.model import BlockList, Digest, Metadata, blobs_of

OWN_KEY_NAME = "first"
"""The key that the first `artfs serve` shows to who started it: it is the owner's own."""


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without what proves that somebody has it."""

    id: str
    """The first characters of the key, which are no secret."""
    name: str
    read_only: bool
    projects: tuple[str, ...]
    """Empty: all."""
    created_at_ns: int
    expires_at_ns: int | None = None
    revoked_at_ns: int | None = None


class HashedKey(msgspec.Struct, frozen=True):
    """A key, and what a given secret is compared with."""

    record: KeyRecord
    salt: bytes
    hash: bytes


class ManifestKind(StrEnum):
    """What a client's manifest holds."""

    FULL = "FULL"
    """Everything."""
    INCREMENTAL = "INCREMENTAL"
    """What is added to the base version, or comes in the place of something there."""
    PATCH = "PATCH"
    """The same, from one of several writers."""


class DraftRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants to log."""

    type: str
    digest: str
    """As the client says; of a whole manifest it must be true."""
    description: str | None = None
    metadata: Metadata = {}
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    ttl_s: int | None = None
    run_id: str | None = None
    dedupe_all: bool = False
    client_id: str | None = None


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A version that a client is about to log."""

    id: str
    project: str
    name: str
    request: DraftRequest
    distributed_id: str | None = None
    touched_at_ns: int = 0
    """When something was last sent for it, by the catalog's clock; 0: it is being made."""


class ContentRecord(msgspec.Struct, frozen=True):
    """Stored content, found by its md5."""

    md5: bytes
    sha256: Digest
    size_bytes: int
    blocks: BlockList | None

    @property
    def blobs(self) -> tuple[Digest, ...]:
        """The blobs that it is made of."""
        return blobs_of(self.sha256, self.blocks)


class DraftManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest of a draft."""

    id: str
    draft_id: str
    kind: ManifestKind
    writer: str
    base_id: str | None
    content: ContentRecord | None = None
    """None before it is uploaded. Its md5 is not known here: it is empty."""


class Received(msgspec.Struct, frozen=True):
    """Content that came for a draft, or for a manifest of it."""

    content: ContentRecord
    draft_id: str
    manifest_id: str | None = None


class DraftGone(Exception):
    """There is no such draft (any more)."""


class ServingState(Protocol):
    """What servers over one store share. Every method is one transaction, and blocks."""

    def secret(self, fresh: bytes) -> bytes:
        """What links are signed with: `fresh` where there is none yet."""
        ...

    # --- keys ------------------------------------------------------------------------------

    def add_key(self, key: HashedKey) -> None:
        """Raises: Conflict where a key of this name is in use."""
        ...

    def keys(self) -> list[KeyRecord]:
        """All that were not revoked, by name."""
        ...

    def find_key(self, key_id: str) -> HashedKey | None:
        """The key that begins so, revoked ones included."""
        ...

    def lets_others_write(self) -> bool:
        """Whether a key that may write was made beside `OWN_KEY_NAME`, revoked ones included."""
        ...

    def revoke_key(self, name: str) -> KeyRecord:
        """Let a key count no more. Raises: PathNotFound."""
        ...

    # --- drafts ----------------------------------------------------------------------------

    def put_draft(self, draft: Draft) -> Draft:
        """Keep a draft; of several with one `distributed_id` the first."""
        ...

    def draft(self, draft_id: str) -> Draft | None:
        """The draft of this id."""
        ...

    def drop_draft(self, draft_id: str) -> None:
        """Forget a draft, its manifests and uploads."""
        ...

    def put_manifest(self, manifest: DraftManifest) -> None:
        """Keep a manifest in place of the one that its writer made before. Raises: DraftGone."""
        ...

    def set_manifest_base(self, manifest_id: str, base_id: str | None) -> DraftManifest | None:
        """Name the base of a manifest where one is given; the manifest."""
        ...

    def manifests(self, draft_id: str) -> list[DraftManifest]:
        """Those of a draft, in the order in which they are laid over each other."""
        ...

    def record_uploads(
        self,
        packs: Sequence[PackRecord],
        blobs: Sequence[BlobRecord],
        lost: Mapping[Digest, Digest | None],
        received: Sequence[Received],
        *,
        confirm: Confirm,
    ) -> set[str]:
        """Record what was stored for drafts; the ids of those that are gone, which get nothing.

        Raises: BlobsGone.
        """
        ...

    def claim(self, draft_id: str, known: Sequence[ContentRecord]) -> set[bytes]:
        """Keep stored content for a draft as well; the md5s of what could be kept.

        Raises: DraftGone.
        """
        ...

    def uploads(self, draft_id: str) -> dict[bytes, ContentRecord]:
        """What was uploaded and claimed for a draft, by md5."""
        ...

    def known(self, project: str, md5s: Sequence[bytes]) -> dict[bytes, tuple[ContentRecord, str]]:
        """Content that a version of the project holds still, and which one, by md5."""
        ...

    def remember(self, version_id: str, contents: Sequence[ContentRecord]) -> None:
        """Let what a version holds be `known` in its project."""
        ...

    def map_client_id(self, client_id: str, artifact_id: str) -> None:
        """Note which artifact a client means by an id of its own."""
        ...

    def mapped_client_id(self, client_id: str) -> str | None:
        """The artifact that a client means."""
        ...

    def drafted(self) -> set[Digest]:
        """The blobs that drafts need."""
        ...

    def expire_drafts(self, *, untouched_since_ns: int) -> int:
        """Forget drafts that nobody has gone on with, and what versions hold no more; how many."""
        ...
