"""References as the SDK shows them; the schemes have tests of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

import artfs
from artfs.errors import ReferenceChanged, Unsupported
from tests.unit.sdk.helpers import files_below, logged, write


def test_a_local_file_is_referred_to_and_read(run: artfs.Run, workplace: Path) -> None:
    write(workplace, {"target/x": "hello"})
    artifact = artfs.Artifact("data", type="dataset")
    (entry,) = artifact.add_reference(f"file://{workplace}/target/x", name="in/x")
    assert (entry.path, entry.digest, entry.size) == ("in/x", "XUFAKrxLKna5cZ2REBfFkg==", 5)
    assert entry.ref_target() == f"file://{workplace}/target/x"
    run.log_artifact(artifact)
    assert artifact.size == 5
    assert files_below(Path(artifact.download())) == {"in/x": b"hello"}
    assert artifact.verify()
    write(workplace, {"target/x": "other content"})
    with pytest.raises(ReferenceChanged):
        artifact.get_path("in/x").read_bytes()


def test_an_unknown_scheme_is_kept_and_cannot_be_read(run: artfs.Run) -> None:
    artifact = artfs.Artifact("data", type="dataset")
    (entry,) = artifact.add_reference("odd://host/x", name="x")
    assert (entry.digest, entry.size, entry.ref) == ("odd://host/x", None, "odd://host/x")
    run.log_artifact(artifact)
    with pytest.raises(Unsupported):
        artifact.download()


def test_an_entry_of_another_artifact_is_referred_to(run: artfs.Run) -> None:
    source = logged(run, {"deep/x": "hello"}, name="source")
    artifact = artfs.Artifact("data", type="dataset")
    (entry,) = artifact.add_reference(source.get_path("deep/x"), name="y")
    assert entry.digest == source.get_path("deep/x").digest
    assert entry.ref == f"wandb-artifact://{source.id}/deep/x"
    run.log_artifact(artifact)
    found = artifact.get_path("y").target()
    assert found is not None
    assert (found[0].name, found[1]) == ("source:v0", "deep/x")
    assert artifact.get_path("y").read_bytes() == b"hello"
    assert artifact.download(recursive=True) == "./artifacts/data:v0"
    assert files_below(Path("artifacts")) == {
        "data:v0/y": b"hello",
        "source:v0/deep/x": b"hello",
    }


def test_an_entry_of_a_draft_cannot_be_referred_to(workplace: Path) -> None:
    write(workplace, {"x": "1"})
    entry = artfs.Artifact("source", type="dataset").add_file("x")
    with pytest.raises(artfs.ArtifactNotLoggedError):
        artfs.Artifact("data", type="dataset").add_reference(entry)
