"""What stat, getfattr and the listing of names say."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from artfs.repository.facade import Repository
from tests.support.mounts import Mounter
from tests.support.stores import File, Link, commit


def names(directory: Path) -> list[str]:
    """The names in a directory, in the order in which it lists them."""
    return [entry.name for entry in os.scandir(directory)]


def errno_of(act: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:
        act()
    return caught.value.errno


def test_a_store_shows_projects_artifacts_versions_and_aliases(
    repository: Repository, mounted: Mounter
) -> None:
    for index in range(12):
        commit(repository, "one/a", {"x": b"%d" % index}, aliases=("best",) if index == 3 else ())
    commit(repository, "one/b", {"x": b"b"})
    commit(repository, "two/c", {"x": b"c"})
    root = mounted(repository)
    assert names(root) == ["one", "two"]
    assert names(root / "one") == ["a", "b"]
    versions = [f"v{index}" for index in range(12)]
    assert names(root / "one" / "a") == ["best", "latest", *versions]
    assert (root / "one/a/best/x").read_bytes() == b"3"
    assert (root / "one/a/latest/x").read_bytes() == b"11"
    for name in ("v12", "v01", "v-1", "nope", "..v1", "v1:latest", "a b"):
        assert not (root / "one" / "a" / name).exists()


def test_a_digest_is_no_name_in_a_directory(repository: Repository, mounted: Mounter) -> None:
    version = commit(repository, "p/a", {"x": b"x"})
    assert not (mounted(repository, "p/a") / version.digest).exists()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (None, "p/a/v0/x"),
        ("p", "a/v0/x"),
        ("p/a", "v0/x"),
        ("p/a:v0", "x"),
        ("p/a:latest", "x"),
    ],
)
def test_every_kind_of_target_can_be_mounted(
    repository: Repository, mounted: Mounter, target: str | None, path: str
) -> None:
    commit(repository, "p/a", {"x": b"content"})
    assert (mounted(repository, target) / path).read_bytes() == b"content"


def test_a_mounted_version_is_pinned(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", {"x": b"0"})
    root = mounted(repository, "p/a:latest", alias_ttl_s=0.0)
    commit(repository, "p/a", {"x": b"1", "y": b"1"})
    assert names(root) == ["x"]
    assert (root / "x").read_bytes() == b"0"


def test_a_portfolio_is_mounted_like_an_artifact(repository: Repository, mounted: Mounter) -> None:
    first = commit(repository, "p/a", {"x": b"a"})
    second = commit(repository, "p/b", {"x": b"b"})
    for version in (first, second):
        repository.catalog.link(version.id, "models", "best", ["prod"])
    root = mounted(repository)
    assert names(root / "models/best") == ["latest", "prod", "v0", "v1"]
    assert (root / "models/best/v0/x").read_bytes() == b"a"
    assert (root / "models/best/prod/x").read_bytes() == b"b"


def test_attributes_are_exact(repository: Repository, mounted: Mounter) -> None:
    version = commit(
        repository,
        "p/a",
        {
            "d/file": File(b"x" * 1000, mtime_ns=1_234_567_890_123_456_789),
            "d/old": File(b"", mtime_ns=-5_000_000_001),
            "d/run": File(b"#!", executable=True),
            "d/link": Link("file"),
        },
    )
    root = mounted(repository, "p/a:v0")
    file, old = (root / "d/file").stat(), (root / "d/old").stat()
    assert stat.filemode(file.st_mode) == "-rw-r--r--"
    assert (file.st_size, file.st_blocks, file.st_nlink) == (1000, 2, 1)
    assert (file.st_uid, file.st_gid) == (os.getuid(), os.getgid())
    assert file.st_mtime_ns == file.st_ctime_ns == 1_234_567_890_123_456_789
    assert (old.st_size, old.st_blocks, old.st_mtime_ns) == (0, 0, -5_000_000_001)
    assert stat.filemode((root / "d/run").stat().st_mode) == "-rwxr-xr-x"
    link = (root / "d/link").lstat()
    assert (stat.filemode(link.st_mode), link.st_size) == ("lrwxrwxrwx", 4)
    for directory in (root, root / "d"):
        status = directory.stat()
        assert stat.filemode(status.st_mode) == "drwxr-xr-x"
        assert status.st_mtime_ns == version.created_at_ns


def test_owner_and_modes_can_be_chosen(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", {"file": b"x", "run": File(b"#!", executable=True)})
    # Nobody but root may look into what belongs to somebody else alone.
    uid = 1234 if os.geteuid() == 0 else os.geteuid()
    root = mounted(repository, "p/a:v0", uid=uid, gid=567, umask=0o027)
    for name, mode in (("file", "-rw-r-----"), ("run", "-rwxr-x---"), (".", "drwxr-x---")):
        status = (root / name).stat()
        assert (status.st_uid, status.st_gid) == (uid, 567)
        assert stat.filemode(status.st_mode) == mode


def test_a_listing_tells_the_numbers_that_stat_tells(
    repository: Repository, mounted: Mounter
) -> None:
    commit(repository, "p/a", {"f": b"x", "d/g": b"y", "l": Link("f")})
    root = mounted(repository)
    for directory in (root, root / "p", root / "p/a", root / "p/a/v0", root / "p/a/v0/d"):
        for entry in os.scandir(directory):
            assert entry.inode() == os.lstat(entry.path).st_ino
            assert entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(os.lstat(entry.path).st_mode)


def test_dot_and_dot_dot_are_listed(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", {"d/f": b"x"})
    root = mounted(repository, "p/a:v0")
    done = subprocess.run(["ls", "-ai", root / "d"], capture_output=True, text=True, check=True)
    listed = done.stdout.split()
    inodes = dict(zip(listed[1::2], map(int, listed[::2]), strict=True))
    assert set(inodes) == {".", "..", "f"}
    assert inodes["."] == (root / "d").stat().st_ino
    assert inodes[".."] == root.stat().st_ino


def test_xattrs_say_what_a_version_is(repository: Repository, mounted: Mounter) -> None:
    version = commit(
        repository, "p/a", {"d/f": b"x"}, aliases=("best",), metadata={"accuracy": 0.5}
    )
    root = mounted(repository)
    top = root / "p/a/latest"
    told = {name: os.getxattr(top, name).decode() for name in os.listxattr(top)}
    assert told == {
        "user.artfs.digest": version.digest,
        "user.artfs.sha256": version.tree.hex(),
        "user.artfs.version": "p/a:v0",
        "user.artfs.aliases": "best,latest",
        "user.artfs.type": "dataset",
        "user.artfs.metadata": '{"accuracy":0.5}',
        "user.artfs.path": "",
    }
    assert os.getxattr(top / "d", "user.artfs.path") == b"d"
    assert os.getxattr(top / "d", "user.artfs.version") == b"p/a:v0"
    entry = repository.find(version.tree, "d/f")
    file = {name: os.getxattr(top / "d/f", name).decode() for name in os.listxattr(top / "d/f")}
    assert file == {
        "user.artfs.digest": entry.digest,  # type: ignore[union-attr]
        "user.artfs.sha256": entry.sha256.hex(),  # type: ignore[union-attr]
    }
    assert os.getxattr(root / "p/a", "user.artfs.type") == b"dataset"
    assert os.listxattr(root) == []


def test_other_xattrs_are_not_there(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", {"f": b"x"})
    path = mounted(repository, "p/a:v0") / "f"
    for name in ("user.mine", "user.artfs.nothing", "user.artfs.version"):
        assert errno_of(partial(os.getxattr, path, name)) == errno.ENODATA
    # The kernel itself answers a user for names that only root may see.
    of_root = ["trusted.x"] if os.geteuid() == 0 else []
    for name in ("system.posix_acl_access", "security.selinux", *of_root):
        assert errno_of(partial(os.getxattr, path, name)) == errno.EOPNOTSUPP


def test_metadata_is_json_that_every_program_can_read(
    repository: Repository, mounted: Mounter
) -> None:
    metadata = {"loss": math.inf, "half\ud800": ["\udfff", "é"], "n": math.nan}
    commit(repository, "p/a", {"f": b"x"}, metadata=metadata)
    text = os.getxattr(mounted(repository, "p/a:v0"), "user.artfs.metadata").decode()
    assert "é" in text
    assert json.loads(text) == {"loss": "Infinity", "half\ud800": ["\udfff", "é"], "n": "NaN"}


def test_metadata_that_no_xattr_can_hold_is_an_error_and_harms_nothing(
    repository: Repository, mounted: Mounter
) -> None:
    commit(repository, "p/a", {"f": b"x"}, metadata={"long": "x" * 100_000})
    root = mounted(repository, "p/a:v0")
    assert errno_of(lambda: os.getxattr(root, "user.artfs.metadata")) == errno.E2BIG
    assert os.getxattr(root, "user.artfs.version") == b"p/a:v0"


def test_names_that_are_no_utf8_are_nowhere(repository: Repository, mounted: Mounter) -> None:
    commit(repository, "p/a", {"f": b"x"})
    root = mounted(repository, "p/a:v0")
    assert errno_of((root / os.fsdecode(b"\xff\xfe")).stat) == errno.ENOENT
    assert errno_of((root / ("x" * 300)).stat) == errno.ENAMETOOLONG


def test_a_large_directory_is_listed_whole_and_found_by_name(
    repository: Repository, mounted: Mounter
) -> None:
    content = {f"file-{index:05}": b"%d" % (index % 7) for index in range(5000)}
    commit(repository, "p/a", content)
    root = mounted(repository, "p/a:v0")
    assert names(root) == sorted(content)
    assert (root / "file-04999").read_bytes() == b"%d" % (4999 % 7)
    # A listing may begin anywhere: rewind, and go on from the middle.
    with os.scandir(root) as entries:
        first = [next(entries).name for _ in range(3000)]
    assert first == sorted(content)[:3000]


def test_two_hundred_readers_at_once_all_get_their_bytes(
    repository: Repository, mounted: Mounter
) -> None:
    content = {f"f{index}": os.urandom(50_000 + index) for index in range(40)}
    commit(repository, "p/a", {**content, "shared": os.urandom(6_000_000)})
    root = mounted(repository, "p/a:v0")
    wrong: list[str] = []

    def read(index: int) -> None:
        name = f"f{index % 40}"
        if (root / name).read_bytes() != content[name]:
            wrong.append(name)
        (root / "shared").read_bytes()

    readers = [threading.Thread(target=read, args=(index,)) for index in range(200)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert not any(reader.is_alive() for reader in readers)
    assert wrong == []


def test_getcwd_survives_an_alias_move_with_symlinks(
    repository: Repository, mounted: Mounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, "p/a", {"d/x": b"0"})
    root = mounted(repository, "p/a", alias_ttl_s=0.0, aliases="symlink")
    assert str((root / "latest").readlink()) == "v0"
    monkeypatch.chdir(root / "latest" / "d")
    commit(repository, "p/a", {"d/x": b"1"})
    assert str((root / "latest").readlink()) == "v1"
    assert Path.cwd() == root / "v0" / "d"
    assert Path("x").read_bytes() == b"0"
    monkeypatch.undo()


def test_a_working_directory_below_a_moved_alias_reads_on(
    repository: Repository, mounted: Mounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, "p/a", {"d/x": b"0"})
    root = mounted(repository, "p/a", alias_ttl_s=0.0)
    monkeypatch.chdir(root / "latest")
    commit(repository, "p/a", {"d/x": b"1"})
    assert (root / "latest" / "d" / "x").read_bytes() == b"1"
    assert Path("d/x").read_bytes() == b"0"
    # The documented price of an alias that is a directory.
    with pytest.raises(FileNotFoundError):
        Path.cwd()
    monkeypatch.undo()
