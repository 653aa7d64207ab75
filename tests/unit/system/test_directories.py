"""Directories that nobody can put another in the place of."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from artfs.errors import PermissionDenied
from artfs.system.directories import DirectoryHandle, own_directory
from artfs.system.ownership import Ownership
from tests.support.privileges import needs_root

UMASKS = (0o000, 0o022, 0o077)


@pytest.fixture(params=UMASKS, ids=lambda mask: f"umask-{mask:03o}")
def umask(request: pytest.FixtureRequest) -> object:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def test_no_link_is_followed_below_a_directory(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "else").mkdir()
    (tmp_path / "store" / "tmp").symlink_to(tmp_path / "else")
    with (
        DirectoryHandle.at(tmp_path / "store") as store,
        pytest.raises(PermissionDenied, match=r"symbolic link.*mount it there"),
    ):
        store.below("tmp", create=True)
    (tmp_path / "store" / "file").touch()
    with DirectoryHandle.at(tmp_path / "store") as store, pytest.raises(PermissionDenied):
        store.below("file")


def test_what_is_done_in_a_directory_is_done_there_when_its_name_leads_elsewhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").touch()
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "x").touch()
    with DirectoryHandle.at(tmp_path / "real") as directory:
        (tmp_path / "real").rename(tmp_path / "moved")
        (tmp_path / "real").symlink_to(tmp_path / "else")
        directory.remove("x")
        os.close(directory.open_new("y"))
    assert names(tmp_path / "else") == ["x"]
    assert names(tmp_path / "moved") == ["y"]


def test_removing_a_tree_leaves_what_its_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "x").touch()
    (tmp_path / "store" / "old").mkdir(parents=True)
    (tmp_path / "store" / "old" / "link").symlink_to(tmp_path / "else")
    (tmp_path / "store" / "direct").symlink_to(tmp_path / "else")
    with DirectoryHandle.at(tmp_path / "store") as store:
        store.remove("old")
        store.remove("direct")
        assert store.names() == []
    assert names(tmp_path / "else") == ["x"]


@pytest.mark.parametrize(
    ("given", "directories", "files", "sealed"),
    [
        (0o700, 0o700, 0o600, 0o400),
        (0o750, 0o750, 0o640, 0o440),
        (0o755, 0o755, 0o644, 0o444),
        (0o2770, 0o2770, 0o660, 0o440),
        (0o2775, 0o2775, 0o664, 0o444),
        # Without the setgid bit the group of new files is anybody's: no group writes.
        (0o777, 0o755, 0o644, 0o444),
        (0o2777, 0o2775, 0o664, 0o444),
    ],
)
@pytest.mark.usefixtures("umask")
def test_what_is_made_keeps_the_mode_of_its_directory_whatever_the_umask(
    tmp_path: Path, given: int, directories: int, files: int, sealed: int
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(given)
    with DirectoryHandle.at(root) as directory:
        with directory.below("a", create=True) as below:
            os.close(below.open_new("file"))
            below.below("b", create=True).close()
        assert directory.ownership.sealed_mode == sealed
    assert (mode(root / "a"), mode(root / "a" / "b")) == (directories, directories)
    assert mode(root / "a" / "file") == files
    assert not Ownership.of(root.stat()).differs((root / "a").stat())


@pytest.mark.usefixtures("umask")
def test_a_directory_of_ones_own_is_private_whatever_the_umask(tmp_path: Path) -> None:
    own_directory(tmp_path / "x" / "y").close()
    assert mode(tmp_path / "x" / "y") == 0o700
    assert mode(tmp_path / "x") & 0o022 == 0


def test_a_directory_of_ones_own_is_closed_to_who_could_only_read_it(tmp_path: Path) -> None:
    path = tmp_path / "own"
    path.mkdir()
    path.chmod(0o755)
    own_directory(path).close()
    assert mode(path) == 0o700


def test_a_directory_that_others_could_write_to_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "own"
    path.mkdir()
    path.chmod(0o770)
    with pytest.raises(PermissionDenied, match=f"others may write.*chmod 700 {path}"):
        own_directory(path)
    assert mode(path) == 0o770


def test_ones_own_link_leads_to_ones_own_directory_where_links_are_followed(
    tmp_path: Path,
) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "own").symlink_to("disk")
    own_directory(tmp_path / "own").close()
    with pytest.raises(PermissionDenied, match="symbolic link"):
        own_directory(tmp_path / "own", follow=False)


@needs_root
def test_what_somebody_else_prepared_is_never_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 3001, 3001)
    with pytest.raises(PermissionDenied, match="belongs to user 3001"):
        own_directory(tmp_path / "theirs")
    (tmp_path / "link").symlink_to("mine")
    os.chown(tmp_path / "link", 3001, 3001, follow_symlinks=False)
    with pytest.raises(PermissionDenied, match="symbolic link"):
        own_directory(tmp_path / "link")


@needs_root
def test_a_third_user_s_directory_in_a_second_user_s_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "tmp").mkdir(parents=True)
    os.chown(store, 3001, 3001)
    os.chown(store / "tmp", 3002, 3002)
    with (
        DirectoryHandle.at(store) as directory,
        pytest.raises(PermissionDenied, match="belongs to user 3002"),
    ):
        directory.below("tmp")


@needs_root
def test_what_root_makes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o700)
    os.chown(root, 3001, 3003)
    with DirectoryHandle.at(root) as directory:
        directory.below("a", create=True).close()
        os.close(directory.open_new("b"))
    for name in ("a", "b"):
        found = (root / name).stat()
        assert (found.st_uid, found.st_gid) == (3001, 3003)
