"""A temporary file belongs to whoever holds its directory: a lock tells, in every namespace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.blobs.temporaries import Temporaries

CLEAN = """
import sys
from pathlib import Path
from artfs.blobs.temporaries import Temporaries
found = Temporaries(Path(sys.argv[1]))
print(*(f"{each.path.name.partition('.')[0]}:{each.is_held}" for each in found.all()))
print(*(each.path.name.partition('.')[0] for each in found.remove_abandoned()))
"""

LEAVE = """
import os, sys
from pathlib import Path
from artfs.blobs.temporaries import Temporaries
found = Temporaries(Path(sys.argv[1]))
found.new("put").write_bytes(b"left")
os.kill(os.getpid(), 9)
"""


def clean(root: Path, *, wrapped_in: tuple[str, ...] = ()) -> list[str]:
    """What another process says of the temporary files, and which of them it removed."""
    command = [*wrapped_in, sys.executable, "-c", CLEAN, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "wrapped_in", [(), ("unshare", "-Ur", "--pid", "--fork", "--mount-proc")], ids=["near", "far"]
)
def test_what_a_writer_has_open_stays_whoever_looks_from_whatever_pid_namespace(
    tmp_path: Path, wrapped_in: tuple[str, ...]
) -> None:
    mine = Temporaries(tmp_path)
    busy = mine.new("pack")
    busy.write_bytes(b"busy")
    # As old as a file can be: its time says nothing of who needs it.
    os.utime(busy, (0, 0))
    subprocess.run([sys.executable, "-c", LEAVE, tmp_path], check=False)
    (tmp_path / "strange").mkdir()
    found, removed = clean(tmp_path, wrapped_in=wrapped_in)
    assert sorted(found.split()) == ["pack:True", "put:False"]
    assert removed == "put"
    assert busy.read_bytes() == b"busy"
    assert {path.name for path in tmp_path.iterdir()} == {"strange", busy.parent.name}


def test_a_process_that_ends_leaves_no_directory(tmp_path: Path) -> None:
    script = LEAVE.replace("os.kill(os.getpid(), 9)", "next(found.all()).path.unlink()")
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_has_a_directory_of_its_own_that_outlives_its_parent_s(
    tmp_path: Path,
) -> None:
    mine = Temporaries(tmp_path)
    before = mine.new("parent")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        path = mine.new("child")
        path.write_bytes(b"content")
        os.write(write, bytes(path))
        os._exit(0)
    os.waitpid(child, 0)
    path = Path(os.fsdecode(os.read(read, 4096)))
    os.close(read)
    os.close(write)
    assert path.parent != before.parent
    assert [each.path for each in mine.remove_abandoned()] == [path]
    assert mine.new("parent").parent == before.parent


def test_a_directory_that_was_removed_is_made_again(tmp_path: Path) -> None:
    mine = Temporaries(tmp_path)
    first = mine.new("a").parent
    first.rmdir()
    second = mine.new("b")
    second.touch()
    assert second.parent != first


def test_sizes_are_those_of_all_files_in_a_directory(tmp_path: Path) -> None:
    mine = Temporaries(tmp_path)
    directory = mine.new("new")
    (directory / "deep").mkdir(parents=True)
    (directory / "deep" / "a").write_bytes(b"123")
    (directory / "b").write_bytes(b"45")
    assert [(each.path, each.size_bytes) for each in mine.all()] == [(directory, 5)]
