"""An artifact in a run's config is a use of it, and the store's config tells which."""

from __future__ import annotations

from pathlib import Path

import pytest

import artfs
from artfs.errors import InvalidArgument
from tests.unit.sdk.helpers import logged


@pytest.fixture
def data(workplace: Path) -> artfs.Artifact:
    """`data:v0`, logged by a run that is over."""
    with artfs.init(project="demo") as run:
        return logged(run, {"x": "1"})


def stored(artifact: artfs.Artifact, use_as: str) -> dict[str, object]:
    """What W&B keeps of an artifact in a config."""
    return {
        "_type": "artifactVersion",
        "_version": "v0",
        "id": artifact.id,
        "version": artifact.version,
        "sequenceName": artifact.name.split(":")[0],
        "usedAs": use_as,
    }


def used(run: artfs.Run) -> list[str]:
    return [artifact.name for artifact in artfs.Api().run(run.id).used_artifacts()]


def test_an_artifact_that_a_run_begins_with_is_its_input(data: artfs.Artifact) -> None:
    with artfs.init(project="demo", config={"data": data, "lr": 0.1}) as run:
        assert run.config["data"] is data
        assert run.config.lr == 0.1
        assert run.state == "running"
    assert used(run) == ["data:v0"]
    assert artfs.Api().run(run.id).config == {"data": stored(data, "data"), "lr": 0.1}


@pytest.mark.parametrize("way", ["attribute", "item", "update", "keyword", "default", "or"])
def test_an_artifact_that_is_put_into_the_config_is_an_input(
    way: str, data: artfs.Artifact
) -> None:
    with artfs.init(project="demo", config={"lr": 0.1}) as run:
        if way == "attribute":
            run.config.data = data
        elif way == "item":
            artfs.config["data"] = data
        elif way == "update":
            run.config.update({"data": data, "epochs": 3})
        elif way == "keyword":
            run.config.update(data=data)
        elif way == "default":
            assert run.config.setdefault("data", data) is data
        else:
            config = run.config
            config |= {"data": data}
        assert run.config.data is data
    assert used(run) == ["data:v0"]
    kept = {"data": stored(data, "data"), "lr": 0.1} | ({"epochs": 3} if way == "update" else {})
    assert artfs.Api().run(run.id).config == kept


def test_a_draft_in_the_config_is_logged_first() -> None:
    draft = artfs.Artifact("fresh", type="dataset")
    with artfs.init(project="demo", config={"data": draft}) as run:
        assert draft.version == "v0"
    assert used(run) == ["fresh:v0"]
    assert artfs.Api().run(run.id).config == {"data": stored(draft, "data")}


def test_what_a_store_says_of_an_artifact_in_a_config_is_a_use_of_it_in_another_one(
    data: artfs.Artifact,
) -> None:
    with artfs.init(project="demo", config={"data": data}) as first:
        pass
    with artfs.init(project="demo", config=dict(artfs.Api().run(first.id).config)) as second:
        assert second.config.data.name == "data:v0"
    assert used(second) == ["data:v0"]


@pytest.mark.parametrize("nested", [{"in": 0}, [0], (0,), {"a": [{"b": 0}]}])
def test_an_artifact_below_the_top_of_a_config_is_refused_as_by_wandb(
    nested: object, data: artfs.Artifact
) -> None:
    def with_artifact(value: object) -> object:
        if isinstance(value, dict):
            return {key: with_artifact(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(with_artifact(item) for item in value)
        return data

    value = with_artifact(nested)
    text = "artifacts can only be top level keys"
    with artfs.init(project="demo", config={"lr": 1}) as run:
        with pytest.raises(ValueError, match=text):
            run.config.data = value
        with pytest.raises(ValueError, match=text):
            run.config.update({"data": value, "epochs": 3})
        assert run.config == {"lr": 1}
    runs = len(artfs.Api().runs("demo"))
    with pytest.raises(ValueError, match=text):
        artfs.init(project="demo", config={"data": value})
    assert artfs.run is None
    assert len(artfs.Api().runs("demo")) == runs


def test_an_artifact_needs_a_key_that_is_text(data: artfs.Artifact) -> None:
    with pytest.raises(InvalidArgument, match="config key 1: an artifact needs a key that is text"):
        artfs.init(project="demo", config={1: data})
    with artfs.init(project="demo") as run, pytest.raises(InvalidArgument, match="key 1"):
        run.config[1] = data  # type: ignore[index]
    assert used(run) == []


def test_two_artifacts_under_one_key_are_refused(data: artfs.Artifact) -> None:
    with artfs.init(project="demo", config={"data": data}) as run:
        other = logged(run, {"x": "2"}, name="other")
        with pytest.raises(InvalidArgument, match="uses another artifact"):
            run.config.data = other
        assert run.config.data is data


def test_a_run_whose_artifact_cannot_be_used_does_not_go_on(data: artfs.Artifact) -> None:
    with pytest.raises(ValueError, match="cannot contain"):
        artfs.init(project="demo", config={"a/b": data})
    assert artfs.run is None
    assert [run.state for run in artfs.Api().runs("demo")] == ["finished", "failed"]


def test_a_run_that_is_joined_records_the_artifacts_of_who_joins(
    data: artfs.Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    with artfs.init(project="demo", config={"lr": 1}) as run:
        monkeypatch.setattr("artfs.sdk.session._Current.run", None)
        joined = artfs.init(project="demo", config={"data": data})
        assert joined.id == run.id
        assert joined.config.data is data
        joined.finish()
    assert used(run) == ["data:v0"]
    assert artfs.Api().run(run.id).config == {"lr": 1, "data": stored(data, "data")}


def test_a_config_can_be_copied_and_holds_any_values() -> None:
    import copy  # noqa: PLC0415 - for this test alone
    import pickle  # noqa: PLC0415 - for this test alone

    with artfs.init(project="demo", config={"lr": 1}) as run:
        run.config.thing = value = object()
        assert run.config.thing is value
        del run.config["thing"]
        for made in (copy.deepcopy(run.config), pickle.loads(pickle.dumps(run.config))):
            assert (made, made.lr) == ({"lr": 1}, 1)
