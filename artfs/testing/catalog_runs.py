"""The part of the contract of catalogs about runs and lineage."""

from __future__ import annotations

import re

import pytest

from artfs.catalog.base import Catalog
from artfs.errors import RunNotFound, VersionNotFound
from artfs.model import RunState
from artfs.testing.catalog_samples import commit, put


class RunsContract:
    """Runs, what they used and what they made."""

    def test_a_run_starts_and_ends(self, catalog: Catalog) -> None:
        run = catalog.create_run("team", name="first", job_type="train", config={"lr": 0.1})
        assert re.fullmatch("[a-z0-9]{8}", run.id)
        assert (run.project, run.name, run.job_type) == ("team", "first", "train")
        assert (run.config, run.state) == ({"lr": 0.1}, RunState.RUNNING)
        assert run.finished_at_ns is None
        assert catalog.run(run.id) == run
        ended = catalog.finish_run(run.id, RunState.FAILED)
        assert ended.state is RunState.FAILED
        assert ended.finished_at_ns is not None
        assert ended.finished_at_ns >= run.created_at_ns
        assert catalog.projects()[0].artifact_count == 0

    def test_a_config_takes_further_values(self, catalog: Catalog) -> None:
        run = catalog.create_run("team", name=None, job_type=None, config={"lr": 0.1, "n": 1})
        catalog.configure_run(run.id, {"n": 2})
        catalog.configure_run(run.id, {"data": {"id": "x"}})
        assert catalog.run(run.id).config == {"lr": 0.1, "n": 2, "data": {"id": "x"}}
        with pytest.raises(RunNotFound):
            catalog.configure_run("nobody00", {"n": 1})

    def test_a_run_without_a_name_gets_one(self, catalog: Catalog) -> None:
        names = [
            catalog.create_run("team", name=None, job_type=None, config={}).name for _ in range(2)
        ]
        assert re.fullmatch("[a-z]+-[a-z]+-1", names[0])
        assert re.fullmatch("[a-z]+-[a-z]+-2", names[1])

    def test_runs_are_listed_newest_first(self, catalog: Catalog) -> None:
        ids = [
            catalog.create_run(project, name=None, job_type=None, config={}).id
            for project in ("a", "b", "a")
        ]
        assert [run.id for run in catalog.runs()] == ids[::-1]
        assert [run.id for run in catalog.runs(project="a")] == [ids[2], ids[0]]

    def test_unknown_runs_are_not_found(self, catalog: Catalog) -> None:
        version = put(catalog, 1)
        with pytest.raises(RunNotFound):
            catalog.run("nobody00")
        with pytest.raises(RunNotFound):
            catalog.finish_run("nobody00", RunState.FINISHED)
        with pytest.raises(RunNotFound):
            catalog.record_use("nobody00", version.id, use_as=None)

    def test_lineage_is_recorded_once(self, catalog: Catalog) -> None:
        first = catalog.create_run("team", name=None, job_type=None, config={})
        second = catalog.create_run("team", name=None, job_type=None, config={})
        data = put(catalog, 1, run_id=first.id, aliases=("best",))
        more = put(catalog, 2, run_id=first.id)
        assert not commit(catalog, 2, run_id=second.id).created
        for version in (more, data, more):
            catalog.record_use(second.id, version.id, use_as="input")
        catalog.record_use(first.id, data.id, use_as=None)
        assert [version.id for version in catalog.outputs_of(first.id)] == [data.id, more.id]
        assert [version.id for version in catalog.outputs_of(second.id)] == [more.id]
        assert [version.id for version in catalog.inputs_of(second.id)] == [more.id, data.id]
        assert catalog.inputs_of(second.id)[1].aliases == ("best",)
        assert [run.id for run in catalog.users_of(data.id)] == [first.id, second.id]
        assert catalog.users_of(more.id) == [second]
        assert catalog.maker_of(more.id) == first
        assert catalog.maker_of(put(catalog, 3).id) is None

    def test_a_run_cannot_use_what_never_was(self, catalog: Catalog) -> None:
        run = catalog.create_run("team", name=None, job_type=None, config={})
        with pytest.raises(VersionNotFound):
            catalog.record_use(run.id, "0" * 32, use_as=None)

    def test_lineage_outlives_a_version(self, catalog: Catalog) -> None:
        run = catalog.create_run("team", name=None, job_type=None, config={})
        version = put(catalog, 1, run_id=run.id)
        catalog.record_use(run.id, version.id, use_as=None)
        catalog.delete_version(version.id, delete_aliases=False)
        assert catalog.inputs_of(run.id)[0].path == "team/data:v0"
        assert catalog.outputs_of(run.id)[0].id == version.id
        assert catalog.maker_of(version.id) == run
