"""Who sees one version while an alias moves, and who may see two (promise R4)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from artfs.repository.facade import Repository
from tests.support.mounts import Mounter
from tests.support.stores import Item, commit

NAMES = [f"{directory}/{index}" for directory in ("a", "b", "c") for index in range(8)]


def move(repository: Repository, number: int) -> None:
    """A version of which every file holds its number; `latest` moves to it."""
    content: dict[str, Item] = dict.fromkeys(NAMES, b"%d" % number * 9000)
    assert commit(repository, "p/a", content).index == number


def versions_in(directory: Path) -> set[bytes]:
    """The numbers that the files of a copy hold; each must be whole, and of one version."""
    found = set()
    for name in NAMES:
        data = (directory / name).read_bytes()
        assert data == data[:1] * 9000, name
        found.add(data[:1])
    return found


@pytest.fixture
def root(repository: Repository, mounted: Mounter) -> Path:
    """p/a, of which `latest` can be moved at any moment."""
    move(repository, 0)
    return mounted(repository, "p/a", alias_ttl_s=0.0)


# Stops after the first files until the alias has moved, whatever has been read ahead by then.
TAR = """
cd "$1"; shift
exec tar -b1 --checkpoint=40 --checkpoint-action=exec='
    test -e "$FLAG" || { : > "$FLAG"; read -r line < "$GATE"; }' -cf "$ARCHIVE" "$@"
"""


@pytest.mark.parametrize("arguments", [["latest", "."], [".", "-C", "latest", "."]])
def test_r4_tar_in_an_alias_that_moves_gets_one_version(
    repository: Repository, root: Path, tmp_path: Path, arguments: list[str]
) -> None:
    gate, flag, archive = tmp_path / "gate", tmp_path / "flag", tmp_path / "archive.tar"
    os.mkfifo(gate)
    environment = {**os.environ, "GATE": str(gate), "FLAG": str(flag), "ARCHIVE": str(archive)}
    where, *rest = arguments
    command = ["bash", "-c", TAR, "bash", str(root / where), *rest]
    with subprocess.Popen(command, env=environment) as process:
        # Opening it waits for tar, which then waits for the line.
        with gate.open("w") as line:
            move(repository, 1)
            line.write("\n")
        assert process.wait(60) == 0
    assert flag.exists()
    assert (root / "latest/c/7").read_bytes()[:1] == b"1"
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "xf", archive, "-C", tmp_path / "out"], check=True)
    assert versions_in(tmp_path / "out") == {b"0"}


def test_r4_who_holds_a_directory_sees_one_version(repository: Repository, root: Path) -> None:
    held = os.open(root / "latest", os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = set()
        for number, name in enumerate(NAMES[::4], 1):
            file = os.open(name, os.O_RDONLY, dir_fd=held)
            found.add(os.read(file, 1))
            os.close(file)
            move(repository, number)
        assert found == {b"0"}
    finally:
        os.close(held)


def test_r4_what_runs_below_a_working_directory_sees_one_version(
    repository: Repository, root: Path, tmp_path: Path
) -> None:
    for name in ("cp", "tar"):
        (tmp_path / name).mkdir()
    with subprocess.Popen(
        ["bash"], cwd=root / "latest", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        for number, command in enumerate(
            (f"cp -r . '{tmp_path}/cp'", f"tar -cf - . | tar -xf - -C '{tmp_path}/tar'"), 1
        ):
            move(repository, number)
            print(command, "; echo done", file=shell.stdin, flush=True)
            assert shell.stdout.readline() == "done\n"
    assert versions_in(tmp_path / "cp") == versions_in(tmp_path / "tar") == {b"0"}


def copy_while_it_moves(repository: Repository, source: Path, target: Path) -> set[bytes]:
    """Copy by paths, the alias moving once a file has been copied; the versions that are in it."""
    copied = 0

    def copy(one: str, two: str) -> None:
        nonlocal copied
        shutil.copyfile(one, two)
        copied += 1
        if copied == 5:
            move(repository, 1)

    shutil.copytree(source, target, copy_function=copy)
    return versions_in(target)


def test_r4_a_walk_by_paths_may_see_two_versions_and_each_file_is_whole(
    repository: Repository, root: Path, tmp_path: Path
) -> None:
    assert copy_while_it_moves(repository, root / "latest", tmp_path / "copy") == {b"0", b"1"}


def test_r4_a_walk_by_paths_below_a_number_sees_one_version(
    repository: Repository, root: Path, tmp_path: Path
) -> None:
    assert copy_while_it_moves(repository, root / "v0", tmp_path / "copy") == {b"0"}


@pytest.mark.parametrize(
    ("target", "path", "options"),
    [
        ("p/a", "latest", {"freeze": True}),
        ("p/a:latest", ".", {}),
        ("p/a", "latest", {"aliases": "symlink"}),
    ],
)
def test_r4_a_walk_by_paths_sees_one_version_where_the_alias_was_resolved_once(
    repository: Repository,
    mounted: Mounter,
    tmp_path: Path,
    target: str,
    path: str,
    options: dict[str, object],
) -> None:
    move(repository, 0)
    source = mounted(repository, target, alias_ttl_s=0.0, **options) / path
    found = copy_while_it_moves(repository, source.resolve(), tmp_path / "copy")
    assert found == {b"0"}
