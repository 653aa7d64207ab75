"""Trees with paths that are longer than the system takes, out of a store and into it again."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.system.files import SharedDescriptor
from artfs.system.paths import Below, open_directory
from tests.cli.conftest import Cli

LEVELS = 200
DIRECTORY = "/".join(f"{number:04}-{'n' * 55}" for number in range(LEVELS))
LARGE = os.urandom(3_000_000)
NAME_TOO_LONG = "n" * 256

CHECK = """
import sys, artfs
artifact = artfs.Api().artifact("demo/data:v0")
artifact.verify(sys.argv[1])
artifact.checkout(sys.argv[1])
"""
FOLLOW = """
import artfs
with artfs.init(project="demo") as run:
    artifact = artfs.Artifact("followed", type="dataset")
    artifact.add_dir("data", name="data")
    run.log_artifact(artifact)
"""


def opened(root: Path) -> SharedDescriptor:
    """The directory at the end of the long path."""
    return Below(open_directory(root)).open(DIRECTORY, create=True)[0]


def write(directory: SharedDescriptor, name: str, content: bytes, *, mode: int = 0o644) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=directory.fd)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


@pytest.fixture
def data(cli: Cli) -> Iterator[Path]:
    """A directory `data` with files, a link and an empty directory below 200 levels."""
    root = cli.directory / "data"
    root.mkdir()
    directory = opened(root)
    write(directory, "small", b"small")
    write(directory, "large", LARGE)
    write(directory, "executable", b"#!/bin/sh\n", mode=0o755)
    os.symlink("small", "link", dir_fd=directory.fd)
    os.mkdir("empty", dir_fd=directory.fd)
    yield root
    # Left to pytest, they would be deeper than it can remove.
    subprocess.run(["rm", "-rf", root, cli.directory / "out"], check=True)


def check(cli: Cli, root: str) -> None:
    subprocess.run([sys.executable, "-c", CHECK, root], env=cli.environment, check=True)


@pytest.mark.parametrize("more", [[], ["--link"]], ids=["copied", "linked"])
def test_what_was_taken_out_is_taken_in_again_however_long_its_paths_are(
    cli: Cli, data: Path, more: list[str]
) -> None:
    first = cli.ok("put", data, "-n", "demo/data", "--json", *more).json
    assert first["created"]
    out = cli.directory / "out"
    cli.ok("get", "demo/data", "--root", out)
    check(cli, str(out))
    again = cli.ok("put", out, "-n", "demo/data", "--json", *more).json
    assert not again["created"]
    assert cli.ok("put", out, "-n", "demo/copy", "--json").json["digest"] == first["digest"]
    assert cli.ok("diff", "demo/data", "demo/copy", "--json").json["changes"] == []
    cli.ok("verify")


def test_a_difference_at_the_end_of_a_long_path_is_taken_in_named_and_pruned(
    cli: Cli, data: Path
) -> None:
    cli.ok("put", data, "-n", "demo/data")
    write(opened(data), "more", b"more")
    with pytest.raises(subprocess.CalledProcessError):
        check(cli, str(data))
    cli.ok("put", data, "-n", "demo/data")
    changes = cli.ok("diff", "demo/data:v0", "demo/data:v1", "--json").json["changes"]
    assert [change["path"] for change in changes] == [f"{DIRECTORY}/more"]
    cli.ok("get", "demo/data:v0", "--root", data)
    program = CHECK.replace("artifact.verify(sys.argv[1])\n", "") + "artifact.verify(sys.argv[1])\n"
    subprocess.run([sys.executable, "-c", program, data], env=cli.environment, check=True)


def test_links_at_the_end_of_a_long_path_are_followed(cli: Cli, data: Path) -> None:
    directory = opened(data)
    os.symlink("empty", "linked", dir_fd=directory.fd)
    write(Below(directory).open("empty")[0], "inner", b"inner")
    subprocess.run(
        [sys.executable, "-c", FOLLOW], env=cli.environment, cwd=cli.directory, check=True
    )
    found = cli.ok("manifest", "demo/followed").json["contents"]
    names = ("executable", "large", "link", "small", "empty/inner", "linked/inner")
    assert set(found) == {f"data/{DIRECTORY}/{name}" for name in names}


@pytest.mark.parametrize("checksum", [True, False])
def test_a_file_at_the_end_of_a_long_path_is_referred_to_and_read(
    cli: Cli, data: Path, checksum: bool
) -> None:
    directory = opened(data)
    os.symlink("empty", "linked", dir_fd=directory.fd)
    more = [] if checksum else ["--no-checksum"]
    cli.ok("put", "--ref", f"file://{data}", "-n", "demo/data", *more)
    out = cli.directory / "out"
    cli.ok("get", "demo/data", "--root", out)
    end = Below(open_directory(out)).open(DIRECTORY)[0]
    names = ["executable", "large", "link", "small"]
    assert all(stat.S_ISREG(os.stat(each, dir_fd=end.fd).st_mode) for each in names)
    with os.fdopen(os.open("large", os.O_RDONLY, dir_fd=end.fd), "rb") as file:
        assert file.read() == LARGE
    write(directory, "grown", b"")
    os.unlink("small", dir_fd=directory.fd)
    write(directory, "small", b"other")
    subprocess.run(["rm", "-rf", out], check=True)
    cli.fails(6, "get", "demo/data", "--root", out, says="pinned")


def test_what_cannot_be_taken_in_is_named_by_its_whole_path(cli: Cli, data: Path) -> None:
    directory = opened(data)
    os.mkfifo("fifo", dir_fd=directory.fd)
    cli.fails(10, "put", data, "-n", "demo/data", says=f"{DIRECTORY}/fifo: is a fifo")
    cli.fails(3, "ls", "demo/data")


def test_a_name_that_is_too_long_for_a_file_system_is_one_line_with_a_hint(cli: Cli) -> None:
    (cli.directory / "a").write_text("a")
    cli.ok("put", "a", "-n", "demo/data")
    for arguments in (
        ["put", NAME_TOO_LONG, "-n", "demo/data"],
        ["put", "n/" * 2100, "-n", "demo/data"],
        ["get", "demo/data", "--root", NAME_TOO_LONG],
    ):
        cli.fails(10, *arguments, says=["too long", "choose another place"])
