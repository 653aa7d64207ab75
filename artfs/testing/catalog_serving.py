"""The part of the contract of catalogs about what servers over one store share."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from artfs.catalog.base import Catalog
from artfs.catalog.records import BlobRecord, LeaseKind, PackRecord
from artfs.catalog.serving_records import (
    OWN_KEY_NAME,
    ContentRecord,
    Draft,
    DraftGone,
    DraftManifest,
    DraftRequest,
    HashedKey,
    KeyRecord,
    ManifestKind,
    Received,
)
from artfs.errors import Conflict, PathNotFound
from artfs.model import Metadata
from artfs.testing.catalog_samples import OpenCatalog, a_pack, digest_of, own_blobs, put

EVER_NS = 2**62


def a_key(name: str, number: int = 0, *, read_only: bool = True) -> HashedKey:
    """A key of two projects."""
    record = KeyRecord(
        id=f"key{number:05}",
        name=name,
        read_only=read_only,
        projects=("team", "other"),
        created_at_ns=0,
        expires_at_ns=EVER_NS,
    )
    return HashedKey(record, b"salt", bytes(32))


def a_draft(
    number: int = 1, *, metadata: Metadata | None = None, joint: str | None = None
) -> Draft:
    """A draft of `team/data`."""
    request = DraftRequest(
        type="dataset",
        digest="0" * 32,
        description="späť",
        metadata={} if metadata is None else metadata,
        aliases=("best",),
        tags=("t",),
        ttl_s=60,
        client_id="c",
    )
    return Draft(
        id=f"{number:032x}", project="team", name="data", request=request, distributed_id=joint
    )


def a_manifest(number: int, draft: Draft, writer: str = "run") -> DraftManifest:
    """One that is not uploaded yet."""
    return DraftManifest(
        id=f"{number:032x}",
        draft_id=draft.id,
        kind=ManifestKind.PATCH,
        writer=writer,
        base_id=None,
    )


def content_of(blob: BlobRecord) -> ContentRecord:
    """A blob as a client names it."""
    return ContentRecord(blob.sha256[:16], blob.sha256, blob.size_bytes, None)


def believe(_packs: Sequence[PackRecord], _blobs: Sequence[BlobRecord]) -> None:
    """Take what was stored for stored."""


class ServingContract:
    """Keys, drafts and uploads outlive the server that made them, and count for all others."""

    def test_the_secret_of_links_is_the_same_for_all_servers(
        self, catalog: Catalog, open_catalog: OpenCatalog
    ) -> None:
        assert catalog.serving.secret(b"first") == b"first"
        other = open_catalog()
        assert other.serving.secret(b"other") == b"first"
        other.close()

    def test_a_key_counts_until_it_is_revoked(self, catalog: Catalog) -> None:
        serving = catalog.serving
        serving.add_key(a_key("ada"))
        with pytest.raises(Conflict):
            serving.add_key(a_key("ada", 1))
        found = serving.find_key("key00000")
        assert found is not None
        assert (found.salt, found.hash) == (b"salt", bytes(32))
        assert found.record.projects == ("team", "other")
        assert found.record.read_only
        assert found.record.expires_at_ns == EVER_NS
        assert found.record.created_at_ns > 0
        assert serving.keys() == [found.record]
        assert serving.find_key("nobody00") is None
        assert serving.revoke_key("ada").revoked_at_ns is not None
        assert serving.keys() == []
        revoked = serving.find_key("key00000")
        assert revoked is not None
        assert revoked.record.revoked_at_ns is not None
        # The name is free again, the old key stays unknown.
        serving.add_key(a_key("ada", 1))
        assert serving.find_key("key00000") is None
        with pytest.raises(PathNotFound):
            serving.revoke_key("nobody")

    def test_that_somebody_else_could_write_is_remembered(self, catalog: Catalog) -> None:
        serving = catalog.serving
        serving.add_key(a_key(OWN_KEY_NAME, 0, read_only=False))
        serving.add_key(a_key("reader", 1))
        assert not serving.lets_others_write()
        serving.add_key(a_key("writer", 2, read_only=False))
        serving.revoke_key("writer")
        assert serving.lets_others_write()

    def test_a_draft_is_kept_as_it_was_said(self, catalog: Catalog) -> None:
        draft = a_draft(metadata={"nan": float("inf"), "deep": {"ä": [1, None]}})
        assert catalog.serving.put_draft(draft) == draft
        kept = catalog.serving.draft(draft.id)
        assert kept is not None
        assert kept.touched_at_ns > 0
        assert msgspec.structs.replace(kept, touched_at_ns=0) == draft
        catalog.serving.drop_draft(draft.id)
        assert catalog.serving.draft(draft.id) is None

    def test_writers_of_one_version_share_its_draft(self, catalog: Catalog) -> None:
        first = catalog.serving.put_draft(a_draft(1, joint="d"))
        assert catalog.serving.put_draft(a_draft(2, joint="d")).id == first.id
        assert catalog.serving.put_draft(a_draft(3, joint="e")).id != first.id

    def test_a_writer_s_manifest_comes_in_place_of_its_earlier_one(self, catalog: Catalog) -> None:
        serving = catalog.serving
        draft = serving.put_draft(a_draft())
        for number, writer in ((1, "a"), (2, "b"), (3, "a")):
            serving.put_manifest(a_manifest(number, draft, writer))
        assert [each.writer for each in serving.manifests(draft.id)] == ["b", "a"]
        changed = serving.set_manifest_base(f"{3:032x}", "f" * 32)
        assert changed is not None
        assert changed.base_id == "f" * 32
        assert serving.set_manifest_base("0" * 32, None) is None
        with pytest.raises(DraftGone):
            serving.put_manifest(a_manifest(4, a_draft(9)))

    def test_what_is_uploaded_is_a_draft_s_and_needed_until_it_is_dropped(
        self, catalog: Catalog
    ) -> None:
        serving = catalog.serving
        draft = serving.put_draft(a_draft())
        serving.put_manifest(a_manifest(1, draft))
        pack, (packed, sent) = a_pack("a", "manifest")
        lease = catalog.lease(LeaseKind.INTAKE)
        received = [
            Received(content_of(packed), draft.id),
            Received(content_of(packed), "e" * 32),
            Received(content_of(sent), draft.id, f"{1:032x}"),
        ]
        gone = serving.record_uploads([pack], [packed, sent], {}, received, confirm=believe)
        lease.release()
        assert gone == {"e" * 32}
        assert serving.uploads(draft.id) == {packed.sha256[:16]: content_of(packed)}
        (manifest,) = serving.manifests(draft.id)
        assert manifest.content is not None
        assert (manifest.content.sha256, manifest.content.size_bytes) == (sent.sha256, 10)
        assert serving.drafted() == {packed.sha256, sent.sha256}
        assert serving.expire_drafts(untouched_since_ns=0) == 0
        assert serving.expire_drafts(untouched_since_ns=EVER_NS) == 1
        assert serving.drafted() == set()
        assert serving.uploads(draft.id) == {}

    def test_what_the_store_has_is_claimed_and_what_it_has_not_is_sent(
        self, catalog: Catalog
    ) -> None:
        serving = catalog.serving
        draft = serving.put_draft(a_draft())
        stored, unknown = own_blobs("stored", "unknown")
        catalog.add_blobs([], [stored])
        both = [content_of(stored), content_of(unknown)]
        assert serving.claim(draft.id, both) == {stored.sha256[:16]}
        assert serving.claim(draft.id, [content_of(unknown)]) == set()
        assert serving.drafted() == {stored.sha256}
        with pytest.raises(DraftGone):
            serving.claim("e" * 32, both)

    def test_content_is_known_in_the_project_of_a_version_that_holds_it(
        self, catalog: Catalog
    ) -> None:
        serving = catalog.serving
        version = put(catalog, "one")
        other = put(catalog, "two", project="other")
        (blob,) = own_blobs("stored")
        content = content_of(blob)
        serving.remember(version.id, [content, content])
        assert serving.known("team", [content.md5, bytes(16)]) == {
            content.md5: (content, version.id)
        }
        assert serving.known("other", [content.md5]) == {}
        serving.remember(other.id, [content])
        catalog.delete_version(version.id, delete_aliases=True)
        assert serving.known("team", [content.md5]) == {}
        serving.expire_drafts(untouched_since_ns=0)
        assert serving.known("other", [content.md5]) == {content.md5: (content, other.id)}

    def test_an_id_of_a_client_s_own_leads_to_what_it_means_last(self, catalog: Catalog) -> None:
        serving = catalog.serving
        assert serving.mapped_client_id("c") is None
        for artifact_id in ("a" * 32, "b" * 32):
            serving.map_client_id("c", artifact_id)
        assert serving.mapped_client_id("c") == "b" * 32

    def test_a_draft_s_id_is_its_version_s(self, catalog: Catalog) -> None:
        version = put(catalog, "one", version_id="d" * 32, commit_key="k")
        assert version.id == "d" * 32
        assert catalog.committed_with("k") == version.id
        assert catalog.committed_with("other") is None
        catalog.link(version.id, "team", "folio", ["prod"])
        seen = catalog.memberships(version.id)
        assert [each.path for each in seen] == ["team/data:v0", "team/folio:v0"]
        assert [each.is_linked for each in seen] == [False, True]
        assert catalog.memberships(digest_of("none").hex()[:32]) == []
