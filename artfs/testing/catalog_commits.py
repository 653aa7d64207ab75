"""The part of the contract of catalogs about commits."""

from __future__ import annotations

import pytest

from artfs.catalog.base import BaseGone, Catalog
from artfs.catalog.blob_port import BlobsGone
from artfs.catalog.records import BlobRecord
from artfs.errors import AliasMoved, RunNotFound, VersionExists
from artfs.model import VersionState
from artfs.testing.catalog_samples import a_pack, commit, digest_of, own_blobs, put


class CommitContract:
    """What one commit does, and what it refuses."""

    def test_c1_version_numbers_are_dense(self, catalog: Catalog) -> None:
        assert [put(catalog, number).index for number in range(4)] == [0, 1, 2, 3]
        assert put(catalog, 0, name="other").index == 0

    def test_c2_a_commit_moves_latest_and_the_aliases_it_names(self, catalog: Catalog) -> None:
        first = put(catalog, 1, aliases=("best", "stays", "best"))
        second = put(catalog, 2, aliases=("best", "new"))
        assert second.aliases == ("best", "latest", "new")
        assert catalog.version_by_id(first.id).aliases == ("stays",)

    def test_c3_the_content_of_latest_makes_no_new_version(self, catalog: Catalog) -> None:
        run = catalog.create_run("team", name=None, job_type=None, config={})
        first = put(catalog, 1)
        again = commit(catalog, 1, aliases=("best",), run_id=run.id, blobs=own_blobs("orphan"))
        assert not again.created
        assert again.version.id == first.id
        assert again.version.aliases == ("best", "latest")
        assert [version.id for version in catalog.outputs_of(run.id)] == [first.id]
        assert catalog.totals().blobs == 0
        assert put(catalog, 2).index == 1

    def test_content_that_differs_in_modes_only_is_a_new_version(self, catalog: Catalog) -> None:
        first = put(catalog, 1)
        second = put(catalog, 1, content_digest="other")
        assert (second.index, second.digest) == (1, first.digest)

    def test_older_content_is_found_when_asked_for(self, catalog: Catalog) -> None:
        first = put(catalog, 1)
        second = put(catalog, 2)
        found = commit(catalog, 1, dedupe_all=True, aliases=("used",))
        assert (found.created, found.version.id) == (False, first.id)
        assert found.version.aliases == ("used",)
        assert catalog.version("team", "data", "latest").id == second.id
        assert put(catalog, 1).index == 2
        assert commit(catalog, 2, dedupe_all=True, content_digest="other").created

    def test_content_of_a_deleted_version_is_not_found(self, catalog: Catalog) -> None:
        first = put(catalog, 1)
        catalog.delete_version(first.id, delete_aliases=False)
        assert commit(catalog, 1, dedupe_all=True).version.index == 1

    def test_a_commit_with_the_same_key_answers_with_the_first_version(
        self, catalog: Catalog
    ) -> None:
        first = put(catalog, 1, commit_key="k", aliases=("best",))
        second = put(catalog, 2, commit_key="other", aliases=("best",))
        again = commit(catalog, 1, commit_key="k", aliases=("best",), reused=[digest_of("gone")])
        assert (again.created, again.version.id) == (False, first.id)
        assert catalog.version("team", "data", "best").id == second.id
        assert catalog.version("team", "data", "latest").id == second.id

    def test_the_key_of_a_commit_that_found_its_content_is_kept(self, catalog: Catalog) -> None:
        first = put(catalog, 1)
        commit(catalog, 1, commit_key="k")
        put(catalog, 2)
        assert commit(catalog, 1, commit_key="k").version.id == first.id

    def test_a_key_outlives_its_version(self, catalog: Catalog) -> None:
        first = put(catalog, 1, commit_key="k")
        catalog.delete_version(first.id, delete_aliases=True)
        again = commit(catalog, 1, commit_key="k")
        assert not again.created
        assert (again.version.id, again.version.state) == (first.id, VersionState.DELETED)

    def test_an_artifact_keeps_its_type(self, catalog: Catalog) -> None:
        put(catalog, 1)
        with pytest.raises(VersionExists, match=r"'dataset'.*'model'"):
            commit(catalog, 2, type="model")
        assert catalog.artifact("team", "data").version_count == 1

    def test_latest_must_be_the_expected_one(self, catalog: Catalog) -> None:
        first = put(catalog, 1, expect_latest="")
        with pytest.raises(AliasMoved, match="team/data:latest"):
            commit(catalog, 2, expect_latest="")
        second = put(catalog, 2, expect_latest=first.id)
        with pytest.raises(AliasMoved):
            commit(catalog, 3, expect_latest=first.id)
        catalog.delete_version(second.id, delete_aliases=False)
        put(catalog, 3, expect_latest=first.id)

    def test_what_fails_leaves_nothing(self, catalog: Catalog) -> None:
        pack, blobs = a_pack("a")
        for changes in (
            {"reused": [digest_of("unknown")]},
            {"base_ids": ("0" * 32,)},
            {"run_id": "nobody00"},
        ):
            with pytest.raises((BlobsGone, BaseGone, RunNotFound)):
                commit(catalog, 1, packs=[pack], blobs=blobs, commit_key="k", **changes)
        assert catalog.projects() == []
        assert catalog.locate([blobs[0].sha256]) == {}
        assert list(catalog.packs()) == []
        assert put(catalog, 1, commit_key="k").index == 0

    def test_a_base_must_be_there(self, catalog: Catalog) -> None:
        bases = [put(catalog, number) for number in range(3)]
        ids = tuple(base.id for base in bases)
        put(catalog, 3, base_ids=(*ids, ids[0]))
        catalog.delete_version(bases[1].id, delete_aliases=False)
        with pytest.raises(BaseGone):
            commit(catalog, 4, base_ids=ids)

    def test_blobs_that_are_reused_must_be_there(self, catalog: Catalog) -> None:
        pack, blobs = a_pack(*range(2500))
        put(catalog, 1, packs=[pack], blobs=blobs)
        known = [blob.sha256 for blob in blobs]
        put(catalog, 2, reused=[*known, known[0]])
        missing = [digest_of("x"), digest_of("y")]
        with pytest.raises(BlobsGone) as caught:
            commit(catalog, 3, reused=[missing[0], *known, missing[1]])
        assert sorted(caught.value.missing) == sorted(missing)
        assert catalog.version("team", "data", "latest").index == 1

    def test_blobs_are_located_where_they_were_stored_first(self, catalog: Catalog) -> None:
        pack, packed = a_pack("a", "b")
        other_pack, others = a_pack("b", "c")
        own = own_blobs("large")
        put(catalog, 1, packs=[pack], blobs=[*packed, *own])
        put(catalog, 2, packs=[other_pack], blobs=[*others, *own])
        wanted = [digest_of(content) for content in ("a", "b", "c", "large", "unknown")]
        found = catalog.locate([*wanted, wanted[0]])
        assert found == {blob.sha256: blob for blob in [*packed, others[1], *own]}
        assert catalog.locate([]) == {}
        assert list(catalog.packs()) == [pack, other_pack]
        assert list(catalog.blobs()) == [*own, *packed, others[1]]
        totals = catalog.totals()
        assert (totals.projects, totals.artifacts, totals.versions) == (1, 1, 2)
        assert (totals.blobs, totals.blob_bytes) == (4, 2**33 + 30)
        assert (totals.packs, totals.pack_bytes) == (2, 40)

    def test_a_blob_may_be_in_a_pack_that_is_known(self, catalog: Catalog) -> None:
        pack, (first, second) = a_pack("a", "b")
        catalog.add_blobs([pack], [first])
        put(catalog, 1, blobs=[second])
        assert catalog.locate([second.sha256]) == {second.sha256: second}
        _, unknown = a_pack("c")
        with pytest.raises(BlobsGone) as caught:
            commit(catalog, 2, blobs=unknown)
        assert caught.value.packs == (unknown[0].pack,)

    def test_many_blobs_are_listed_in_order(self, catalog: Catalog) -> None:
        pack, packed = a_pack(*range(10_500))
        own = own_blobs(*(("own", number) for number in range(10_500)))
        catalog.add_blobs([pack], [*packed[::-1], *own])
        own.sort(key=lambda blob: blob.sha256)
        assert list(catalog.blobs()) == [*own, *packed]
        assert len(catalog.locate([blob.sha256 for blob in [*own, *packed]])) == 21_000

    @pytest.mark.parametrize("created", [True, False])
    def test_blobs_that_were_lost_get_the_places_of_those_stored_anew(
        self, catalog: Catalog, created: bool
    ) -> None:
        pack, [one, two, three] = a_pack("one", "two", "three")
        own = BlobRecord(digest_of("own"), 10, None, 0)
        put(catalog, 1, packs=[pack], blobs=[one, two, three, own])
        other, [new_two, new_own, new_one] = a_pack("two", "own", "one")
        # Of `two` somebody else knows better: it is not where it was lost.
        lost = {one.sha256: pack.sha256, two.sha256: digest_of("gone"), own.sha256: None}
        outcome = commit(
            catalog,
            2 if created else 1,
            packs=[other],
            blobs=[new_one, new_two, new_own],
            lost=lost,
        )
        assert outcome.created is created
        moved = BlobRecord(own.sha256, own.size_bytes, other.sha256, new_own.offset)
        wanted = [one.sha256, two.sha256, three.sha256, own.sha256]
        assert catalog.locate(wanted) == {
            one.sha256: new_one,
            two.sha256: two,
            three.sha256: three,
            own.sha256: moved,
        }
        assert list(catalog.packs(only=[other.sha256, digest_of("none")])) == [other]

    def test_damaged_blobs_are_forgotten_where_they_were_seen(self, catalog: Catalog) -> None:
        pack, [one, two, three] = a_pack("one", "two", "three")
        [own] = own_blobs("own")
        put(catalog, 1, packs=[pack], blobs=[one, two, three, own])
        elsewhere = BlobRecord(two.sha256, two.size_bytes, pack.sha256, two.offset + 1)
        assert catalog.forget([one, elsewhere, own]) == 1
        assert set(catalog.locate([b.sha256 for b in (one, two, three, own)])) == {
            two.sha256,
            three.sha256,
            own.sha256,
        }
        again, [new_one] = a_pack("one")
        put(catalog, 2, packs=[again], blobs=[new_one])
        assert catalog.locate([one.sha256]) == {one.sha256: new_one}
