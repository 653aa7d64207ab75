from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.errors import InvalidArgument, InvalidName, PathNotFound
from artfs.sdk.scan import Scan, ScannedDirectory, Selection
from tests.support.privileges import unprivileged


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory; the store of these tests is beside it."""
    place = tmp_path / "scanned"
    place.mkdir()
    return place


def scanned(top: Path, *, follow_links: bool = False) -> dict[str, ScannedDirectory]:
    return {found.path: found for found in Scan(top, Selection(follow_links=follow_links))}


def names(found: ScannedDirectory) -> list[str]:
    return [file.name for file in found.files]


def test_directories_come_parents_first_and_by_name(root: Path) -> None:
    for path in ("b/x", "a/y", "a/b/z", "c"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    found = scanned(root)
    assert list(found) == ["", "a", "a/b", "b"]
    assert {path: names(directory) for path, directory in found.items()} == {
        "": ["c"],
        "a": ["y"],
        "a/b": ["z"],
        "b": ["x"],
    }
    assert found["a/b"].path_of("z") == str(root / "a/b/z")
    assert found["a/b"].files[0].size_bytes == 5


def test_links_are_kept_or_followed(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "x").write_text("123")
    (root / "file").symlink_to("d/x")
    (root / "directory").symlink_to("d")
    (root / "nothing").symlink_to("nowhere")
    kept = scanned(root)
    assert list(kept) == ["", "d"]
    assert [(link.name, link.target) for link in kept[""].links] == [
        ("directory", "d"),
        ("file", "d/x"),
        ("nothing", "nowhere"),
    ]
    with pytest.raises(PathNotFound, match="leads to nothing"):
        scanned(root, follow_links=True)
    (root / "nothing").unlink()
    followed = scanned(root, follow_links=True)
    assert list(followed) == ["", "d", "directory"]
    assert followed[""].links == []
    assert [(file.name, file.size_bytes) for file in followed[""].files] == [("file", 3)]


def test_the_root_itself_may_be_a_link(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "x").touch()
    (root / "link").symlink_to("d")
    assert names(scanned(root / "link")[""]) == ["x"]


def test_a_loop_of_links_is_refused(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "up").symlink_to("../..")
    with pytest.raises(InvalidArgument, match="leads back"):
        scanned(root, follow_links=True)
    assert list(scanned(root)) == ["", "a", "a/b"]


def test_a_directory_that_is_linked_twice_is_no_loop(root: Path) -> None:
    (root / "d").mkdir()
    (root / "one").symlink_to("d")
    (root / "two").symlink_to("d")
    assert list(scanned(root, follow_links=True)) == ["", "d", "one", "two"]


def test_empty_directories_are_told(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    found = scanned(root)
    assert [path for path, directory in found.items() if directory.is_empty] == ["a/b"]


def test_what_no_version_can_hold_is_refused(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(InvalidArgument, match="pipe: is a fifo"):
        scanned(root)
    (root / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "s"))
        with pytest.raises(InvalidArgument, match="is a socket"):
            scanned(root)
    (root / "s").unlink()
    (root / "null").symlink_to("/dev/null")
    with pytest.raises(InvalidArgument, match="is a character device"):
        scanned(root, follow_links=True)


def test_a_name_that_is_not_utf8_is_refused(root: Path) -> None:
    os.mknod(os.fsencode(root) + b"/\xff\xfe")
    with pytest.raises(InvalidName, match="not UTF-8"):
        scanned(root)


def test_what_is_no_directory_is_refused(root: Path) -> None:
    (root / "file").touch()
    with pytest.raises(InvalidArgument, match="is not a directory"):
        scanned(root / "file")
    with pytest.raises(PathNotFound):
        scanned(root / "missing")


def test_an_unreadable_directory_is_refused(root: Path) -> None:
    (root / "secret").mkdir(mode=0)
    program = (
        "import sys; from artfs.sdk.scan import Scan, Selection; "
        "list(Scan(sys.argv[1], Selection(follow_links=False)))"
    )
    done = subprocess.run(
        unprivileged([sys.executable, "-c", program, str(root)]),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].startswith("artfs.errors.PermissionDenied")
