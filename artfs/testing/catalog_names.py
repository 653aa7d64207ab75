"""The part of the contract of catalogs about reading names."""

from __future__ import annotations

import math
import re
import time

import pytest

from artfs.catalog.base import Catalog
from artfs.catalog.records import RunChange
from artfs.errors import (
    AliasNotFound,
    ArtifactNotFound,
    Conflict,
    NotFound,
    RunNotFound,
    VersionNotFound,
)
from artfs.model import RunState, VersionState
from artfs.testing.catalog_samples import a_commit, commit, digest_of, put


class NamesContract:
    """Projects, artifacts, versions and the ways to select one."""

    def test_a_new_catalog_is_empty(self, catalog: Catalog) -> None:
        assert catalog.projects() == []
        assert catalog.artifacts() == []
        assert catalog.runs() == []
        assert list(catalog.live_trees()) == []
        assert catalog.totals().versions == 0

    def test_a_version_says_all_that_was_committed(self, catalog: Catalog) -> None:
        before_ns = time.time_ns()
        version = put(
            catalog,
            "one",
            description="Grüße\nzwei",
            metadata={"accuracy": 0.9, "nested": {"list": [1, None, "ü"]}, "big": 2**60},
            aliases=("best", "a b"),
            tags=("t2", "t1"),
            ttl_s=60,
            size_bytes=2**41,
            file_count=2**33,
        )
        assert (version.path, version.version, version.index) == ("team/data:v0", "v0", 0)
        assert version.source_project == "team"
        assert version.source_name == "data"
        assert version.source_index == 0
        assert version.state is VersionState.COMMITTED
        assert version.type == "dataset"
        assert version.description == "Grüße\nzwei"
        assert version.metadata["nested"] == {"list": [1, None, "ü"]}
        assert version.metadata["big"] == 2**60
        assert version.aliases == ("a b", "best", "latest")
        assert version.tags == ("t1", "t2")
        assert version.ttl_s == 60
        assert (version.size_bytes, version.file_count) == (2**41, 2**33)
        assert version.tree == digest_of(("tree", "one"))
        assert version.digest == a_commit("one").digest
        assert before_ns <= version.created_at_ns <= time.time_ns()
        assert len(bytes.fromhex(version.id)) == 16
        assert catalog.version_by_id(version.id) == version
        assert catalog.version("team", "data", "v0") == version

    def test_metadata_may_hold_what_json_does_not(self, catalog: Catalog) -> None:
        put(catalog, "one", metadata={"loss": math.nan, "bound": math.inf, "text": "\0\ud800"})
        found = catalog.version("team", "data", "v0").metadata
        assert math.isnan(found["loss"])
        assert found["bound"] == math.inf
        assert found["text"] == "\0\ud800"

    def test_projects_are_listed_by_name_with_their_artifacts_counted(
        self, catalog: Catalog
    ) -> None:
        for project, name in [("b", "x"), ("a", "x"), ("b", "y"), ("B", "x"), ("_", "x")]:
            put(catalog, "one", project=project, name=name)
        counts = [(project.name, project.artifact_count) for project in catalog.projects()]
        assert counts == [("B", 1), ("_", 1), ("a", 1), ("b", 2)]

    def test_artifacts_are_listed_with_their_newest_version(self, catalog: Catalog) -> None:
        put(catalog, 1, name="b")
        newest = put(catalog, 2, name="b", aliases=("best",))
        put(catalog, 1, name="a", type="model")
        put(catalog, 1, project="other", name="c")
        records = catalog.artifacts()
        assert [record.path for record in records] == ["other/c", "team/a", "team/b"]
        assert records[2].version_count == 2
        assert records[2].latest == newest
        assert newest.aliases == ("best", "latest")
        assert not records[2].is_portfolio
        assert catalog.artifact("team", "b") == records[2]
        assert [each.path for each in catalog.artifacts(project="team")] == ["team/a", "team/b"]
        assert [each.path for each in catalog.artifacts(type_name="model")] == ["team/a"]
        assert catalog.artifacts(project="team", type_name="model")[0].version_count == 1
        assert catalog.artifacts(project="nobody") == []

    def test_projects_and_artifacts_know_when_they_were_made(self, catalog: Catalog) -> None:
        before_ns = time.time_ns()
        put(catalog, "one")
        project_ns, artifact_ns = catalog.made_at_ns("team", "data")
        assert before_ns <= project_ns <= artifact_ns <= time.time_ns()
        put(catalog, "two", name="other")
        assert catalog.made_at_ns("team", "other")[0] == project_ns
        for nowhere in (("team", "absent"), ("absent", "data")):
            with pytest.raises(ArtifactNotFound):
                catalog.made_at_ns(*nowhere)

    def test_versions_are_listed_newest_first_and_in_pages(self, catalog: Catalog) -> None:
        for number in range(5):
            put(catalog, number, aliases=(f"n{number}",), tags=(f"t{number}",))
        artifact = catalog.artifact("team", "data")
        found = catalog.versions(artifact.id)
        assert [version.index for version in found] == [4, 3, 2, 1, 0]
        assert [version.aliases for version in found][:2] == [("latest", "n4"), ("n3",)]
        assert [version.tags for version in found][:2] == [("t4",), ("t3",)]
        page = catalog.versions(artifact.id, before_index=4, limit=2)
        assert [version.index for version in page] == [3, 2]
        assert catalog.versions(artifact.id, before_index=0) == []

    def test_a_version_is_selected_by_number_alias_or_digest(self, catalog: Catalog) -> None:
        first = put(catalog, "same", aliases=("best",))
        second = put(catalog, "other")
        third = put(catalog, "same")
        assert catalog.version("team", "data", "v1").id == second.id
        assert catalog.version("team", "data", "best").id == first.id
        assert catalog.version("team", "data", "latest") == third
        assert catalog.version("team", "data", first.digest) == third

    def test_an_alias_spelled_like_a_digest_is_an_alias(self, catalog: Catalog) -> None:
        digest = a_commit("second").digest
        first = put(catalog, "first", aliases=(digest,))
        put(catalog, "second")
        assert catalog.version("team", "data", digest).id == first.id

    @pytest.mark.parametrize(
        ("selector", "kind"),
        [
            ("v1", VersionNotFound),
            ("v99999999999999999999999", VersionNotFound),
            ("nonsense", AliasNotFound),
            ("LATEST", AliasNotFound),
            ("0" * 32, VersionNotFound),
        ],
    )
    def test_what_selects_nothing_is_not_found(
        self, catalog: Catalog, selector: str, kind: type[NotFound]
    ) -> None:
        put(catalog, "one")
        with pytest.raises(kind, match=f"team/data:{selector}"):
            catalog.version("team", "data", selector)

    def test_unknown_names_are_not_found(self, catalog: Catalog) -> None:
        put(catalog, "one")
        for project, name in [("team", "other"), ("other", "data"), ("TEAM", "data")]:
            with pytest.raises(ArtifactNotFound, match=f"{project}/{name}"):
                catalog.artifact(project, name)
            with pytest.raises(ArtifactNotFound):
                catalog.version(project, name, "latest")
        with pytest.raises(VersionNotFound):
            catalog.version_by_id("0" * 32)
        with pytest.raises(VersionNotFound):
            catalog.version_by_id("no id at all")

    def test_names_differ_in_case(self, catalog: Catalog) -> None:
        put(catalog, "one", name="data")
        assert put(catalog, "one", name="DATA").index == 0
        assert [each.name for each in catalog.artifacts()] == ["DATA", "data"]


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

    def test_a_run_is_called_as_its_maker_says_unless_another_is(self, catalog: Catalog) -> None:
        name = "ü" * 64
        run = catalog.create_run("team", name=None, job_type=None, config={}, run_id=name)
        assert (run.id, catalog.run(name)) == (name, run)
        with pytest.raises(Conflict):
            catalog.create_run("other", name=None, job_type=None, config={}, run_id=name)

    def test_what_a_run_is_can_be_said_again(self, catalog: Catalog) -> None:
        run = catalog.create_run("team", name="a", job_type="train", config={"lr": 1})
        assert catalog.change_run(run.id, RunChange()) == run
        changed = catalog.change_run(run.id, RunChange(name="b", job_type=None, config={"n": 2}))
        assert (changed.name, changed.job_type, changed.config) == ("b", None, {"n": 2})
        assert catalog.run(run.id) == changed
        with pytest.raises(RunNotFound):
            catalog.change_run("nobody00", RunChange(name="b"))

    def test_what_a_run_says_of_itself_is_kept_and_copied(self, catalog: Catalog) -> None:
        run = catalog.create_run("team", name=None, job_type=None, config={})
        before = catalog.changes()
        assert catalog.run_details([run.id]) == {}
        catalog.describe_run(run.id, {"tags": ["a"], "notes": "n"})
        catalog.describe_run(run.id, {"notes": "ü", "summary": {"loss": 0.5}})
        said = {"tags": ["a"], "notes": "ü", "summary": {"loss": 0.5}}
        assert catalog.run_details([run.id, "nobody00"]) == {run.id: said}
        catalog.describe_run(run.id, {"acc": 1, "loss": 0.4}, within="summary")
        catalog.describe_run(run.id, {"best": 2}, within="summary", without=["acc"])
        catalog.describe_run(run.id, {}, without=["tags"])
        said = {"notes": "ü", "summary": {"loss": 0.4, "best": 2}}
        assert catalog.run_details([run.id]) == {run.id: said}
        assert catalog.changes() > before
        assert len(catalog.copy_names()["run_details"]) == 1
        with pytest.raises(RunNotFound):
            catalog.describe_run("nobody00", {})

    def test_a_run_that_is_left_by_all_has_crashed(self, catalog: Catalog) -> None:
        run = catalog.create_run("team", name=None, job_type=None, config={})
        catalog.leave_run(run.id)
        catalog.leave_run(run.id)
        assert catalog.run(run.id).state is RunState.CRASHED
        assert catalog.join_run(run.id).state is RunState.RUNNING

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
        other = put(catalog, 3)
        assert catalog.maker_of(other.id) is None
        for _ in range(2):
            catalog.record_output(second.id, other.id)
        assert catalog.maker_of(other.id) == second
        with pytest.raises(RunNotFound):
            catalog.record_output("nobody00", other.id)

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
