"""kill -9 at any line of writing and committing: nothing closed is lost, one version results."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.errors import PathNotFound
from artfs.repository.facade import Repository
from artfs.staging.area import Area
from artfs.staging.commit import CommitAttempt, commit_area
from artfs.system.progress import Progress, ProgressMeter
from tests.crash.victim import BASE, CONTENT
from tests.unit.staging.areafs import AreaFs, dump_version, new_area, new_store

KILLS = int(os.environ.get("ARTFS_TEST_KILLS", "8"))


def run_victim(store: Path, area_id: str, fatal: int) -> tuple[list[str], int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.victim", str(store), area_id, str(fatal)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.stdout.splitlines(), done.returncode


def prepared(root: Path) -> tuple[Repository, str]:
    """A store with a base version, and a new area upon it."""
    repository = new_store(root)
    with new_area(repository) as area:
        fs = AreaFs(area)
        for path, data in BASE.items():
            fs.put(path, data)
        commit_area(area)
        area_id = area.id
    Area.open(repository, area_id).drop()
    with new_area(repository, base="latest") as area:
        return repository, area.id


@pytest.mark.timeout(600)
def test_w3_a_kill_at_any_line_leaves_an_area_that_becomes_exactly_one_version(
    tmp_path: Path,
) -> None:
    repository, area_id = prepared(tmp_path / "dry")
    said, _ = run_victim(tmp_path / "dry", area_id, 0)
    line_count = int(said[-1].removeprefix("lines "))
    complete = dump_version(repository, "p/data:v1")
    repository.close()
    chosen = random.Random(3)
    # Most lines are those of writing; the last fifth is the commit.
    fatal_lines = chosen.sample(range(1, line_count), KILLS // 2)
    fatal_lines += chosen.sample(range(line_count * 4 // 5, line_count), KILLS // 2)
    for number, fatal in enumerate(fatal_lines):
        root = tmp_path / str(number)
        repository, area_id = prepared(root)
        said, code = run_victim(root, area_id, fatal)
        assert code == -signal.SIGKILL
        check_after_kill(repository, area_id, said, complete)
        repository.close()


def test_w3_what_a_killed_commit_shares_with_the_store_is_not_cut_by_the_area(
    tmp_path: Path,
) -> None:
    repository = new_store(tmp_path / "store")
    data = os.urandom(3_000_000)
    with new_area(repository) as area:
        AreaFs(area).create("large", data)
        area_id = area.id
        # A commit is killed when the store has the file.
        CommitAttempt(area).prepare()
    with Area.open(repository, area_id) as area:
        fs = AreaFs(area)
        fs.truncate("large", 5)
        assert fs.read("large") == data[:5]
    (blob,) = (path for path in (tmp_path / "store" / "blobs").rglob("*") if path.is_file())
    assert blob.read_bytes() == data
    repository.close()


def test_a_large_file_that_is_removed_while_a_commit_takes_it_in_does_not_make_it_fail(
    tmp_path: Path,
) -> None:
    repository = new_store(tmp_path / "store")
    with new_area(repository) as area:
        fs = AreaFs(area)
        fs.create("large", os.urandom(3_000_000))
        fs.create("other", b"other")

        def remove(progress: Progress) -> None:
            if progress.bytes_done and "large" in fs.names(""):
                fs.unlink("large")

        commit = CommitAttempt(area, ProgressMeter(remove))
        commit.prepare()
        assert "large" not in fs.names("")
        commit.finish()
        assert len(area.plain.ids()) == 0
    assert dump_version(repository, "p/data") == {"other": b"other"}
    repository.close()


def test_w4_a_commit_of_content_that_is_gone_says_so(tmp_path: Path) -> None:
    repository = new_store(tmp_path / "store")
    with new_area(repository) as area:
        AreaFs(area).create("file", b"x")
        files = area.path / "files"
        files.rename(area.path / "away")
        with pytest.raises(PathNotFound, match="file: its content is gone"):
            commit_area(area)
        (area.path / "away").rename(files)
        commit_area(area)
    assert dump_version(repository, "p/data") == {"file": b"x"}
    repository.close()


def check_after_kill(
    repository: Repository, area_id: str, said: list[str], complete: dict[str, bytes | str | None]
) -> None:
    artifact = repository.catalog.artifact("p", "data")
    with Area.open(repository, area_id) as area:
        fs = AreaFs(area)
        for path, data in CONTENT.items():
            if f"closed {path}" in said:
                assert fs.read(path) == data
        if "wrote base/kept" in said:
            assert fs.read("base/kept") == b"Kept"
        if "removed base/gone" in said:
            assert "gone" not in fs.names("base")
        # Renamed or not, but never both or neither.
        assert ("moved" in fs.names("base")) != ("elsewhere" in fs.names(""))
        if "renamed base/moved" in said:
            assert "elsewhere" in fs.names("")
        assert artifact.version_count in {1, 2}
        if any(line.startswith("committed") for line in said):
            assert artifact.version_count == 2
        # Whatever the killed process had not done is done now, and committed.
        finish_script(fs)
        commit_area(area)
        assert dump_version(repository, "p/data") == complete
    versions = repository.catalog.versions(artifact.id)
    trees = [dump_version(repository, f"p/data:{version.version}") for version in versions]
    assert sum(tree == complete for tree in trees) == 1
    assert len(versions) == 2


def finish_script(fs: AreaFs) -> None:
    for path, data in CONTENT.items():
        if fs.tree.resolve(path) is None or fs.read(path) != data:
            fs.put(path, data)
    if fs.read("base/kept") != b"Kept":
        fs.write("base/kept", 0, b"K")
    if fs.tree.resolve("base/gone") is not None:
        fs.unlink("base/gone")
    if fs.tree.resolve("base/moved") is not None:
        fs.rename("base/moved", "elsewhere")
