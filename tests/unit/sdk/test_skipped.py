"""What a draft cannot refer to is an error, or is left out with a warning."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import artfs


def test_names_that_cannot_be_paths_are_left_out_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ARTFS_STORE", str(tmp_path / "store"))
    (tmp_path / "top").mkdir()
    (tmp_path / "top/good").write_bytes(b"good")
    Path(os.fsdecode(os.fsencode(tmp_path / "top") + b"/\xe9")).write_bytes(b"x")
    uri = (tmp_path / "top").as_uri()
    artifact = artfs.Artifact("a", "dataset")
    with pytest.raises(ValueError, match="skip_invalid"):
        artifact.add_reference(uri)
    # Nothing of it was added.
    assert not artifact.size
    added = artifact.add_reference(uri, skip_invalid=True)
    assert [entry.path for entry in added] == ["good"]
    assert "xe9" in caplog.text
