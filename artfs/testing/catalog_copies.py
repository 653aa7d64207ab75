"""The part of the contract of catalogs about what is copied from another one."""

from __future__ import annotations

import msgspec
import pytest

from artfs.catalog.base import Catalog
from artfs.catalog.records import Origin, RunRecord
from artfs.errors import Conflict
from artfs.model import RunState
from artfs.testing.catalog_samples import commit, put


def origin(index: int | None, *, id: str = "ab" * 16) -> Origin:  # noqa: A002 - as the field
    """Where a version comes from."""
    return Origin(id=id, created_at_ns=5 * 10**18, index=index)


class CopiesContract:
    """What a copy keeps."""

    def test_a_copy_keeps_its_number_id_and_time(self, catalog: Catalog) -> None:
        copied = put(catalog, 7, origin=origin(7))
        assert (copied.index, copied.id) == (7, "ab" * 16)
        assert copied.created_at_ns == 5 * 10**18
        before = put(catalog, 3, origin=origin(3))
        assert (before.index, before.aliases, before.id != copied.id) == (3, (), True)
        assert put(catalog, 8).index == 8

    def test_a_copy_of_a_number_that_another_has_gets_the_next_one(self, catalog: Catalog) -> None:
        own = put(catalog, "own")
        assert put(catalog, "copied", origin=origin(0)).index == 1
        catalog.delete_version(own.id, delete_aliases=True)
        assert put(catalog, "more", origin=origin(0)).index == 2
        assert put(catalog, "far", origin=origin(2**31 - 1)).index == 3

    def test_a_copy_is_the_same_as_what_has_its_number_and_else_as_any(
        self, catalog: Catalog
    ) -> None:
        first = put(catalog, 1, origin=origin(0))
        second = put(catalog, 2, origin=origin(1))
        assert commit(catalog, 1, origin=origin(0)).version.id == first.id
        assert put(catalog, 1, origin=origin(2)).index == 2
        assert not commit(catalog, 2, origin=origin(0)).created
        assert commit(catalog, 2, origin=origin(None)).version.id == second.id

    def test_a_run_is_adopted_as_it_was_until_it_has_ended(self, catalog: Catalog) -> None:
        run = RunRecord("r1", "team", "n", "train", RunState.RUNNING, {"lr": 1}, 10**18, None)
        assert catalog.adopt_run(run, {"notes": "x"})
        assert catalog.run("r1") == msgspec.structs.replace(run, state=RunState.CRASHED)
        assert not catalog.adopt_run(run, {"notes": "x"})
        ended = msgspec.structs.replace(run, state=RunState.FINISHED, finished_at_ns=2 * 10**18)
        assert catalog.adopt_run(ended, {"notes": "y"})
        assert not catalog.adopt_run(run, {})
        assert catalog.run("r1") == ended
        assert catalog.run_details(["r1"]) == {"r1": {"notes": "y"}}
        with pytest.raises(Conflict):
            catalog.adopt_run(msgspec.structs.replace(run, created_at_ns=3), {})
