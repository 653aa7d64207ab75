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


KINDS = ("mount", "stage")


@pytest.fixture
def mountpoints(cli: Cli, tmp_path: Path) -> Iterator[dict[str, Path]]:
    """A mount of either kind; what is mounted still at the end is unmounted."""
    (tmp_path / "file").write_text("x")
    cli.ok("put", "file", "-n", "p/a")
    places = {kind: tmp_path / kind for kind in KINDS}
    for kind, place in places.items():
        place.mkdir()
        cli.ok(kind, "p/a", place)
    yield places
    for place in places.values():
        subprocess.run(["fusermount3", "-uz", place], capture_output=True, check=False)


def _pid(cli: Cli, mountpoint: Path) -> int:
    pid = cli.ok("status", mountpoint, "--json").json["pid"]
    assert isinstance(pid, int)
    return pid


# Each command waits for an answer as long as it may, some 8 s: they do so side by side.


def test_no_command_about_a_mount_waits_for_its_file_system(
    cli: Cli, mountpoints: dict[str, Path]
) -> None:
    pids = [_pid(cli, place) for place in mountpoints.values()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor() as pool:
            asked = [
                pool.submit(cli.run, order, place)
                for order in ORDERS
                for place in mountpoints.values()
            ]
            for result in (each.result() for each in asked):
                assert result.code in {0, MOUNT_FAILED}, result
            forced = {
                kind: pool.submit(cli.run, "umount", "--force", "--timeout", "1", place)
                for kind, place in mountpoints.items()
            }
            assert forced["mount"].result().code == 0, forced["mount"].result()
            assert forced["stage"].result().code == MOUNT_FAILED, forced["stage"].result()
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert [mounted_at(place) for place in mountpoints.values()] == [None, None]


@needs_root
def test_a_mount_whose_process_cannot_be_seen_is_left_as_it_is_and_nothing_is_said_of_its_work(
    cli: Cli, mountpoints: dict[str, Path]
) -> None:
    (mountpoints["stage"] / "new").write_text("x")
    elsewhere = copy(cli)
    elsewhere.prefix = ["unshare", "--pid", "--fork", "--mount-proc"]
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(elsewhere.run, "umount", *force, place)
            for force in ([], ["--force"])
            for place in mountpoints.values()
        ]
        for done in (each.result() for each in asked):
            assert done.code == MOUNT_FAILED, done
            assert "cannot be seen" in done.err
            assert done.err.count("\n") == 1
            assert "ended" not in done.err
    for kind, place in mountpoints.items():
        # It can be asked as before.
        assert _pid(cli, place)
        ended = cli.ok("umount", place)
        assert ("p/a:v1" in ended.out) == (kind == "stage")
