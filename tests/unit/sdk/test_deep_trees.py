"""Trees that are deeper than the interpreter calls, and whose paths the system would not take."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import artfs
from artfs.errors import InvalidArgument
from artfs.system.files import SharedDescriptor
from artfs.system.paths import Below, open_directory

LEVELS = 1600
DIRECTORY = "/".join(f"level-{number % 10}" for number in range(LEVELS))


@pytest.fixture(autouse=True)
def removed(tmp_path: Path) -> Iterator[None]:
    """What a test has made is removed here: it is deeper than pytest goes."""
    yield
    subprocess.run(["rm", "-rf", tmp_path / "out", tmp_path / "s"], check=True)


@pytest.fixture
def deep(run: artfs.Run, workplace: Path) -> artfs.Artifact:
    """A version with a file 1,600 levels down, and one beside the first of them."""
    (workplace / "leaf").write_text("leaf")
    artifact = artfs.Artifact("deep", type="dataset")
    artifact.add_file("leaf", name=f"{DIRECTORY}/leaf")
    artifact.add_file("leaf", name="top")
    return run.log_artifact(artifact)


def test_a_deep_tree_is_downloaded_verified_and_checked_out(
    deep: artfs.Artifact, tmp_path: Path
) -> None:
    root = deep.download(str(tmp_path / "out"))
    assert deep.verify(root)
    below = Below(open_directory(root))
    directory, _ = below.open(DIRECTORY)
    file = SharedDescriptor(os.open("leaf", os.O_RDONLY, dir_fd=directory.fd))
    assert os.read(file.fd, 10) == b"leaf"
    os.mkdir("more", dir_fd=directory.fd)
    os.close(os.open("more/extra", os.O_CREAT | os.O_WRONLY, dir_fd=directory.fd))
    with pytest.raises(InvalidArgument, match="extra' is not in it"):
        deep.verify(root)
    deep.checkout(root)
    assert deep.verify(root)
    with os.scandir(directory.fd) as left:
        assert [entry.name for entry in left] == ["leaf"]


def test_a_deep_tree_is_taken_in_referred_to_and_compared(run: artfs.Run, tmp_path: Path) -> None:
    top = tmp_path / "s"
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(LEVELS):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    artifact = artfs.Artifact("taken", type="dataset")
    artifact.add_dir(str(top))
    first = run.log_artifact(artifact)
    draft = first.new_draft()
    draft.add_reference(f"file://{top}", name="referred")
    second = run.log_artifact(draft)
    assert sum(path.endswith("/leaf") for path in second.manifest.entries) == 2
