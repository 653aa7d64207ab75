"""What somebody holds is told by a lock: from any process, namespace and clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from artfs.system.locks import (
    Held,
    hold_new_directory,
    hold_new_file,
    is_held,
    take_abandoned,
)

MAKERS = pytest.mark.parametrize("make", [hold_new_file, hold_new_directory])
Make = Callable[[Path], Held]

HOLD = """
import sys
from artfs.system.locks import hold_new_file
held = hold_new_file(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@MAKERS
def test_what_is_held_cannot_be_taken_until_it_is_let_go(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "held"
    assert not is_held(path)
    held = make(path)
    assert is_held(path)
    assert take_abandoned(path) is None
    path.rename(tmp_path / "renamed")
    assert is_held(tmp_path / "renamed")
    assert not held.is_at(path)
    held.close()
    held.close()
    assert not is_held(tmp_path / "renamed")
    taken = take_abandoned(tmp_path / "renamed")
    assert taken is not None
    assert is_held(tmp_path / "renamed")


@MAKERS
def test_what_exists_is_not_made_again(tmp_path: Path, make: Make) -> None:
    make(tmp_path / "one").close()
    with pytest.raises(FileExistsError):
        make(tmp_path / "one")


@MAKERS
def test_nothing_is_followed(tmp_path: Path, make: Make) -> None:
    make(tmp_path / "target").close()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert take_abandoned(tmp_path / "link") is None
    with pytest.raises(FileExistsError):
        make(tmp_path / "link")


def test_a_holder_that_is_stopped_holds_on_and_one_that_is_killed_does_not(tmp_path: Path) -> None:
    path = tmp_path / "held"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert is_held(path)
        process.kill()
    assert not is_held(path)


def test_a_forked_child_holds_what_its_parent_held(tmp_path: Path) -> None:
    path = tmp_path / "held"
    held = hold_new_file(path)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    held.close()
    assert is_held(path)
    os.close(write)
    os.waitpid(child, 0)
    os.close(read)
    assert not is_held(path)


def test_a_program_that_is_executed_holds_nothing(tmp_path: Path) -> None:
    held = hold_new_file(tmp_path / "held")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as process:
        held.close()
        assert not is_held(tmp_path / "held")
        process.communicate()


def test_what_cannot_be_asked_counts_as_held(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    assert not is_held(tmp_path / "fifo")
    assert is_held(tmp_path / "file" / "below")
    assert take_abandoned(tmp_path / "file" / "below") is None
