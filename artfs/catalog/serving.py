"""What servers over one store share, in the catalog's database: implements ServingState."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from artfs.catalog import drafts, keys
from artfs.catalog.blob_port import Confirm
from artfs.catalog.engine import Database
from artfs.catalog.records import BlobRecord, PackRecord
from artfs.catalog.serving_records import (
    ContentRecord,
    Draft,
    DraftManifest,
    HashedKey,
    KeyRecord,
    Received,
)
from artfs.model import Digest


class SqlServingState:
    """`ServingState` in an SQL database; safe for threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def secret(self, fresh: bytes) -> bytes:
        # A store that can only be read can be served.
        with self._database.reading() as connection:
            kept = keys.kept_secret(connection, len(fresh))
        if kept is not None:
            return kept
        return self._database.write(lambda connection: keys.secret(connection, fresh))

    # --- keys ------------------------------------------------------------------------------

    def add_key(self, key: HashedKey) -> None:
        self._database.write(lambda connection: keys.add_key(connection, key))

    def keys(self) -> list[KeyRecord]:
        with self._database.reading() as connection:
            return keys.list_keys(connection)

    def find_key(self, key_id: str) -> HashedKey | None:
        with self._database.reading() as connection:
            return keys.find_key(connection, key_id)

    def lets_others_write(self) -> bool:
        with self._database.reading() as connection:
            return keys.lets_others_write(connection)

    def revoke_key(self, name: str) -> KeyRecord:
        return self._database.write(lambda connection: keys.revoke_key(connection, name))

    # --- drafts ----------------------------------------------------------------------------

    def put_draft(self, draft: Draft) -> Draft:
        return self._database.write(lambda connection: drafts.put_draft(connection, draft))

    def draft(self, draft_id: str) -> Draft | None:
        with self._database.reading() as connection:
            return drafts.find_draft(connection, draft_id)

    def drop_draft(self, draft_id: str) -> None:
        self._database.write(lambda connection: drafts.drop_drafts(connection, [draft_id]))

    def put_manifest(self, manifest: DraftManifest) -> None:
        self._database.write(lambda connection: drafts.put_manifest(connection, manifest))

    def set_manifest_base(self, manifest_id: str, base_id: str | None) -> DraftManifest | None:
        return self._database.write(
            lambda connection: drafts.set_manifest_base(connection, manifest_id, base_id)
        )

    def manifests(self, draft_id: str) -> list[DraftManifest]:
        with self._database.reading() as connection:
            return drafts.list_manifests(connection, draft_id)

    def record_uploads(
        self,
        packs: Sequence[PackRecord],
        blobs: Sequence[BlobRecord],
        lost: Mapping[Digest, Digest | None],
        received: Sequence[Received],
        *,
        confirm: Confirm,
    ) -> set[str]:
        return self._database.write(
            lambda connection: drafts.record_uploads(
                connection, packs, blobs, lost, received, confirm
            )
        )

    def claim(self, draft_id: str, known: Sequence[ContentRecord]) -> set[bytes]:
        return self._database.write(lambda connection: drafts.claim(connection, draft_id, known))

    def uploads(self, draft_id: str) -> dict[bytes, ContentRecord]:
        with self._database.reading() as connection:
            return drafts.list_uploads(connection, draft_id)

    def known(self, project: str, md5s: Sequence[bytes]) -> dict[bytes, tuple[ContentRecord, str]]:
        with self._database.reading() as connection:
            return drafts.known(connection, project, md5s)

    def remember(self, version_id: str, contents: Sequence[ContentRecord]) -> None:
        self._database.write(lambda connection: drafts.remember(connection, version_id, contents))

    def map_client_id(self, client_id: str, artifact_id: str) -> None:
        self._database.write(
            lambda connection: keys.map_client_id(connection, client_id, artifact_id)
        )

    def mapped_client_id(self, client_id: str) -> str | None:
        with self._database.reading() as connection:
            return keys.mapped_client_id(connection, client_id)

    def drafted(self) -> set[Digest]:
        with self._database.reading() as connection:
            return drafts.drafted(connection)

    def expire_drafts(self, *, untouched_since_ns: int) -> int:
        return self._database.write(
            lambda connection: drafts.expire_drafts(connection, untouched_since_ns),
            frees_space=True,
        )
