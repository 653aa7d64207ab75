"""Parts of versions: printed, downloaded, chosen by patterns; what would be done is said before."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def files(root: Path) -> set[str]:
    """The files and links below a directory."""
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


@pytest.fixture(scope="module")
def stored_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what `tree` says, to be copied."""
    cli = Cli(tmp_path_factory.mktemp("tree"))
    root = cli.directory / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    for name in ("a.txt", "b.png", "sub/c.txt", "sub/d.png", "sub/deep/e.txt"):
        (root / name).write_text(f"{name}\n")
    (root / "to-c").symlink_to("sub/c.txt")
    (root / "sub" / "up").symlink_to("../to-c")
    (root / "out").symlink_to("../../etc/passwd")
    (root / "round").symlink_to("round")
    cli.ok("put", root, "-n", "demo/tree")
    return cli.directory


@pytest.fixture
def tree(tmp_path: Path, stored_tree: Path) -> Cli:
    """demo/tree:v0 with a.txt, b.png, sub/c.txt, sub/d.png, sub/deep/e.txt and some links."""
    shutil.copytree(stored_tree, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Cli(tmp_path)


def test_cat_prints_files_as_they_are_over_links_and_patterns(tree: Cli) -> None:
    assert (
        tree.ok("cat", "demo/tree:v0/a.txt", "demo/tree/latest/sub/up").out == "a.txt\nsub/c.txt\n"
    )
    assert tree.ok("cat", "demo/tree:latest/sub/*.txt").out == "sub/c.txt\nsub/deep/e.txt\n"
    binary = bytes(range(256)) * 30_000
    (tree.directory / "binary").write_bytes(binary)
    tree.ok("put", tree.directory / "binary", "-n", "demo/binary")
    done = subprocess.run(
        tree.command("cat", "demo/binary:v0/binary"),
        env=tree.environment,
        capture_output=True,
        check=True,
    )
    assert done.stdout == binary
    said = tree.ok("cat", "demo/tree:v0/sub/up", "--json").json["paths"]
    assert [(each["path"], each["kind"], each["size_bytes"]) for each in said] == [
        ("sub/up", "file", 10)
    ]


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [
        ("demo/tree:v0", 10, "names no file in a version: `artfs ls demo/tree:v0`"),
        ("demo/tree:v0/sub", 10, "is a directory"),
        ("demo/tree:v0/nothing", 3, "no such file"),
        ("demo/tree:v0/*.jpg", 3, "nothing matches"),
        ("demo/tree:v0/out", 3, "leads out of it"),
        ("demo/tree:v0/round", 3, "too many links"),
    ],
)
def test_cat_prints_nothing_of_what_is_no_file(
    tree: Cli, target: str, code: int, says: str
) -> None:
    result = tree.run("cat", "demo/tree:v0/a.txt", target)
    assert (result.code, result.out) == (code, "")
    assert says in result.err


def test_a_part_is_downloaded_to_its_place(tree: Cli) -> None:
    out = tree.directory / "out-1"
    said = tree.ok("get", "demo/tree:v0/sub", "--root", out).out
    assert said == f"demo/tree:v0/sub: 4 files, 35 B in {out}\n"
    assert files(out) == {"sub/c.txt", "sub/d.png", "sub/deep/e.txt", "sub/up"}
    tree.ok("get", "demo/tree/v0/*.png", "--root", tree.directory / "out-2")
    assert files(tree.directory / "out-2") == {"b.png", "sub/d.png"}
    arguments = ("--include", "*.txt", "--include", "to-*", "--exclude", "deep/")
    tree.ok("get", "demo/tree", "--root", tree.directory / "out-3", *arguments)
    assert files(tree.directory / "out-3") == {"a.txt", "sub/c.txt", "to-c"}
    assert not (tree.directory / "out-3" / "sub" / "deep").exists()
    nowhere = tree.directory / "out-4"
    tree.fails(3, "get", "demo/tree", "--include", "*.jpg", "--root", nowhere, says="matches")
    assert not nowhere.exists()
    tree.fails(2, "get", "demo/tree", "./here", says="`artfs get demo/tree --root ./here`?")


def test_exact_removes_what_the_version_does_not_have_once_that_is_agreed(tree: Cli) -> None:
    out = tree.directory / "exact"
    tree.ok("get", "demo/tree", "--root", out)
    (out / "a.txt").write_text("changed\n")
    (out / "more" / "below").mkdir(parents=True)
    for name in ("more/below/x.txt", "more/y.png", "sub/z.txt"):
        (out / name).write_text(name)
    before = files(out)
    arguments = ("get", "demo/tree", "--root", out, "--exact")
    plan = tree.ok(*arguments, "--dry-run", "--json").json
    assert [each["path"] for each in plan["write"]] == ["a.txt"]
    assert plan["remove"] == ["more/below/x.txt", "more/y.png", "sub/z.txt"]
    assert plan["right"] == 8
    tree.fails(10, *arguments, says="say `--yes`")
    assert (files(out), (out / "a.txt").read_text()) == (before, "changed\n")
    tree.ok(*arguments, "--exclude", "*.png", "--yes")
    assert files(out) == before - {"more/below/x.txt", "sub/z.txt"}
    tree.ok("get", "demo/tree/v0/sub", "--root", out, "--exact")
    assert (out / "more" / "y.png").exists()
    assert tree.ok(*arguments, "--yes").out.endswith("; 1 removed\n")
    assert files(out) == files(tree.directory / "tree")
    assert not (out / "more").exists()


def test_put_leaves_out_what_is_excluded_and_can_say_it_before(tree: Cli) -> None:
    source = tree.directory / "tree"
    arguments = ("put", source, "-n", "new/tree", "--exclude", "*.png", "--exclude", "deep/")
    plan = tree.ok(*arguments, "--exclude", "[!a-z]", "--dry-run").out.splitlines()
    left = ["a.txt", "out", "round", "to-c", "sub/c.txt", "sub/up"]
    assert plan == [*(f"would store {path}" for path in left), "new/tree: 6 files, 16 B"]
    tree.fails(3, "ls", "new")
    tree.ok(*arguments)
    assert set(tree.ok("ls", "-r", "new/tree:latest").out.split()) == set(left)
    elsewhere = tree.directory / "elsewhere"
    dry = ("put", source, "-n", "a/b", "--dry-run", "--json", "--store", elsewhere)
    assert tree.ok(*dry).json["file_count"] == 9
    assert not elsewhere.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_put_stays_on_one_file_system_unless_told_otherwise(cli: Cli) -> None:
    below = cli.directory / "data" / "below"
    below.mkdir(parents=True)
    (below.parent / "here").write_text("here")
    subprocess.run(["mount", "-t", "tmpfs", "artfs-test", below], check=True)
    try:
        (below / "there").write_text("there")
        cli.run("init")
        result = cli.run("put", below.parent, "-n", "demo/one")
        assert result.err == f"artfs: {below}: left out: it is on another file system\n"
        assert cli.ok("ls", "-r", "demo/one:v0").out == "here\n"
        cli.ok("put", below.parent, "-n", "demo/two", "--other-file-systems")
        assert cli.ok("ls", "-r", "demo/two:v0").out == "below/there\nhere\n"
    finally:
        subprocess.run(["umount", below], check=True)
