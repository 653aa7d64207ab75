"""The part of the contract of catalogs about who is at work, and what is left to them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest

from artfs.catalog.base import Catalog
from artfs.catalog.records import LeaseKind, VersionUpdate
from artfs.errors import RunNotFound, VersionNotFound
from artfs.model import RunState
from artfs.testing.catalog_samples import OpenCatalog, a_pack, digest_of, own_blobs, put

EVER_NS = 2**62
LONG_AGO_NS = 100


def hold_until_killed(open_catalog: OpenCatalog, held: Connection) -> None:
    """In a process of its own: be at work, as an intake and as a run."""
    catalog = open_catalog()
    lease = catalog.lease(LeaseKind.INTAKE)
    run = catalog.create_run("team", name="killed", job_type=None, config={})
    held.send((lease.id, run.id))
    held.recv()


class LeasesContract:
    """Nobody's content is doomed while he is at work; and who is gone is known to be."""

    @pytest.fixture
    def let_time_pass(self) -> Callable[[], None]:
        """Lets leases lapse that nobody renews; where locks tell, there is nothing to do."""
        return lambda: None

    def test_what_is_condemned_beside_a_lease_is_not_doomed_before_it_is_released(
        self, catalog: Catalog
    ) -> None:
        pack, packed = a_pack("a", "b")
        (blob,) = own_blobs("c")
        lease = catalog.lease(LeaseKind.INTAKE)
        catalog.add_blobs([pack], [*packed, blob], condemned_at_ns=LONG_AGO_NS)
        assert list(catalog.condemned(before_ns=EVER_NS, needed=False)) == []
        assert catalog.doom_blobs([blob.sha256], condemned_before_ns=EVER_NS) == []
        assert catalog.doom_packs([pack.sha256], condemned_before_ns=EVER_NS) == []
        lease.release()
        assert len(list(catalog.condemned(before_ns=EVER_NS, needed=False))) == 3
        assert catalog.doom_blobs([blob.sha256], condemned_before_ns=EVER_NS) == [blob]
        assert catalog.doom_packs([pack.sha256], condemned_before_ns=EVER_NS) == [pack]

    def test_a_lease_spares_what_it_reserves_and_nothing_else_that_was_condemned_before(
        self, catalog: Catalog
    ) -> None:
        mine, other, unknown = own_blobs("mine", "other", "unknown")
        catalog.add_blobs([], [mine, other], condemned_at_ns=LONG_AGO_NS)
        lease = catalog.lease(LeaseKind.INTAKE)
        reserved = catalog.reserve([mine.sha256, unknown.sha256])
        assert (reserved.found, reserved.doomed) == ({mine.sha256: mine}, ())
        # gc finds no use for it, as no version has it yet.
        catalog.condemn([mine.sha256], at_ns=LONG_AGO_NS)
        both = [mine.sha256, other.sha256]
        assert catalog.doom_blobs(both, condemned_before_ns=EVER_NS) == [other]
        reserved = catalog.reserve(both)
        assert (reserved.found, reserved.doomed) == ({mine.sha256: mine}, (other.sha256,))
        lease.release()
        catalog.condemn([mine.sha256], at_ns=LONG_AGO_NS)
        assert catalog.doom_blobs(both, condemned_before_ns=EVER_NS) == [mine]

    def test_a_pack_that_is_about_to_be_stored_again_is_not_doomed(self, catalog: Catalog) -> None:
        pack, _ = a_pack("a")
        gone, _ = a_pack("b")
        catalog.add_blobs([pack, gone], [], condemned_at_ns=LONG_AGO_NS)
        assert catalog.doom_packs([gone.sha256], condemned_before_ns=EVER_NS) == [gone]
        lease = catalog.lease(LeaseKind.INTAKE)
        wanted = [pack.sha256, gone.sha256, digest_of("unknown")]
        assert catalog.reserve([], packs=wanted).doomed == (gone.sha256,)
        assert catalog.doom_packs([pack.sha256], condemned_before_ns=EVER_NS) == []
        lease.release()
        assert catalog.doom_packs([pack.sha256], condemned_before_ns=EVER_NS) == [pack]

    def test_gc_dooms_nothing_that_was_condemned_after_it_began(self, catalog: Catalog) -> None:
        first, second = own_blobs("first", "second")
        catalog.add_blobs([], [first, second])
        catalog.condemn([first.sha256], at_ns=LONG_AGO_NS)
        lease = catalog.lease(LeaseKind.COLLECTION)
        catalog.condemn([second.sha256], at_ns=LONG_AGO_NS)
        both = [first.sha256, second.sha256]
        assert catalog.doom_blobs(both, condemned_before_ns=EVER_NS) == [first]
        lease.release()

    def test_a_clock_that_was_ahead_holds_nothing_back(self, catalog: Catalog) -> None:
        early, late = own_blobs("early", "late")
        catalog.add_blobs([], [early, late])
        catalog.condemn([early.sha256], at_ns=EVER_NS - 1)
        catalog.condemn([late.sha256], at_ns=LONG_AGO_NS)
        both = [early.sha256, late.sha256]
        assert len(catalog.doom_blobs(both, condemned_before_ns=LONG_AGO_NS + 1)) == 2

    def test_leases_are_listed_with_what_they_keep(self, catalog: Catalog) -> None:
        tree = digest_of("tree")
        leases = [
            catalog.lease(LeaseKind.STAGING, subject="area", tree=tree),
            catalog.lease(LeaseKind.INTAKE),
        ]
        found = catalog.leases()
        assert [(each.id, each.kind, each.tree, each.is_held) for each in found] == [
            (leases[0].id, LeaseKind.STAGING, tree, True),
            (leases[1].id, LeaseKind.INTAKE, None, True),
        ]
        assert found[0].subject == "area"
        assert f"process {os.getpid()}" in found[0].holder
        assert catalog.revoke_abandoned() == 0
        for lease in leases:
            lease.release()
            lease.release()
        assert catalog.leases() == []

    def test_a_process_that_is_killed_holds_nothing_and_its_runs_have_crashed(
        self, catalog: Catalog, open_catalog: OpenCatalog, let_time_pass: Callable[[], None]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=hold_until_killed, args=(open_catalog, theirs))
        process.start()
        lease_id, run_id = ours.recv()
        assert {each.id for each in catalog.leases() if each.is_held} >= {lease_id}
        assert catalog.run(run_id).state is RunState.RUNNING
        (blob,) = own_blobs("c")
        catalog.add_blobs([], [blob], condemned_at_ns=LONG_AGO_NS)
        assert catalog.doom_blobs([blob.sha256], condemned_before_ns=EVER_NS) == []
        process.kill()
        process.join()
        let_time_pass()
        assert [each.is_held for each in catalog.leases()] == [False, False]
        version = put(catalog, 1, run_id=run_id)
        catalog.record_use(run_id, version.id, use_as=None)
        assert catalog.run(run_id).state is RunState.CRASHED
        assert [run.state for run in catalog.runs()] == [RunState.CRASHED]
        assert [run.state for run in catalog.users_of(version.id)] == [RunState.CRASHED]
        maker = catalog.maker_of(version.id)
        assert maker is not None
        assert maker.state is RunState.CRASHED
        assert catalog.run(run_id).finished_at_ns is None
        assert catalog.doom_blobs([blob.sha256], condemned_before_ns=EVER_NS) == [blob]
        assert catalog.leases() == []
        # Whoever takes it up again, and ends it, is believed.
        assert catalog.join_run(run_id).state is RunState.RUNNING
        assert catalog.finish_run(run_id, RunState.FINISHED).state is RunState.FINISHED
        assert catalog.run(run_id).state is RunState.FINISHED

    def test_a_run_is_running_until_the_last_one_that_holds_it_is_gone(
        self, catalog: Catalog, open_catalog: OpenCatalog
    ) -> None:
        owner, child = open_catalog(), open_catalog()
        run = owner.create_run("team", name=None, job_type=None, config={})
        assert child.join_run(run.id).id == run.id
        owner.close()
        assert catalog.run(run.id).state is RunState.RUNNING
        child.close()
        assert catalog.run(run.id).state is RunState.CRASHED
        with pytest.raises(RunNotFound):
            catalog.join_run("nobody00")

    def test_a_forked_child_that_ends_takes_nothing_from_its_parent(self, catalog: Catalog) -> None:
        run = catalog.create_run("team", name=None, job_type=None, config={})
        lease = catalog.lease(LeaseKind.INTAKE)
        child = os.fork()
        if child == 0:
            lease.abandon()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert all(each.is_held for each in catalog.leases())
        assert catalog.run(run.id).state is RunState.RUNNING
        lease.release()
        catalog.finish_run(run.id, RunState.FINISHED)
        assert catalog.leases() == []

    def test_what_has_an_alias_or_is_linked_does_not_expire(self, catalog: Catalog) -> None:
        version = put(catalog, 1, aliases=("best",))
        put(catalog, 2)
        assert catalog.expire_version(version.id) == "it has the alias 'best'"
        catalog.link(version.id, "team", "models", ("one", "two"))
        assert catalog.expire_version(version.id) == "it has 3 aliases (best, one, two)"
        catalog.update_version(version.id, VersionUpdate(remove_aliases=("best",)))
        catalog.unlink(version.id, "team", "models")
        catalog.link(version.id, "team", "models", ())
        assert catalog.expire_version(version.id) == "it is linked into team/models"
        catalog.unlink(version.id, "team", "models")
        assert catalog.expire_version(version.id, dry_run=True) is None
        assert catalog.version("team", "data", "v0").id == version.id
        assert catalog.expire_version(version.id) is None
        with pytest.raises(VersionNotFound):
            catalog.version("team", "data", "v0")
        assert catalog.expire_version(version.id) is None
