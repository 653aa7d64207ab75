"""`artfs.Api`: what a store says without a run."""

from __future__ import annotations

from pathlib import Path

import pytest

import artfs
from artfs.errors import (
    ArtifactNotFound,
    CommError,
    RunNotFound,
    StoreNotFound,
    VersionExists,
    VersionNotFound,
)
from tests.unit.sdk.helpers import logged


@pytest.fixture
def api(run: artfs.Run) -> artfs.Api:
    """A store with two artifacts, one of them with three versions, and a portfolio."""
    for content in "123":
        logged(run, {"x": content})
    run.log_artifact(artfs.Artifact("net", type="model"))
    run.use_artifact("data:v1").link("shelf")
    return artfs.Api()


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        artfs.Api(store=str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_a_store_can_be_named(tmp_path: Path) -> None:
    with artfs.init(project="there", store=str(tmp_path / "other")) as run:
        logged(run, {"x": "1"})
    assert artfs.Api(store=str(tmp_path / "other")).artifact("there/data").version == "v0"


def test_an_artifact_is_found_by_name_and_type(api: artfs.Api) -> None:
    assert api.artifact("data:v1", type="dataset").version == "v1"
    assert api.artifact("team/demo/data").version == "v2"
    with pytest.raises(ValueError, match="type"):
        api.artifact("data:v1", type="model")
    with pytest.raises(ArtifactNotFound):
        api.artifact("nothing")
    with pytest.raises(VersionNotFound):
        api.artifact("data:v9")


def test_artifact_exists_answers_without_an_error(api: artfs.Api) -> None:
    assert api.artifact_exists("data:v1")
    assert api.artifact_exists("data:v1", type="dataset")
    assert not api.artifact_exists("data:v1", type="model")
    assert not api.artifact_exists("data:v9")
    assert not api.artifact_exists("nothing")


@pytest.mark.parametrize("per_page", [1, 2, 3, 50])
def test_versions_come_newest_first_page_by_page(api: artfs.Api, per_page: int) -> None:
    versions = api.artifact_versions("dataset", "data", per_page=per_page)
    assert [artifact.version for artifact in versions] == ["v2", "v1", "v0"]
    assert len(versions) == 3
    assert (versions[0].version, versions[-1].version) == ("v2", "v0")
    with pytest.raises(IndexError):
        _ = versions[3]


def test_versions_are_filtered_by_the_words_of_a_search(api: artfs.Api) -> None:
    second = api.artifact("data:v1")
    second.metadata = {"accuracy": 0.95}
    second.save()
    found = api.artifacts("dataset", "data", filters="metadata.accuracy > 0.9")
    assert [each.version for each in found] == ["v1"]
    assert len(found) == 1
    assert [each.version for each in api.artifacts("dataset", "data", filters="-alias:latest")] == [
        "v1",
        "v0",
    ]
    with pytest.raises(ValueError, match="is no size"):
        api.artifacts("dataset", "data", filters="size > much")


def test_versions_of_nothing_and_of_another_type_are_not_found(api: artfs.Api) -> None:
    with pytest.raises(ArtifactNotFound):
        api.artifacts("dataset", "nothing")
    with pytest.raises(ArtifactNotFound, match="has the type"):
        api.artifacts("model", "data")
    with pytest.raises(ValueError, match="per_page"):
        api.artifacts("dataset", "data", per_page=0)


def test_collections_are_artifacts_and_portfolios(api: artfs.Api) -> None:
    found = {each.name: each.is_sequence() for each in api.artifact_collections("demo")}
    assert found == {"data": True, "net": True, "shelf": False}
    data = api.artifact_collection("dataset", "data")
    assert (data.name, data.type, data.project, data.entity) == ("data", "dataset", "demo", "team")
    assert data.aliases == ["latest"]
    assert [each.version for each in data.versions()] == ["v2", "v1", "v0"]
    shelf = api.artifact_collection("dataset", "demo/shelf")
    assert [(each.version, each.source_version) for each in shelf.artifacts()] == [("v0", "v1")]
    data.delete()
    assert not api.artifact_exists("data")


def test_a_collection_keeps_what_is_saved_of_it(api: artfs.Api) -> None:
    data = api.artifact_collection("dataset", "data")
    data.description, data.tags = "All of it", ["good", "two words"]
    data.save()
    data.tags.append("new")
    data.tags.remove("good")
    data.name, data.type = "corpus", "text"
    data.save()
    again = api.artifact_collection("text", "corpus")
    assert (again.id, again.description, again.tags) == (data.id, "All of it", ["new", "two words"])
    assert [each.name for each in again.artifacts()] == ["corpus:v2", "corpus:v1", "corpus:v0"]
    assert api.artifact("shelf:v0").source_name == "corpus:v1"
    again.change_type("dataset")
    assert api.artifact("corpus").collection.type == "dataset"
    again.name, again.description = "net", "lost"
    with pytest.raises(VersionExists, match="demo/net"):
        again.save()
    assert api.artifact_collection("dataset", "corpus").description == "All of it"
    with pytest.raises(ValueError, match="letters"):
        again.name = "a name"
    with pytest.raises(ValueError, match="tag"):
        again.tags = ["!"]
    with pytest.raises(ValueError, match="portfolio"):
        api.artifact_collection("dataset", "shelf").type = "model"


def test_types_are_those_of_a_projects_artifacts(api: artfs.Api) -> None:
    assert [each.name for each in api.artifact_types("demo")] == ["dataset", "model"]
    models = api.artifact_type("model", "demo")
    assert [each.name for each in models.collections()] == ["net"]
    assert models.collection("net").type == "model"
    with pytest.raises(ArtifactNotFound):
        models.collection("data")
    with pytest.raises(ArtifactNotFound):
        api.artifact_type("nothing", "demo")
    assert api.projects() == ["demo"]
    assert api.default_entity == "team"


def test_runs_are_found_by_id_and_project(api: artfs.Api, run: artfs.Run) -> None:
    for path in (run.id, f"demo/{run.id}", f"team/demo/{run.id}"):
        assert api.run(path).id == run.id
    assert [each.id for each in api.runs("demo")] == [run.id]
    assert [each.id for each in api.runs()] == [run.id]
    assert api.runs("team/nothing") == []
    with pytest.raises(RunNotFound):
        api.run("nothing")
    with pytest.raises(RunNotFound):
        api.run(f"other/{run.id}")


def test_an_api_looks_at_the_store_of_the_current_run(tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "elsewhere")
    logged(artfs.init(project="demo"), {"x": "default store"})
    artfs.finish()
    with artfs.init(project="demo", store=elsewhere) as run:
        logged(run, {"x": "of the run"})
        assert artfs.Api().artifact("data:latest").get_path("x").read_bytes() == b"of the run"
        assert artfs.Api().run(run.id).id == run.id
        chosen = artfs.Api(store=str(tmp_path / "store"))
        assert chosen.artifact("data:latest").get_path("x").read_bytes() == b"default store"
    assert artfs.Api().artifact("data:latest").get_path("x").read_bytes() == b"default store"


def test_lists_of_versions_and_files_have_slices(api: artfs.Api) -> None:
    versions = api.artifacts("dataset", "data")
    assert [each.version for each in versions[:2]] == ["v2", "v1"]
    assert [each.version for each in versions[-1:]] == ["v0"]
    files = versions[0].files()
    assert [each.name for each in files[:1]] == [files[0].name]


def test_what_a_store_refuses_is_a_comm_error(api: artfs.Api) -> None:
    with pytest.raises(CommError, match="has the type"):
        api.artifact("data", type="model")
    kept = api.artifact("data:v0")
    kept.aliases.append("kept")
    kept.save()
    with pytest.raises(CommError, match="alias 'kept'"):
        kept.delete()


def test_a_project_need_not_hold_anything_yet(api: artfs.Api) -> None:
    project = api.project("empty")
    assert (project.name, project.entity) == ("empty", "team")
    with pytest.raises(ValueError, match="project name"):
        api.project("a/b")
