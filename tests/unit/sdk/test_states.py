"""PENDING → COMMITTED → DELETED: what an artifact answers in each state, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import artfs
from artfs.errors import Conflict, InvalidArgument, VersionNotFound
from tests.unit.sdk.helpers import logged, write

NOT_IN_A_DRAFT: dict[str, Callable[[artfs.Artifact], object]] = {
    "version": lambda artifact: artifact.version,
    "aliases": lambda artifact: artifact.aliases,
    "commit_hash": lambda artifact: artifact.commit_hash,
    "get": lambda artifact: artifact.get("x"),
    "[]": lambda artifact: artifact["x"],
    "get_path": lambda artifact: artifact.get_path("x"),
    "download": lambda artifact: artifact.download(),
    "checkout": lambda artifact: artifact.checkout(),
    "verify": lambda artifact: artifact.verify(),
    "delete": lambda artifact: artifact.delete(),
    "wait": lambda artifact: artifact.wait(),
    "logged_by": lambda artifact: artifact.logged_by(),
    "used_by": lambda artifact: artifact.used_by(),
    "json_encode": lambda artifact: artifact.json_encode(),
}


def draft(name: str = "data", metadata: dict[str, object] | None = None) -> artfs.Artifact:
    return artfs.Artifact(name, type="dataset", description="d", metadata=metadata)


@pytest.mark.parametrize("what", NOT_IN_A_DRAFT)
def test_a_draft_refuses_what_only_a_version_has(what: str) -> None:
    artifact = draft()
    with pytest.raises(artfs.ArtifactNotLoggedError) as caught:
        NOT_IN_A_DRAFT[what](artifact)
    assert isinstance(caught.value, AttributeError)
    assert caught.value.obj is artifact
    assert caught.value.name == ("get" if what == "[]" else what)


def test_setting_aliases_of_a_draft_is_refused() -> None:
    with pytest.raises(artfs.ArtifactNotLoggedError):
        draft().aliases = ["x"]


def test_a_draft_says_what_it_will_be() -> None:
    artifact = draft(metadata={"a": (1, 2)})
    assert (artifact.id, artifact.source_version, artifact.state) == (None, None, "PENDING")
    assert (artifact.name, artifact.type, artifact.description) == ("data", "dataset", "d")
    assert (artifact.entity, artifact.project) == ("team", "demo")
    assert artifact.metadata == {"a": [1, 2]}
    assert artifact.ttl is None
    assert artifact.tags == []


def test_a_logged_artifact_says_what_it_is(run: artfs.Run) -> None:
    artifact = logged(run, {"file1.txt": "hello"})
    assert (artifact.name, artifact.version, artifact.source_version) == ("data:v0", "v0", "v0")
    assert (artifact.type, artifact.state, artifact.size) == ("dataset", "COMMITTED", 5)
    assert (artifact.entity, artifact.project) == ("team", "demo")
    assert artifact.qualified_name == "team/demo/data:v0"
    assert artifact.digest == "a00c2239f036fb656c1dcbf9a32d89b4"
    assert artifact.aliases == ["latest"]
    assert artifact.id is not None
    assert len(artifact.id) == 32
    assert len(artifact.commit_hash) == 64
    assert artifact.wait() is artifact
    with pytest.raises(artfs.ArtifactFinalizedError):
        artifact.add_file("x")


def test_names_and_types_that_break_the_rules_are_refused() -> None:
    for name in ("", "a b", "a/b", "a:b", "é", "n\n", ".", "..", "x" * 129):
        with pytest.raises(ValueError, match="name"):
            artfs.Artifact(name, type="dataset")
    for bad in ("", "a/b", "a:b", "x" * 129):
        with pytest.raises(ValueError, match="type"):
            artfs.Artifact("data", type=bad)
    with pytest.raises(ValueError, match="use_as"):
        artfs.Artifact("data", type="dataset", use_as="a/b")


def test_metadata_is_a_copy_and_what_is_read_is_the_artifacts_own(run: artfs.Run) -> None:
    given: dict[str, object] = {"list": [1]}
    artifact = draft(metadata=given)
    given["list"] = "changed"
    artifact.metadata["later"] = True
    run.log_artifact(artifact)
    assert run.use_artifact("data").metadata == {"list": [1], "later": True}
    with pytest.raises(TypeError, match="must be dict"):
        artifact.metadata = [1]  # type: ignore[assignment]


def test_save_sends_changes_of_a_logged_artifact(run: artfs.Run) -> None:
    artifact = logged(run, {"x": "1"})
    artifact.aliases.append("best")
    artifact.description = "changed"
    artifact.metadata["accuracy"] = 0.9
    artifact.tags = ["good one", "checked"]
    artifact.ttl = timedelta(days=2)
    assert run.use_artifact("data:latest").description is None
    artifact.save()
    again = run.use_artifact("data:best")
    assert (again.description, again.metadata) == ("changed", {"accuracy": 0.9})
    assert again.aliases == ["best", "latest"]
    assert again.tags == ["checked", "good one"]
    assert again.ttl == timedelta(days=2)
    again.aliases.remove("best")
    again.ttl = None
    again.save()
    assert run.use_artifact("data:v0").aliases == ["latest"]
    assert run.use_artifact("data:v0").ttl is None


def test_an_alias_that_moved_meanwhile_is_not_taken_from_its_new_version(run: artfs.Run) -> None:
    first = logged(run, {"x": "1"})
    first.aliases.append("best")
    first.save()
    second = logged(run, {"x": "2"})
    second.aliases.append("best")
    second.save()
    first.aliases.remove("best")
    first.save()
    assert run.use_artifact("data:best").version == "v1"


@pytest.mark.parametrize("alias", ["a/b", "a:b", "", "v3"])
def test_bad_aliases_are_refused_by_save_and_log(alias: str, run: artfs.Run) -> None:
    artifact = logged(run, {"x": "1"})
    artifact.aliases = [alias]
    with pytest.raises(ValueError, match="alias"):
        artifact.save()
    with pytest.raises(ValueError, match="alias"):
        run.log_artifact(draft(), aliases=[alias])


def test_ttl_and_tags_of_a_draft_are_logged_with_it(run: artfs.Run) -> None:
    artifact = draft()
    artifact.ttl = timedelta(hours=1)
    artifact.tags = ["new"]
    run.log_artifact(artifact)
    assert run.use_artifact("data").ttl == timedelta(hours=1)
    assert run.use_artifact("data").tags == ["new"]


def test_ttl_and_tags_that_make_no_sense_are_refused() -> None:
    artifact = draft()
    artifact.ttl = artfs.ArtifactTTL.INHERIT
    assert artifact.ttl is None
    with pytest.raises(ValueError, match="ttl"):
        artifact.ttl = timedelta(0)
    with pytest.raises(TypeError, match="ttl"):
        artifact.ttl = 5  # type: ignore[assignment]
    with pytest.raises(ValueError, match="tag"):
        artifact.tags = ["a/b"]


def test_delete_needs_to_be_told_about_aliases(run: artfs.Run) -> None:
    artifact = logged(run, {"x": "1"})
    artifact.aliases.append("keep")
    artifact.save()
    with pytest.raises(Conflict):
        artifact.delete()
    artifact.delete(delete_aliases=True)
    assert (artifact.state, artifact.aliases) == ("DELETED", [])
    with pytest.raises(VersionNotFound):
        run.use_artifact("data:v0")


def test_deleting_the_newest_version_lets_latest_fall_back(run: artfs.Run) -> None:
    logged(run, {"x": "1"})
    logged(run, {"x": "2"}).delete()
    assert run.use_artifact("data:latest").version == "v0"
    assert logged(run, {"x": "3"}).version == "v2"


def test_json_encode_names_the_version(run: artfs.Run) -> None:
    logged(run, {"x": "1"})
    artifact = run.use_artifact("data:latest", use_as="training")
    assert artifact.json_encode() == {
        "_type": "artifactVersion",
        "_version": "v0",
        "id": artifact.id,
        "version": "v0",
        "sequenceName": "data",
        "usedAs": "training",
    }


def test_get_path_gives_an_entry_that_can_be_downloaded(run: artfs.Run, workplace: Path) -> None:
    artifact = logged(run, {"deep/x": "1", "y": "2"})
    entry = artifact.get_path("deep/x")
    assert (entry.path, entry.size, entry.ref, entry.extra) == ("deep/x", 1, None, {})
    assert entry.read_bytes() == b"1"
    assert entry.ref_url() == f"wandb-artifact://{artifact.id}/deep/x"
    path = Path(entry.download())
    assert path == Path("artifacts/data:v0/deep/x")
    assert path.read_text() == "1"
    assert not Path("artifacts/data:v0/y").exists()
    assert Path(entry.download(str(workplace / "elsewhere"))).read_text() == "1"
    with pytest.raises(ValueError, match="only references"):
        entry.ref_target()
    for missing in ("nothing", "deep", "deep/x/y"):
        with pytest.raises(KeyError):
            artifact.get_path(missing)


def test_an_entry_of_a_draft_can_be_neither_read_nor_referred_to(workplace: Path) -> None:
    write(workplace, {"x": "1"})
    entry = draft().add_file("x")
    for use in (entry.download, entry.read_bytes, entry.ref_url):
        with pytest.raises(artfs.ArtifactNotLoggedError):
            use()


def test_a_logged_artifact_can_be_logged_again(run: artfs.Run) -> None:
    first = logged(run, {"x": "1"})
    assert run.log_artifact(first, aliases=["again"]).version == "v0"
    logged(run, {"x": "2"})
    assert run.log_artifact(first).version == "v2"
    assert run.use_artifact("data:latest").digest == run.use_artifact("data:v0").digest


def test_an_artifact_of_another_type_is_refused(run: artfs.Run) -> None:
    logged(run, {"x": "1"})
    with pytest.raises(Conflict):
        run.log_artifact(artfs.Artifact("data", type="model"))
    with pytest.raises(InvalidArgument, match="type"):
        run.use_artifact("data", type="model")
