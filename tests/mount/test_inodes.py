"""An inode is one place: programs that tell files by their inodes tell them as on a disk."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from artfs.repository.facade import Repository
from tests.support.mounts import Mounter
from tests.support.privileges import needs_root
from tests.support.stores import EmptyDirectory, Item, Link, commit

SAME: dict[str, Item] = {
    "a": b"same\n",
    "b": b"same\n",
    "empty": b"",
    "d/empty": b"",
    "d/a": b"same\n",
    "link": Link("a"),
    "d/link": Link("a"),
    "void": EmptyDirectory(),
}
FILES = ("a", "b", "empty", "d/empty", "d/a", "link", "d/link", "d", "void")
PLACES = tuple(f"{version}/{name}" for version in ("v0", "v1", "latest") for name in FILES)


@pytest.fixture
def root(repository: Repository, mounted: Mounter) -> Path:
    """Two versions of p/a that differ in one file, mounted."""
    two_versions(repository)
    return mounted(repository, "p/a")


def two_versions(repository: Repository) -> None:
    commit(repository, "p/a", {**SAME, "own": b"0"})
    commit(repository, "p/a", {**SAME, "own": b"1"})


def numbers(root: Path, names: tuple[str, ...] = PLACES) -> dict[str, int]:
    """Inode numbers by path; none of them twice."""
    found = {name: (root / name).lstat().st_ino for name in names}
    assert len(set(found.values())) == len(found)
    return found


def test_equal_files_in_one_version_in_several_and_below_aliases_are_inodes_of_their_own(
    root: Path,
) -> None:
    numbers(root)
    assert {(root / name).lstat().st_nlink for name in PLACES} == {1}


def test_a_version_that_portfolios_link_has_other_inodes_in_each(
    repository: Repository, mounted: Mounter
) -> None:
    version = commit(repository, "p/a", SAME)
    for name in ("best", "good"):
        repository.catalog.link(version.id, "models", name, ["production"])
    root = mounted(repository)
    places = ("p/a/v0", "models/best/v0", "models/best/production", "models/good/v0")
    numbers(root, tuple(f"{place}/{name}" for place in places for name in FILES))


def test_numbers_are_those_of_the_place_whatever_part_of_the_store_is_mounted(
    repository: Repository, mounted: Mounter
) -> None:
    two_versions(repository)
    everything = numbers(mounted(repository) / "p/a")
    assert numbers(mounted(repository, "p") / "a") == everything
    # In the other order, and one by one.
    part = mounted(repository, "p/a")
    for name in reversed(PLACES):
        assert (part / name).lstat().st_ino == everything[name]
    pinned = mounted(repository, "p/a:v0")
    for name in FILES:
        assert (pinned / name).lstat().st_ino == everything[f"v0/{name}"]


def test_r4_a_file_below_an_alias_that_moved_is_another_inode_with_the_bytes_of_its_version(
    repository: Repository, mounted: Mounter
) -> None:
    # Of one size and time, so that nothing but the inode tells the kernel that they differ.
    first = commit(repository, "p/a", {"x": b"0" * 5000, "same": b"s"})
    root = mounted(repository, "p/a", alias_ttl_s=0.0)
    before = {name: (root / "latest" / name).stat().st_ino for name in ("x", "same")}
    with (root / "latest/x").open("rb", buffering=0) as held:
        assert held.read(4096) == b"0" * 4096
        commit(repository, "p/a", {"x": b"1" * 5000}, base=first)
        assert (root / "latest/x").read_bytes() == b"1" * 5000
        held.seek(0)
        assert held.read() == b"0" * 5000
    for name, number in before.items():
        assert (root / "latest" / name).stat().st_ino != number


def test_du_counts_the_files_of_each_version(root: Path) -> None:
    done = subprocess.run(
        ["du", "-s", "--inodes", "v0", "v1", "latest"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    # The version itself, `own`, and what is in SAME.
    assert done.stdout.split()[::2] == [str(len(FILES) + 2)] * 3


@pytest.mark.parametrize("command", ["cp -aL v0 v1 {}", "cp -a v0 v1 {}", "rsync -aH v0 v1 {}"])
def test_a_copy_of_two_versions_shares_no_file_between_them(
    root: Path, tmp_path: Path, command: str
) -> None:
    target = tmp_path / "copy"
    target.mkdir()
    subprocess.run(command.format(target), shell=True, cwd=root, check=True)
    first, second = (
        {path.stat().st_ino for path in (target / name).rglob("*") if path.is_file()}
        for name in ("v0", "v1")
    )
    assert not first & second
    names = [f"{version}/{name}" for version in ("v0", "v1") for name in ("b", "empty", "d/empty")]
    assert {(target / name).stat().st_nlink for name in names} == {1}


def test_an_archive_of_two_versions_has_no_hard_links(root: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-cf", tmp_path / "t.tar", "v0", "v1"], cwd=root, check=True)
    with tarfile.open(tmp_path / "t.tar") as archive:
        assert not any(member.islnk() for member in archive.getmembers())


def test_a_file_system_that_is_made_of_two_versions_has_no_hard_links(
    root: Path, tmp_path: Path
) -> None:
    image, target = tmp_path / "image", tmp_path / "out"
    quiet = ["-no-progress", "-quiet"]
    subprocess.run(["mksquashfs", "v0", "v1", image, *quiet], cwd=root, check=True)
    done = subprocess.run(
        ["unsquashfs", "-lls", "-d", target, image], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("/own") == 2
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-d", target, image],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    files = [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {path.stat().st_nlink for path in files} == {1}


# --- overlays ----------------------------------------------------------------------------------

WRITE = """
set -eu
printf 'mine\\n' >> "$1/v0/a"
printf 'mine\\n' >> "$1/v0/empty"
echo new > "$1/v1/new"
"""


def assert_written_in_one_place(merged: Path) -> None:
    for version in ("v0", "v1", "latest"):
        for name in ("a", "b", "d/a", "empty", "d/empty"):
            expected = SAME[name]
            assert isinstance(expected, bytes)
            if version == "v0" and name in {"a", "empty"}:
                expected += b"mine\n"
            assert (merged / version / name).read_bytes() == expected, (version, name)


def layers(tmp_path: Path, root: Path) -> tuple[str, Path, Path]:
    """Options of an overlay over a mount, its upper layer and its mountpoint."""
    upper, work, merged = (tmp_path / name for name in ("upper", "work", "merged"))
    for path in (upper, work, merged):
        path.mkdir()
    return f"lowerdir={root},upperdir={upper},workdir={work}", upper, merged


@needs_root
@pytest.mark.parametrize("more", ["", ",index=on", ",metacopy=on,redirect_dir=on", ",xino=on"])
def test_a_write_into_a_kernel_overlay_changes_one_file(
    root: Path, tmp_path: Path, more: str
) -> None:
    options, upper, merged = layers(tmp_path, root)
    command = ["mount", "-t", "overlay", "overlay", "-o", options + more, str(merged)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    try:
        subprocess.run(["sh", "-c", WRITE, "sh", merged], check=True)
        assert_written_in_one_place(merged)
        written = {str(path.relative_to(upper)) for path in upper.rglob("*") if path.is_file()}
        assert written == {"v0/a", "v0/empty", "v1/new"}
        numbers(merged)
    finally:
        subprocess.run(["umount", merged], check=True)


OVERLAY = """
set -eu
mount -t overlay overlay -o "$1" "$2"
printf 'mine\\n' >> "$2/v0/a"
printf 'mine\\n' >> "$2/v0/empty"
cp -r "$2/." "$3/seen"
"""


def test_a_write_into_an_overlay_of_a_user_changes_one_file(root: Path, tmp_path: Path) -> None:
    """In namespaces of its own, as rootless containers make it."""
    options, _, merged = layers(tmp_path, root)
    command = ["unshare", "-Urm", "sh", "-c", OVERLAY, "sh", f"{options},userxattr"]
    done = subprocess.run([*command, merged, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_written_in_one_place(tmp_path / "seen")


def test_a_write_into_a_fuse_overlay_changes_one_file(root: Path, tmp_path: Path) -> None:
    options, upper, merged = layers(tmp_path, root)
    subprocess.run(["fuse-overlayfs", "-o", options, merged], check=True)
    try:
        subprocess.run(["sh", "-c", WRITE, "sh", merged], check=True)
        assert_written_in_one_place(merged)
        written = {str(path.relative_to(upper)) for path in upper.rglob("*") if path.is_file()}
        assert written == {"v0/a", "v0/empty", "v1/new"}
    finally:
        subprocess.run(["fusermount3", "-u", merged], check=True)


def test_a_listing_tells_the_numbers_of_the_places(root: Path) -> None:
    for version in ("v0", "v1", "latest"):
        for entry in os.scandir(root / version):
            assert entry.inode() == os.lstat(entry.path).st_ino
