"""Building: what is added is frozen, checked and counted; WANDB.md's rules of drafts."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import artfs
from artfs.errors import InvalidArgument, InvalidName, PathNotFound, SourceChanged
from artfs.repository.facade import Repository
from tests.unit.sdk.helpers import files_below, write


def draft() -> artfs.Artifact:
    return artfs.Artifact("data", type="dataset")


def test_the_digest_of_hello_is_that_of_wandb(workplace: Path) -> None:
    write(workplace, {"file1.txt": "hello"})
    artifact = draft()
    entry = artifact.add_file("file1.txt")
    assert (entry.path, entry.digest, entry.size) == ("file1.txt", "XUFAKrxLKna5cZ2REBfFkg==", 5)
    assert artifact.digest == "a00c2239f036fb656c1dcbf9a32d89b4"


def test_an_empty_draft_needs_no_store(tmp_path: Path) -> None:
    assert draft().digest == "64e7c61456b10382e2f3b571ac24b659"
    assert not (tmp_path / "store").exists()


def test_a_file_is_frozen_when_it_is_added(workplace: Path, run: artfs.Run) -> None:
    write(workplace, {"a": "before", "large": b"x" * 2_000_000})
    artifact = draft()
    artifact.add_file("a")
    artifact.add_file("large")
    write(workplace, {"a": "after", "large": "gone"})
    root = Path(run.log_artifact(artifact).download())
    assert files_below(root) == {"a": b"before", "large": b"x" * 2_000_000}


def test_added_content_is_kept_once_and_a_dropped_draft_leaves_no_file(
    workplace: Path, repository: Repository
) -> None:
    write(workplace, {"a": "small", "large": b"x" * 2_000_000})
    artifact = draft()
    artifact.add_file("a")
    artifact.add_file("large")
    del artifact
    assert list(repository.workspace.temporaries.all()) == []


def test_is_tmp_names_a_file_after_its_content(workplace: Path) -> None:
    write(workplace, {"x": "hello"})
    entry = draft().add_file("x", name="dir/x.tar.gz", is_tmp=True)
    assert entry.path == "dir/5d41402abc4b2a76b971.tar.gz"


@pytest.mark.parametrize("path", ["../x", "/abs", "a//b", "..", "a/../b", "x\0y", "a/"])
def test_a_path_that_no_mount_can_show_is_refused(path: str, workplace: Path) -> None:
    write(workplace, {"x": "1"})
    with pytest.raises(ValueError, match="path"):
        draft().add_file("x", name=path)


def test_the_same_content_may_be_added_twice_and_another_not(workplace: Path) -> None:
    write(workplace, {"x": "1", "y": "2"})
    artifact = draft()
    artifact.add_file("x")
    artifact.add_file("x")
    with pytest.raises(ValueError, match="same path twice"):
        artifact.add_file("y", name="x")
    assert artifact.size == 1


def test_a_file_and_a_directory_cannot_share_a_name(workplace: Path) -> None:
    write(workplace, {"x": "1"})
    artifact = draft()
    artifact.add_file("x", name="a")
    with pytest.raises(InvalidName, match="is a file"):
        artifact.add_file("x", name="a/b")
    artifact.add_file("x", name="c/d/e")
    with pytest.raises(InvalidName, match="is a directory"):
        artifact.add_file("x", name="c/d")


@pytest.mark.parametrize(
    "add",
    [
        lambda artifact: artifact.add_file("x"),
        lambda artifact: artifact.add_file("missing"),
        lambda artifact: artifact.add_dir("missing"),
        lambda artifact: artifact.add_reference("no uri"),
        lambda artifact: artifact.add(5, "x"),
        lambda artifact: artifact.new_file("x").__enter__(),
    ],
)
@pytest.mark.parametrize("how", ["digest", "manifest", "finalize"])
def test_a_finalized_draft_takes_nothing(
    how: str, add: Callable[[artfs.Artifact], object], workplace: Path
) -> None:
    write(workplace, {"x": "1"})
    artifact = draft()
    reached = getattr(artifact, how)
    if how == "finalize":
        reached()
    with pytest.raises(artfs.ArtifactFinalizedError, match="Can't add to finalized artifact"):
        add(artifact)


def test_reading_the_size_does_not_finalize(workplace: Path) -> None:
    write(workplace, {"x": "123"})
    artifact = draft()
    assert artifact.size == 0
    artifact.add_file("x")
    assert artifact.size == 3


def test_add_dir_follows_links_and_keeps_modes_times_and_empty_directories(
    workplace: Path, run: artfs.Run
) -> None:
    write(workplace, {"top/script": "#!/bin/sh\n", "outside/far": "far"})
    (workplace / "top/script").chmod(0o755)
    os.utime(workplace / "top/script", ns=(1, 1_000_000_007))
    (workplace / "top/empty").mkdir()
    (workplace / "top/link").symlink_to("script")
    (workplace / "top/below").symlink_to("../outside")
    artifact = draft()
    artifact.add_dir("top")
    root = Path(run.log_artifact(artifact).download())
    assert sorted(files_below(root)) == ["below/far", "link", "script"]
    assert (root / "script").stat().st_mode & 0o111
    assert (root / "script").stat().st_mtime_ns == 1_000_000_007
    assert (root / "empty").is_dir()
    assert not (root / "below").is_symlink()


def test_a_link_back_to_a_directory_above_is_refused(workplace: Path) -> None:
    write(workplace, {"top/a/x": "1"})
    (workplace / "top/a/loop").symlink_to("..")
    with pytest.raises(InvalidArgument, match="leads back"):
        draft().add_dir("top")


def test_a_link_that_leads_to_nothing_is_refused(workplace: Path) -> None:
    write(workplace, {"top/x": "1"})
    (workplace / "top/broken").symlink_to("nowhere")
    with pytest.raises(PathNotFound, match="leads to nothing"):
        draft().add_dir("top")


def test_fifos_and_sockets_are_refused_at_once(workplace: Path) -> None:
    write(workplace, {"top/x": "1"})
    os.mkfifo(workplace / "top/pipe")
    with pytest.raises(ValueError, match="is a fifo"):
        draft().add_dir("top")
    (workplace / "top/pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("top/socket")
        with pytest.raises(ValueError, match="is a socket"):
            draft().add_dir("top")
        with pytest.raises(ValueError, match="not a file"):
            draft().add_file("top/socket")


def test_a_name_that_is_not_utf8_is_refused_by_name(workplace: Path) -> None:
    (workplace / "top").mkdir()
    os.mknod(os.fsencode(workplace / "top") + b"/\xff")
    with pytest.raises(InvalidName, match="UTF-8"):
        draft().add_dir("top")


def test_a_file_that_changes_while_it_is_read_is_refused(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(workplace, {"x": "before"}) / "x"
    pread = os.pread

    def changing(fd: int, length: int, offset: int) -> bytes:
        data = pread(fd, length, offset)
        path.write_text("changed meanwhile")
        return data

    monkeypatch.setattr(os, "pread", changing)
    artifact = draft()
    with pytest.raises(SourceChanged):
        artifact.add_file("x")
    assert artifact.size == 0


def test_new_file_writes_text_and_bytes(run: artfs.Run) -> None:
    artifact = draft()
    with artifact.new_file("text.txt") as file:
        file.write("é")
    with artifact.new_file("deep/latin", encoding="latin-1") as file:
        file.write("é")
    with artifact.new_file("data.bin", mode="wb") as file:
        assert file.name.endswith("data.bin")
        file.write(b"\0\1")
    root = Path(run.log_artifact(artifact).download())
    assert files_below(root) == {
        "text.txt": "é".encode(),
        "deep/latin": "é".encode("latin-1"),
        "data.bin": b"\0\1",
    }


def test_new_file_adds_nothing_when_its_block_fails(repository: Repository) -> None:
    artifact = draft()
    with pytest.raises(TypeError), artifact.new_file("x") as file:
        file.write(b"not text")
    with artifact.new_file("x") as file:
        file.write("whole")
    assert artifact.size == 5
    assert [found for found in repository.workspace.temporaries.all() if found.path.is_dir()] == []


def test_new_file_twice_is_refused() -> None:
    artifact = draft()
    with artifact.new_file("x"):
        pass
    with pytest.raises(ValueError, match="already exists"), artifact.new_file("x"):
        pass


def test_local_names_are_known_by_the_literal_path(workplace: Path) -> None:
    write(workplace, {"a": "1", "d/b": "2"})
    artifact = draft()
    artifact.add_file("a", name="first")
    artifact.add_file("a", name="second")
    artifact.add_dir("d", name="in")
    names = {path: artifact.get_added_local_path_name(path) for path in ("a", "./a", "d/b", "z")}
    assert names == {"a": "second", "./a": None, "d/b": "in/b", "z": None}


def test_files_may_be_added_from_many_threads(workplace: Path, run: artfs.Run) -> None:
    write(workplace, {f"{n}": f"content {n}" for n in range(200)})
    artifact = draft()

    def add(first: int) -> None:
        for n in range(first, first + 25):
            artifact.add_file(f"{n}")

    threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 200, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    root = Path(run.log_artifact(artifact).download())
    assert files_below(root) == {f"{n}": f"content {n}".encode() for n in range(200)}


def test_content_of_another_store_cannot_be_logged(workplace: Path, tmp_path: Path) -> None:
    write(workplace, {"x": "1"})
    artifact = draft()
    artifact.add_file("x")
    with (
        artfs.init(store=str(tmp_path / "other")) as run,
        pytest.raises(InvalidArgument, match="content is in the store"),
    ):
        run.log_artifact(artifact)


@pytest.mark.parametrize("name", [".", "./", Path(), "", None])
def test_the_root_of_an_artifact_has_many_names(workplace: Path, name: str | Path | None) -> None:
    write(workplace, {"data/sub/file": "x", "other": "y"})
    artifact = draft()
    artifact.add_dir("data", name=name)
    artifact.add_file(workplace / "other", name=name)
    artifact.add_reference((workplace / "other").as_uri(), name="ref")
    assert sorted(artifact.manifest.entries) == ["other", "ref", "sub/file"]


def test_paths_inside_are_taken_as_programs_write_them(workplace: Path, run: artfs.Run) -> None:
    write(workplace, {"data/file": "x"})
    artifact = draft()
    artifact.add_dir(Path("data"), name="./d/")
    artifact.add_file("data/file", name=Path("e") / "file")
    artifact.add_reference((workplace / "data").as_uri(), name=Path("refs"))
    artifact.add_bytes(b"b", Path("f/bytes"))
    with artifact.new_file(Path("./f/new")) as file:
        file.write("new")
    artifact.remove(Path("refs/./file"))
    assert sorted(artifact.manifest.entries) == ["d/file", "e/file", "f/bytes", "f/new"]
    logged = run.log_artifact(artifact)
    for name in ("d/file", "./d/file", Path("d/file")):
        assert logged.get_path(name).path == "d/file"
    assert logged.get(Path("d/file")) is None


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (nested(3000), "nested too deep"),
        ({"a": 10**5000}, "holds what JSON cannot say"),
    ],
)
def test_metadata_that_json_cannot_hold_is_refused_in_words(metadata: object, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        artfs.Artifact("data", "dataset", metadata=metadata)  # type: ignore[arg-type]
