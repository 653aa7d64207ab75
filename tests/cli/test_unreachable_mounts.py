"""Mounts whose process does not answer, or cannot be seen: what is said and done."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from pathlib import Path

import pytest

from artfs.system.mountinfo import mounted_at
from tests.cli.conftest import Cli
from tests.support.privileges import needs_root

MOUNT_FAILED = 13
ORDERS = ("status", "commit", "abort")


@pytest.fixture
def mountpoint(cli: Cli, tmp_path: Path) -> Iterator[Path]:
    """An empty directory; what is mounted there at the end is unmounted."""
    (tmp_path / "file").write_text("x")
    cli.ok("put", "file", "-n", "p/a")
    place = tmp_path / "mnt"
    place.mkdir()
    yield place
    subprocess.run(["fusermount3", "-uz", place], capture_output=True, check=False)


def _pid(cli: Cli, mountpoint: Path) -> int:
    pid = cli.ok("status", mountpoint, "--json").json["pid"]
    assert isinstance(pid, int)
    return pid


@pytest.mark.parametrize("command", ["mount", "stage"])
def test_no_command_about_a_mount_waits_for_its_file_system(
    cli: Cli, mountpoint: Path, command: str
) -> None:
    cli.ok(command, "p/a", mountpoint)
    pid = _pid(cli, mountpoint)
    os.kill(pid, signal.SIGSTOP)
    try:
        # Side by side: each waits for an answer as long as it may.
        with ThreadPoolExecutor() as pool:
            for result in pool.map(lambda order: cli.run(order, mountpoint), ORDERS):
                assert result.code in {0, MOUNT_FAILED}, result
        result = cli.run("umount", "--force", "--timeout", "1", mountpoint)
        assert result.code == (0 if command == "mount" else MOUNT_FAILED), result
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert mounted_at(mountpoint) is None


@needs_root
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
@pytest.mark.parametrize("command", ["mount", "stage"])
def test_a_mount_whose_process_cannot_be_seen_is_left_as_it_is_and_nothing_is_said_of_its_work(
    cli: Cli, mountpoint: Path, command: str, force: list[str]
) -> None:
    cli.ok(command, "p/a", mountpoint)
    if command == "stage":
        (mountpoint / "new").write_text("x")
    elsewhere = copy(cli)
    elsewhere.prefix = ["unshare", "--pid", "--fork", "--mount-proc"]
    done = elsewhere.run("umount", *force, mountpoint)
    assert done.code == MOUNT_FAILED, done
    assert "cannot be seen" in done.err
    assert done.err.count("\n") == 1
    assert "ended" not in done.err
    # It can be asked as before.
    pid = _pid(cli, mountpoint)
    ended = cli.ok("umount", mountpoint)
    assert ("p/a:v1" in ended.out) == (command == "stage")
    assert pid
