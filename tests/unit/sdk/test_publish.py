"""Putting files and directories: what goes where, and what a kill leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

import artfs
from artfs.blobs.base import Transfer
from artfs.errors import Conflict, InvalidArgument, PathNotFound
from artfs.manifest.entries import FileEntry, ReferenceEntry, SymlinkEntry
from artfs.repository.facade import Repository
from artfs.sdk.publish import PutRequest, put
from artfs.sdk.referring import ReferenceRequest
from artfs.system.progress import Progress
from tests.unit.sdk.helpers import files_below, write


def downloaded(name: str = "data") -> Path:
    return Path(artfs.Api().artifact(name).download())


def test_one_directory_fills_the_root(workplace: Path, repository: Repository) -> None:
    write(workplace, {"in/a": "1", "in/b/c": "2"})
    outcome = put(repository, ["in"], PutRequest(name="demo/data", aliases=("first",)))
    assert outcome.created
    assert (outcome.version.path, outcome.version.type) == ("demo/data:v0", "dataset")
    assert outcome.version.aliases == ("first", "latest")
    assert files_below(downloaded()) == {"a": b"1", "b/c": b"2"}


def test_several_sources_go_under_their_names(workplace: Path, repository: Repository) -> None:
    write(workplace, {"one/a": "1", "two/b": "2", "three": "3"})
    put(repository, ["one", Path("two/"), "three"], PutRequest(name="data"))
    assert files_below(downloaded()) == {"one/a": b"1", "two/b": b"2", "three": b"3"}


def test_one_file_keeps_its_name(workplace: Path, repository: Repository) -> None:
    write(workplace, {"deep/x": "1"})
    put(repository, ["deep/x"], PutRequest(name="data"))
    assert files_below(downloaded()) == {"x": b"1"}


def test_links_modes_times_and_empty_directories_are_kept(
    workplace: Path, repository: Repository
) -> None:
    write(workplace, {"in/run.sh": "#!/bin/sh\n"})
    (workplace / "in/run.sh").chmod(0o755)
    os.utime(workplace / "in/run.sh", ns=(1, 1_000_000_009))
    (workplace / "in/empty").mkdir()
    (workplace / "in/link").symlink_to("run.sh")
    (workplace / "in/away").symlink_to("/nowhere")
    put(repository, ["in"], PutRequest(name="data"))
    root = downloaded()
    assert (root / "run.sh").stat().st_mode & 0o111
    assert (root / "run.sh").stat().st_mtime_ns == 1_000_000_009
    assert (root / "empty").is_dir()
    assert (root / "link").readlink() == Path("run.sh")
    assert (root / "away").readlink() == Path("/nowhere")


@pytest.mark.parametrize("year", [1500, 9999])
def test_times_that_cannot_be_kept_become_the_nearest_that_can(
    year: int, workplace: Path, repository: Repository
) -> None:
    time_ns = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 10**9
    # A tmpfs keeps any time.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        file = write(Path(directory), {"file": "1"}) / "file"
        os.utime(file, ns=(time_ns, time_ns))
        assert file.stat().st_mtime_ns == time_ns
        reference = ReferenceRequest(uri=file.as_uri())
        outcomes = [
            put(repository, [file], PutRequest(name="data")),
            put(repository, [], PutRequest(name="refs", references=(reference,))),
        ]
        assert files_below(downloaded()) == {"file": b"1"}
        assert files_below(downloaded("refs")) == {"file": b"1"}
    for outcome in outcomes:
        entry = repository.find(outcome.version.tree, "file")
        assert isinstance(entry, FileEntry | ReferenceEntry)
        assert abs(entry.mtime_ns) == 2**63 - 1


def test_a_source_that_is_a_link_is_followed_alone_and_kept_among_others(
    workplace: Path, repository: Repository
) -> None:
    write(workplace, {"in/a": "1", "x": "2"})
    (workplace / "link").symlink_to("in")
    put(repository, ["link"], PutRequest(name="data"))
    assert files_below(downloaded()) == {"a": b"1"}
    version = put(repository, ["link", "x"], PutRequest(name="data")).version
    assert isinstance(repository.find(version.tree, "link"), SymlinkEntry)


def test_the_same_content_makes_no_new_version(workplace: Path, repository: Repository) -> None:
    write(workplace, {"in/a": "1"})
    put(repository, ["in"], PutRequest(name="data"))
    os.utime(workplace / "in/a", ns=(1, 2))
    again = put(repository, ["in"], PutRequest(name="data", aliases=("again",)))
    assert not again.created
    assert again.version.aliases == ("again", "latest")


@pytest.mark.parametrize("change", ["mode", "link", "empty directory"])
def test_what_wandb_does_not_see_makes_a_new_version(
    change: str, workplace: Path, repository: Repository
) -> None:
    write(workplace, {"in/a": "1"})
    before = put(repository, ["in"], PutRequest(name="data")).version
    if change == "mode":
        (workplace / "in/a").chmod(0o755)
    elif change == "link":
        (workplace / "in/link").symlink_to("a")
    else:
        (workplace / "in/empty").mkdir()
    after = put(repository, ["in"], PutRequest(name="data"))
    assert after.created
    assert after.version.digest == before.digest


def test_directories_in_which_only_times_changed_are_shared(
    workplace: Path, repository: Repository
) -> None:
    write(workplace, {"in/same/a": "1", "in/other/b": "2"})
    before = put(repository, ["in"], PutRequest(name="data")).version
    os.utime(workplace / "in/same/a", ns=(1, 2))
    write(workplace, {"in/other/b": "3"})
    after = put(repository, ["in"], PutRequest(name="data")).version
    assert repository.find(after.tree, "same") == repository.find(before.tree, "same")
    assert repository.find(after.tree, "other") != repository.find(before.tree, "other")


def test_the_type_is_that_of_the_artifact(workplace: Path, repository: Repository) -> None:
    write(workplace, {"a": "1", "b": "2"})
    put(repository, ["a"], PutRequest(name="data", type="model"))
    assert put(repository, ["b"], PutRequest(name="data")).version.type == "model"
    with pytest.raises(Conflict):
        put(repository, ["b"], PutRequest(name="data", type="dataset"))


def test_a_put_can_link_or_move_large_files(workplace: Path, repository: Repository) -> None:
    content = os.urandom(2_000_000)
    write(workplace, {"linked/x": content, "moved/x": content + b"2", "moved/small": "1"})
    put(repository, ["linked"], PutRequest(name="linked"), transfer=Transfer.LINK)
    put(repository, ["moved"], PutRequest(name="moved"), transfer=Transfer.MOVE)
    assert files_below(workplace / "moved") == {}
    assert files_below(downloaded("linked")) == {"x": content}
    assert files_below(downloaded("moved")) == {"x": content + b"2", "small": b"1"}


def test_progress_counts_files_and_bytes(workplace: Path, repository: Repository) -> None:
    write(workplace, {"in/small": "123", "in/large": b"x" * 5_000_000, "in/b/c": "4"})
    told: list[Progress] = []
    put(repository, ["in"], PutRequest(name="data"), on_progress=told.append)
    assert told[-1] == Progress(3, 5_000_004, 3, 5_000_004)


def test_what_a_callback_raises_ends_the_put_and_leaves_nothing(
    workplace: Path, repository: Repository
) -> None:
    write(workplace, {f"in/{n}": os.urandom(1_500_000) for n in range(6)})

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(repository, ["in"], PutRequest(name="data"), on_progress=stop)
    assert list(repository.workspace.temporaries.all()) == []
    assert repository.catalog.artifacts() == []


@pytest.mark.parametrize(
    ("sources", "error"),
    [
        ([], InvalidArgument),
        (["missing"], PathNotFound),
        (["in", "missing"], PathNotFound),
        (["in", "other/in"], InvalidArgument),
    ],
)
def test_bad_sources_are_refused(
    sources: list[str], error: type[Exception], workplace: Path, repository: Repository
) -> None:
    write(workplace, {"in/a": "1", "other/in/a": "2"})
    with pytest.raises(error):
        put(repository, sources, PutRequest(name="data"))
    assert repository.catalog.artifacts() == []


@pytest.mark.parametrize("name", ["a b", "data:v1", "../x", "", "a/b/c/d"])
def test_bad_names_are_refused(name: str, workplace: Path, repository: Repository) -> None:
    write(workplace, {"a": "1"})
    with pytest.raises(ValueError, match=r"name|path|version"):
        put(repository, ["a"], PutRequest(name=name))


@pytest.mark.parametrize("files_done", [1, 300, 600])
def test_a_killed_put_leaves_no_version_and_the_next_one_is_right(
    files_done: int, workplace: Path, repository: Repository
) -> None:
    files: dict[str, bytes | str] = {f"in/{n:03}": os.urandom(2000) for n in range(600)}
    write(workplace, files | {"in/large": os.urandom(3_000_000)})
    script = (
        "import os, signal\n"
        "from artfs.sdk.publish import PutRequest, put\n"
        "from artfs.sdk.session import shared_repository\n"
        "def told(progress):\n"
        f"    if progress.files_done >= {files_done}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "put(shared_repository(), ['in'], PutRequest(name='data'), on_progress=told)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(artfs.__file__).parents[1])}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert repository.catalog.artifacts() == []
    outcome = put(repository, ["in"], PutRequest(name="data"))
    assert outcome.version.path == "demo/data:v0"
    assert files_below(downloaded()) == files_below(workplace / "in")
