"""Real programs work in a staging mount as on a local disk, and their files in its version."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from artfs.daemon import client, stageclient
from tests.support.staging import Stager

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


def run(directory: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def use_git(root: Path) -> None:
    repository = root / "repository"
    repository.mkdir()
    run(repository, "git", "init", "--quiet")
    for number in range(3):
        (repository / f"file{number}").write_text(f"{number}\n" * 100)
        run(repository, "git", "add", ".")
        run(repository, "git", "commit", "--quiet", "--message", str(number))
    run(repository, "git", "gc", "--quiet")
    run(repository, "git", "fsck", "--strict")
    assert run(repository, "git", "status", "--short") == ""
    assert len(run(repository, "git", "log", "--oneline").splitlines()) == 3


def use_pip(root: Path) -> None:
    wheel = root.parent / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/__init__.py", "VALUE = 42\n")
        info = "tiny-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{info}/RECORD", "")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    run(root, *pip, "--target", str(root / "lib"), str(wheel))
    program = "import sys; sys.path.insert(0, 'lib'); import tiny; print(tiny.VALUE)"
    assert run(root, sys.executable, "-B", "-c", program) == "42\n"
    for path in (root / "lib").rglob("__pycache__"):
        shutil.rmtree(path)


def use_tar(root: Path) -> None:
    archive = root.parent / "source.tar"
    run(ROOT, "tar", "cf", str(archive), "--exclude=__pycache__", "artfs/manifest")
    run(root, "tar", "xf", str(archive))
    run(ROOT, "tar", "df", str(archive), "-C", str(root))


def use_rsync(root: Path) -> None:
    source, target = root.parent / "source", root / "synced"
    (source / "sub").mkdir(parents=True, exist_ok=True)
    (source / "sub" / "big").write_bytes(bytes(range(256)) * 10_000)
    (source / "link").symlink_to("sub/big")
    command = ["rsync", "-a", "--inplace", "--no-whole-file", f"{source}/", f"{target}/"]
    run(root, *command)
    with (source / "sub" / "big").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"changed")
    # rsync looks at sizes and at whole seconds.
    os.utime(source / "sub" / "big", (1_500_000_000, 1_500_000_000))
    run(root, *command)
    run(root, "diff", "-r", str(source), str(target))
    assert run(root, "rsync", "-ain", f"{source}/", f"{target}/") == ""


def use_sqlite(root: Path) -> None:
    for mode in ("wal", "delete"):
        path = root / f"{mode}.db"
        with closing(sqlite3.connect(path)) as database:
            assert database.execute(f"PRAGMA journal_mode = {mode}").fetchone() == (mode,)
            database.execute("CREATE TABLE numbers (value)")
        for start in range(3):
            with closing(sqlite3.connect(path)) as database, database:
                rows = [(start * 100 + value,) for value in range(100)]
                database.executemany("INSERT INTO numbers VALUES (?)", rows)
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT sum(value) FROM numbers").fetchone() == (44850,)
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def use_vim(root: Path) -> None:
    (root / "text").write_text("one\n")
    for option in ("backupcopy=no", "backupcopy=yes"):
        run(
            root,
            "vim",
            "-es",
            "-u",
            "NONE",
            "-c",
            f"set {option}",
            "-c",
            "normal Ax",
            "-c",
            "wq",
            "text",
        )
    assert (root / "text").read_text() == "onexx\n"
    assert [path.name for path in root.glob("*~")] == []


def use_sparse_copies(root: Path) -> None:
    with (root / "sparse").open("wb") as file:
        file.seek(10_000_000)
        file.write(b"end")
    run(root, "cp", "--sparse=always", "sparse", "copy")
    run(root, "cmp", "sparse", "copy")
    assert (root / "copy").stat().st_blocks * 512 < 1_000_000
    run(root, "dd", "if=/dev/urandom", "of=random", "bs=64k", "count=20", "conv=fsync")
    assert (root / "random").stat().st_size == 20 * 65536


def use_numpy(root: Path) -> None:
    path = root / "matrix.npy"
    written = np.lib.format.open_memmap(path, mode="w+", dtype="f4", shape=(1000, 100))
    written[:] = np.arange(100_000).reshape(1000, 100)
    written.flush()
    del written
    changed = np.load(path, mmap_mode="r+")
    assert changed[999, 99] == 99_999
    changed[0, 0] = 7
    del changed
    assert np.load(path)[0, 0] == 7
    np.savez(root / "arrays.npz", a=np.ones(10), b=np.zeros(5))
    with np.load(root / "arrays.npz") as arrays:
        assert arrays["a"].sum() == 10


def use_parallel_writers(root: Path) -> None:
    program = (
        "import os, sys\n"
        "name = sys.argv[1]\n"
        "for n in range(50):\n"
        "    with open(f'{name}-{n}.tmp', 'wb') as file: file.write(name.encode() * n)\n"
        "    os.replace(f'{name}-{n}.tmp', f'{name}-{n}')\n"
    )
    names = ["w", "x", "y", "z"]
    writers = [subprocess.Popen([sys.executable, "-c", program, name], cwd=root) for name in names]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(list(root.glob("?-*"))) == 200
    assert (root / "x-30").read_bytes() == b"x" * 30


PROGRAMS = [
    use_git,
    use_pip,
    use_tar,
    use_rsync,
    use_sqlite,
    use_vim,
    use_sparse_copies,
    use_numpy,
    use_parallel_writers,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_works_and_what_it_wrote_is_in_the_version(
    program: Callable[[Path], None], staged: Stager
) -> None:
    mountpoint = staged()
    program(mountpoint)
    expected = {
        str(path.relative_to(mountpoint)): path.read_bytes()
        for path in mountpoint.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    staged.finish(mountpoint)
    found = staged.version()
    assert {path: data for path, data in found.items() if isinstance(data, bytes)} == expected


def test_an_emptied_directory_that_is_listed_meanwhile_ends_empty(staged: Stager) -> None:
    staged.put({f"many/{number}": b"x" for number in range(3000)})
    mountpoint = staged(base="latest")
    for number in range(3000):
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
