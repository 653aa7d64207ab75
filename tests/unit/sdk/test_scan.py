from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.errors import InvalidArgument, InvalidName, PathNotFound
from artfs.sdk.scan import ScannedDirectory, scan_directory
from tests.support.privileges import unprivileged


def scanned(root: Path, *, follow_links: bool = False) -> dict[str, ScannedDirectory]:
    return {found.path: found for found in scan_directory(root, follow_links=follow_links)}


def names(found: ScannedDirectory) -> list[str]:
    return [file.name for file in found.files]


def test_directories_come_parents_first_and_by_name(tmp_path: Path) -> None:
    for path in ("b/x", "a/y", "a/b/z", "c"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    found = scanned(tmp_path)
    assert list(found) == ["", "a", "a/b", "b"]
    assert {path: names(directory) for path, directory in found.items()} == {
        "": ["c"],
        "a": ["y"],
        "a/b": ["z"],
        "b": ["x"],
    }
    assert found["a/b"].files[0].source == str(tmp_path / "a/b/z")
    assert found["a/b"].files[0].size_bytes == 5


def test_links_are_kept_or_followed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_text("123")
    (tmp_path / "file").symlink_to("d/x")
    (tmp_path / "directory").symlink_to("d")
    (tmp_path / "nothing").symlink_to("nowhere")
    kept = scanned(tmp_path)
    assert list(kept) == ["", "d"]
    assert [(link.name, link.target) for link in kept[""].links] == [
        ("directory", "d"),
        ("file", "d/x"),
        ("nothing", "nowhere"),
    ]
    with pytest.raises(PathNotFound, match="leads to nothing"):
        scanned(tmp_path, follow_links=True)
    (tmp_path / "nothing").unlink()
    followed = scanned(tmp_path, follow_links=True)
    assert list(followed) == ["", "d", "directory"]
    assert followed[""].links == []
    assert [(file.name, file.size_bytes) for file in followed[""].files] == [("file", 3)]


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").touch()
    (tmp_path / "link").symlink_to("d")
    assert names(scanned(tmp_path / "link")[""]) == ["x"]


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to("../..")
    with pytest.raises(InvalidArgument, match="leads back"):
        scanned(tmp_path, follow_links=True)
    assert list(scanned(tmp_path)) == ["", "a", "a/b"]


def test_a_directory_that_is_linked_twice_is_no_loop(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "one").symlink_to("d")
    (tmp_path / "two").symlink_to("d")
    assert list(scanned(tmp_path, follow_links=True)) == ["", "d", "one", "two"]


def test_empty_directories_are_told(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    found = scanned(tmp_path)
    assert [path for path, directory in found.items() if directory.is_empty] == ["a/b"]


def test_what_no_version_can_hold_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgument, match="pipe: is a fifo"):
        scanned(tmp_path)
    (tmp_path / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(InvalidArgument, match="is a socket"):
            scanned(tmp_path)
    (tmp_path / "s").unlink()
    (tmp_path / "null").symlink_to("/dev/null")
    with pytest.raises(InvalidArgument, match="is a character device"):
        scanned(tmp_path, follow_links=True)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    os.mknod(os.fsencode(tmp_path) + b"/\xff\xfe")
    with pytest.raises(InvalidName, match="not UTF-8"):
        scanned(tmp_path)


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match="is not a directory"):
        scanned(tmp_path / "file")
    with pytest.raises(PathNotFound):
        scanned(tmp_path / "missing")


def test_an_unreadable_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir(mode=0)
    program = (
        "import sys; from artfs.sdk.scan import scan_directory; "
        "list(scan_directory(sys.argv[1], follow_links=False))"
    )
    done = subprocess.run(
        unprivileged([sys.executable, "-c", program, str(tmp_path)]),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].startswith("artfs.errors.PermissionDenied")
