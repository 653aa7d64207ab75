"""What a staging mount shows, fetches, leaves out and stores, with the tools that people use."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from artfs.mounts import client
from artfs.mounts import staging_client as stageclient
from tests.support.staging import Stager


def run(directory: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_emptied_directory_that_is_listed_meanwhile_ends_empty(staged: Stager) -> None:
    staged.put({f"many/{number}": b"x" for number in range(1000)})
    mountpoint = staged(base="latest")
    for number in range(1000):
        (mountpoint / "many" / f"new{number}").touch()
    shutil.rmtree(mountpoint / "many")
    assert list(mountpoint.iterdir()) == []


def test_nothing_of_the_base_is_read_before_it_is_needed(staged: Stager) -> None:
    big = os.urandom(9_000_000)
    staged.put({"big": big, "dir/other": big[:5_000_000]})
    mountpoint = staged(base="latest")
    (mountpoint / "big").chmod(0o755)
    (mountpoint / "big").rename(mountpoint / "renamed")
    (mountpoint / "dir").rename(mountpoint / "moved")
    (mountpoint / "moved" / "other").open("r+b").close()
    (mountpoint / "replaced").write_bytes(b"")
    (mountpoint / "moved" / "other").write_bytes(b"short")
    run(mountpoint, "ls", "-lR")
    status = stageclient.staging_status(mountpoint)
    counters = client.status(mountpoint).counters
    assert counters is not None
    assert counters.bytes_loaded == 0
    own = sum(path.stat().st_size for path in (status.path / "files").iterdir())
    assert own == len(b"short")
    staged.finish(mountpoint)
    assert staged.version() == {
        "renamed": big,
        "moved": None,
        "moved/other": b"short",
        "replaced": b"",
    }


def test_what_the_ignore_file_names_stays_out_of_the_version(staged: Stager) -> None:
    mountpoint = staged()
    (mountpoint / ".artfsignore").write_text("*.swp\n/build/\n!keep.swp\n")
    (mountpoint / "build").mkdir()
    for name in ("a", "a.swp", "keep.swp", "build/x"):
        (mountpoint / name).write_bytes(name.encode())
    stageclient.commit(mountpoint)
    assert sorted(staged.version()) == [".artfsignore", "a", "keep.swp"]
    assert (mountpoint / "a.swp").read_bytes() == b"a.swp"
    assert (mountpoint / "build" / "x").read_bytes() == b"build/x"
    (mountpoint / "b").touch()
    staged.finish(mountpoint)
    assert sorted(staged.version()) == [".artfsignore", "a", "b", "keep.swp"]


def test_only_directories_on_the_way_to_a_change_are_new(staged: Stager) -> None:
    staged.put({"a/b/file": b"1", "a/c/file": b"2", "d/file": b"3"})
    repository = staged.repository
    mountpoint = staged(base="latest")
    (mountpoint / "a" / "b" / "file").write_bytes(b"new")
    (mountpoint / "d").rename(mountpoint / "e")
    before = {blob.sha256 for blob in repository.catalog.blobs()}
    staged.finish(mountpoint)
    after = {blob.sha256 for blob in repository.catalog.blobs()}
    # The file, and the directories a/b, a and the root.
    assert len(after - before) == 4


def test_hard_links_are_files_of_their_own_in_the_version_and_stored_once(
    staged: Stager,
) -> None:
    mountpoint = staged()
    (mountpoint / "one").write_bytes(b"shared" * 300_000)
    os.link(mountpoint / "one", mountpoint / "two")
    before = staged.repository.catalog.totals().blobs
    stageclient.commit(mountpoint)
    assert staged.version()["one"] == staged.version()["two"]
    # The content and the root directory.
    assert staged.repository.catalog.totals().blobs - before == 2
    with (mountpoint / "one").open("ab") as file:
        file.write(b"more")
    assert (mountpoint / "two").stat().st_nlink == 2
    assert (mountpoint / "two").read_bytes().endswith(b"more")
