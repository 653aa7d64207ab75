"""The part of the contract of catalogs about garbage."""

from __future__ import annotations

import pytest

from artfs.catalog.base import Catalog
from artfs.catalog.blob_port import BlobsGone
from artfs.catalog.records import BlobRecord, PackRecord
from artfs.errors import BackendUnavailable
from artfs.model import ByteRange, Digest
from artfs.testing.catalog_samples import a_pack, commit, digest_of, own_blobs, put

LONG_AGO_NS = 100
LATER_NS = 200


def condemned(catalog: Catalog, before_ns: int = LATER_NS) -> list[BlobRecord]:
    """What is condemned, as a list."""
    return list(catalog.condemned(before_ns=before_ns))


class GarbageContract:
    """Condemned blobs can be saved, doomed ones cannot, and nothing falls in between."""

    def test_the_contents_of_a_pack_are_told_by_where_they_begin(self, catalog: Catalog) -> None:
        pack = PackRecord(digest_of("pack"), 1000)
        blobs = [BlobRecord(digest_of(n), 100, pack.sha256, n * 100) for n in range(10)]
        catalog.add_blobs([pack], [*blobs, BlobRecord(digest_of("own"), 5, None, 0)])
        assert catalog.pack_contents(pack.sha256, ByteRange(0, 1000)) == blobs
        assert catalog.pack_contents(pack.sha256, ByteRange(101, 199)) == blobs[2:3]
        assert catalog.pack_contents(pack.sha256, ByteRange(300, 101)) == blobs[3:5]
        assert catalog.pack_contents(digest_of("other"), ByteRange(0, 1000)) == []

    def test_blobs_are_condemned_and_pardoned(self, catalog: Catalog) -> None:
        one, two, three = own_blobs(1, 2, 3)
        catalog.add_blobs([], [one, two, three])
        catalog.condemn([one.sha256, two.sha256, digest_of("unknown")], at_ns=LONG_AGO_NS)
        catalog.condemn([two.sha256, three.sha256], at_ns=LONG_AGO_NS + 1)
        assert condemned(catalog, LONG_AGO_NS) == []
        assert set(condemned(catalog, LONG_AGO_NS + 1)) == {one, two}
        assert condemned(catalog)[2] == three
        assert catalog.pardon([one.sha256, digest_of("unknown")]) == 1
        assert set(condemned(catalog)) == {two, three}
        assert len(list(catalog.blobs())) == 3

    def test_many_condemned_blobs_are_listed(self, catalog: Catalog) -> None:
        blobs = own_blobs(*range(20_500))
        catalog.add_blobs([], blobs, condemned_at_ns=LONG_AGO_NS)
        found = condemned(catalog)
        assert len(found) == len(blobs)
        assert set(found) == set(blobs)

    @pytest.mark.parametrize("how", ["reused", "stored"])
    def test_a_commit_saves_condemned_blobs(self, catalog: Catalog, how: str) -> None:
        pack, blobs = a_pack("a", "b")
        put(catalog, 1, packs=[pack], blobs=blobs)
        catalog.condemn([blob.sha256 for blob in blobs], at_ns=LONG_AGO_NS)
        if how == "reused":
            put(catalog, 2, reused=[blobs[0].sha256])
        else:
            other_pack, others = a_pack("a", "c")
            put(catalog, 2, packs=[other_pack], blobs=others)
        assert condemned(catalog) == [blobs[1]]
        assert catalog.doom_packs([pack.sha256], condemned_before_ns=LATER_NS) == []
        assert catalog.locate([blobs[0].sha256]) == {blobs[0].sha256: blobs[0]}

    def test_only_what_is_condemned_for_long_is_doomed(self, catalog: Catalog) -> None:
        old, young, wanted, packed = own_blobs("old", "young", "wanted", "packed")
        pack, in_pack = a_pack("packed")
        catalog.add_blobs([pack], [old, young, wanted, *in_pack])
        catalog.condemn([old.sha256, packed.sha256], at_ns=LONG_AGO_NS)
        catalog.condemn([young.sha256], at_ns=LATER_NS)
        everything = [blob.sha256 for blob in (old, young, wanted, packed)]
        assert catalog.doom_blobs(everything, condemned_before_ns=LATER_NS) == [old]
        assert catalog.doom_blobs(everything, condemned_before_ns=LATER_NS) == []
        assert condemned(catalog) == in_pack
        assert catalog.pardon([old.sha256]) == 0

    def test_a_doomed_blob_is_known_but_cannot_be_relied_on(self, catalog: Catalog) -> None:
        (blob,) = own_blobs("large")
        put(catalog, 1, blobs=[blob])
        catalog.condemn([blob.sha256], at_ns=LONG_AGO_NS)
        catalog.doom_blobs([blob.sha256], condemned_before_ns=LATER_NS)
        assert catalog.locate([blob.sha256]) == {blob.sha256: blob}
        for changes in ({"reused": [blob.sha256]}, {"blobs": [blob]}):
            with pytest.raises(BlobsGone) as caught:
                commit(catalog, 2, **changes)
            assert caught.value.missing == (blob.sha256,)
        deleted: list[BlobRecord | PackRecord] = []
        assert catalog.sweep(deleted.append, only=[blob.sha256]) == 1
        assert deleted == [blob]
        assert catalog.locate([blob.sha256]) == {}
        put(catalog, 2, blobs=[blob])
        assert catalog.sweep(deleted.append) == 0

    def test_a_pack_is_doomed_when_nothing_in_it_is_wanted(self, catalog: Catalog) -> None:
        pack, blobs = a_pack("a", "b")
        catalog.add_blobs([pack], blobs)
        wanted = [pack.sha256, digest_of("unknown")]
        assert catalog.doom_packs(wanted, condemned_before_ns=LATER_NS) == []
        catalog.condemn([blobs[0].sha256], at_ns=LONG_AGO_NS)
        assert catalog.doom_packs(wanted, condemned_before_ns=LATER_NS) == []
        catalog.condemn([blobs[1].sha256], at_ns=LATER_NS)
        assert catalog.doom_packs(wanted, condemned_before_ns=LATER_NS) == []
        assert catalog.doom_packs(wanted, condemned_before_ns=LATER_NS + 1) == [pack]
        assert catalog.doom_packs(wanted, condemned_before_ns=LATER_NS + 1) == []

    def test_a_doomed_pack_and_its_blobs_cannot_be_relied_on(self, catalog: Catalog) -> None:
        pack, blobs = a_pack("a", "b")
        catalog.add_blobs([pack], blobs, condemned_at_ns=LONG_AGO_NS)
        assert catalog.doom_packs([pack.sha256], condemned_before_ns=LATER_NS) == [pack]
        with pytest.raises(BlobsGone) as caught:
            commit(catalog, 1, reused=[blobs[0].sha256])
        assert caught.value.missing == (blobs[0].sha256,)
        with pytest.raises(BlobsGone) as caught:
            commit(catalog, 1, packs=[pack], blobs=blobs)
        assert caught.value.packs == (pack.sha256,)
        other, others = a_pack("b", "c")
        with pytest.raises(BlobsGone) as caught:
            commit(catalog, 1, packs=[other], blobs=others)
        assert caught.value.missing == (blobs[1].sha256,)
        deleted: list[BlobRecord | PackRecord] = []
        assert catalog.sweep(deleted.append, only=[blobs[0].sha256]) == 1
        assert deleted == [pack]
        put(catalog, 1, packs=[pack], blobs=blobs)
        assert set(catalog.locate([blob.sha256 for blob in blobs]).values()) == set(blobs)

    def test_a_pack_without_blobs_can_go_after_its_time(self, catalog: Catalog) -> None:
        pack, blobs = a_pack("a")
        other, others = a_pack("a", "b")
        catalog.add_blobs([other], others)
        catalog.add_blobs([pack], blobs, condemned_at_ns=LATER_NS)
        assert catalog.doom_packs([pack.sha256], condemned_before_ns=LATER_NS) == []
        assert catalog.doom_packs([pack.sha256], condemned_before_ns=LATER_NS + 1) == [pack]
        assert catalog.locate([others[0].sha256]) == {others[0].sha256: others[0]}

    def test_an_orphan_that_a_commit_names_is_wanted(self, catalog: Catalog) -> None:
        pack, blobs = a_pack("a")
        catalog.add_blobs([pack], blobs, condemned_at_ns=LONG_AGO_NS)
        put(catalog, 1, packs=[pack], blobs=blobs)
        assert condemned(catalog) == []
        assert catalog.doom_packs([pack.sha256], condemned_before_ns=LATER_NS) == []

    def test_adopting_orphans_condemns_nothing_that_is_known(self, catalog: Catalog) -> None:
        pack, blobs = a_pack("a", "b")
        put(catalog, 1, packs=[pack], blobs=blobs[:1])
        catalog.add_blobs([pack], blobs, condemned_at_ns=LONG_AGO_NS)
        assert condemned(catalog) == [blobs[1]]

    def test_blobs_move_to_another_pack(self, catalog: Catalog) -> None:
        pack, (first, dead, second) = a_pack("a", "dead", "b")
        put(catalog, 1, packs=[pack], blobs=[first, dead, second])
        catalog.condemn([dead.sha256], at_ns=LONG_AGO_NS)
        target, moved = a_pack("b", "a", "elsewhere")
        elsewhere = own_blobs("elsewhere")
        catalog.add_blobs([], elsewhere)
        assert catalog.move_blobs(pack.sha256, target, moved) == 2
        found = catalog.locate([blob.sha256 for blob in moved])
        assert set(found.values()) == {*moved[:2], *elsewhere}
        assert catalog.doom_packs([pack.sha256, target.sha256], condemned_before_ns=LATER_NS) == [
            pack
        ]
        assert catalog.sweep(lambda _: None) == 1
        assert catalog.locate([dead.sha256]) == {}
        assert list(catalog.packs()) == [target]
        with pytest.raises(BlobsGone):
            catalog.move_blobs(pack.sha256, target, moved)

    def test_a_sweep_that_fails_is_taken_up_again(self, catalog: Catalog) -> None:
        blobs = own_blobs(*range(100))
        pack, packed = a_pack("a", "b")
        catalog.add_blobs([pack], [*blobs, *packed], condemned_at_ns=LONG_AGO_NS)
        catalog.doom_blobs([blob.sha256 for blob in blobs], condemned_before_ns=LATER_NS)
        catalog.doom_packs([pack.sha256], condemned_before_ns=LATER_NS)
        deleted: set[Digest] = set()

        def delete(found: BlobRecord | PackRecord) -> None:
            if len(deleted) == 90:
                raise BackendUnavailable("objects", "out of order")
            deleted.add(found.sha256)

        with pytest.raises(BackendUnavailable, match="out of order"):
            catalog.sweep(delete)
        known = {blob.sha256 for blob in catalog.blobs()} | {
            each.sha256 for each in catalog.packs()
        }
        assert known | deleted == {pack.sha256, *(blob.sha256 for blob in [*blobs, *packed])} - (
            {blob.sha256 for blob in packed} if pack.sha256 in deleted else set()
        )
        again: list[Digest] = []
        catalog.sweep(lambda found: again.append(found.sha256))
        assert deleted | set(again) == {pack.sha256, *(blob.sha256 for blob in blobs)}
        assert list(catalog.blobs()) == []
        assert list(catalog.packs()) == []
