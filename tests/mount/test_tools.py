"""Everyday tools on a mount give what they give on a local disk."""

from __future__ import annotations

import filecmp
import hashlib
import mmap
import os
import random
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.repository.facade import Repository
from tests.support.mounts import Mounter, mounting, own_runtime
from tests.support.privileges import unprivileged
from tests.support.stores import EmptyDirectory, File, Item, Link, commit, new_store

NOISE = random.Random(5).randbytes(9 * 1024 * 1024 + 17)
CONTENT: dict[str, Item] = {
    "README.md": b"# A dataset\nneedle\n",
    "empty": b"",
    "big.bin": NOISE,
    "bin/hello": File(b"#!/bin/sh\necho hello from $1\n", executable=True),
    "bin/true": File(Path("/bin/true").read_bytes(), executable=True),
    "images/0/a.png": b"\x89PNG" * 100,
    "images/0/b c.png": b"\x89PNG" * 50,
    "images/1/\u00fcml\u00e4ut \U0001f600.png": b"needle in a file",
    "images/link": Link("0/a.png"),
    "images/dangling": Link("nowhere"),
    "nothing here": EmptyDirectory(),
    "deep/er/and/deep/er/x": b"x",
    "-dash": b"dash",
    ".hidden": b"hidden",
}


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A mounted version, for all tests here."""
    root = tmp_path_factory.mktemp("tools")
    with own_runtime(), new_store(root / "store") as repository, mounting(root) as mounted:
        commit(repository, "demo/digits", CONTENT)
        yield mounted(repository) / "demo" / "digits" / "latest"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same content on the local disk."""
    root = tmp_path_factory.mktemp("plain")
    for where, item in CONTENT.items():
        path = root / where
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(item, EmptyDirectory):
            path.mkdir()
        elif isinstance(item, Link):
            path.symlink_to(item.target)
        else:
            file = File(item) if isinstance(item, bytes) else item
            path.write_bytes(file.data)
            path.chmod(0o755 if file.executable else 0o644)
            os.utime(path, ns=(file.mtime_ns, file.mtime_ns))
    return root


def run(command: str, **variables: Path) -> str:
    """What a shell command prints; it must succeed and say nothing on standard error."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **{k: str(v) for k, v in variables.items()}}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def change_and_remove(target: Path) -> None:
    """What anybody does to a copy of a directory; root's privileges do not help."""
    command = 'cd "$1"; echo x >> README.md; echo x > images/0/new; rm -r "$1"'
    subprocess.run(
        unprivileged(["bash", "-euo", "pipefail", "-c", command, "bash", str(target)]), check=True
    )


def assert_same(one: Path, two: Path) -> None:
    run('diff -r --no-dereference "$one" "$two"', one=one, two=two)


@pytest.mark.parametrize(
    "command",
    [
        "ls -A",
        "ls -R",
        "find . | sort",
        "find . -type f -printf '%p %s %T@\\n' | sort",
        "find . -type f -perm -u+x | sort",
        "find . -type l -printf '%p %l\\n' | sort",
        "find . -type f -print0 | sort -z | xargs -0 sha256sum",
        "grep -rl needle . | sort",
        "grep -c needle README.md",
        "du --apparent-size -b big.bin README.md",
        "wc -c < big.bin",
        "tail -c 100 big.bin | md5sum",
        "dd if=big.bin bs=333 skip=17 count=20000 status=none | md5sum",
        "head -c 5000000 big.bin | md5sum",
        "file images/0/a.png 2>/dev/null || true",
        "readlink images/link images/dangling",
        "stat -c '%F %s %h' README.md big.bin images/link",
        "./bin/hello world",
        "./bin/true",
    ],
)
def test_a_command_prints_what_it_prints_on_a_disk(
    version: Path, plain: Path, command: str
) -> None:
    assert run(f'cd "$where"; {command}', where=version) == run(
        f'cd "$where"; {command}', where=plain
    )


@pytest.mark.parametrize(
    "command",
    [
        'cp -r "$source" "$target"',
        'cp -a "$source" "$target"',
        'mkdir "$target"; tar -C "$source" -cf - . | tar -C "$target" -xf -',
        'cp -a --reflink=auto --sparse=never "$source" "$target"',
    ],
)
def test_a_copy_is_the_same_and_can_be_changed_and_removed(
    version: Path, plain: Path, tmp_path: Path, command: str
) -> None:
    target = tmp_path / "copy"
    run(command, source=version, target=target)
    assert_same(plain, target)
    change_and_remove(target)


def test_rsync_copies_and_then_finds_nothing_to_do(
    version: Path, plain: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy"
    run('rsync -a "$source/" "$target/"', source=version, target=target)
    assert_same(plain, target)
    assert run('rsync -ai "$source/" "$target/"', source=version, target=target) == ""


def test_times_and_executable_bits_survive_a_copy(version: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    run('cp -a "$source" "$target"', source=version, target=target)
    for name in ("README.md", "bin/hello"):
        assert (target / name).stat().st_mtime_ns == (version / name).stat().st_mtime_ns
    assert os.access(target / "bin/hello", os.X_OK)
    assert not (target / "README.md").stat().st_mode & 0o111
    change_and_remove(target)


def test_du_counts_what_the_files_hold(version: Path, plain: Path) -> None:
    expected = sum(
        -(-path.lstat().st_size // 512)
        for path in plain.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    assert int(run('du -s --block-size=512 "$where"', where=version).split()[0]) == expected


def test_git_sees_the_difference_between_two_versions(
    repository: Repository, mounted: Mounter
) -> None:
    first = commit(repository, "demo/text", {"a": b"one\n", "b": b"same\n"})
    commit(repository, "demo/text", {"a": b"two\n"}, base=first)
    root = mounted(repository, "demo/text")
    done = subprocess.run(
        ["git", "diff", "--no-index", "--stat", "v0", "v1"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "1 file changed, 1 insertion(+), 1 deletion(-)" in done.stdout


def test_a_file_can_be_mapped(version: Path) -> None:
    with (
        (version / "big.bin").open("rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped,
    ):
        source = random.Random(1)
        for _ in range(100):
            start = source.randrange(len(NOISE))
            assert mapped[start : start + 5000] == NOISE[start : start + 5000]
        assert hashlib.sha256(mapped).digest() == hashlib.sha256(NOISE).digest()


def test_python_s_own_tools_work(version: Path, plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    shutil.copytree(version, target, symlinks=True)
    assert_same(plain, target)
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        archive.add(version, "version")
    with tarfile.open(tmp_path / "archive.tar") as archive:
        member = archive.extractfile("version/big.bin")
        assert member is not None
        assert member.read() == NOISE
        # Equal files are no hard links.
        assert not any(each.islnk() for each in archive.getmembers())
    assert filecmp.cmp(version / "big.bin", plain / "big.bin", shallow=False)
    change_and_remove(target)


def test_df_knows_how_much_the_mount_shows_and_calls_it_never_full(version: Path) -> None:
    for options, least in (
        ("-B1 --output=source,fstype,size,used,pcent", len(NOISE)),
        ("--output=source,fstype,itotal,iused,ipcent", 8),
    ):
        line = run(f'df {options} "$where" | tail -1', where=version).split()
        assert line[:2] == ["artfs", "fuse.artfs"]
        assert int(line[2]) >= least
        assert line[3:] == ["0", "0%"]
