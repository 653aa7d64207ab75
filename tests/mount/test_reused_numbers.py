"""Mounts that get the number of one that has ended, while its process still lives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from artfs.mounts import client
from artfs.mounts.messages import MountState, MountStatus
from artfs.repository.facade import Repository
from artfs.system.mountinfo import mounted_at
from tests.mount.test_elsewhere import artfs
from tests.mount.test_lifecycle import is_alive
from tests.support.faults import wait_until
from tests.support.mounts import Mounter
from tests.support.staging import Stager
from tests.support.stores import commit

_PATIENCE_S = 60.0
"""Mounts of others may take a number before us, and keep it for a while."""


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing, and does not know what has become of its mount."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def device_of(place: Path) -> str:
    mounted = mounted_at(place)
    assert mounted is not None
    return mounted.device


def unmount_lazily(place: Path) -> None:
    subprocess.run(["fusermount3", "-u", "-z", "--", place], check=True)


@pytest.fixture
def content(repository: Repository) -> None:
    commit(repository, "p/other", {"a.txt": b"alpha"})


def start_at(device: str, repository: Repository, mounted: Mounter) -> MountStatus:
    """A mount that has a number which was another one's.

    The kernel gives the lowest number that is free. Mounts that get a lower one stay, so that the
    next gets a higher one; a mount that gets a higher one shows that others have ours.
    """
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        status = mounted.start(repository)
        got = device_of(status.mountpoint)
        if got == device:
            return status
        if minor(got) > minor(device):
            artfs("umount", status.mountpoint)
    pytest.fail("no mount got the number again")


def mount_at(place: Path, device: str, repository: Repository, mounted: Mounter) -> None:
    """The same, at this place: it takes the number of one that `start_at` has got, and gives up."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        artfs("umount", start_at(device, repository, mounted).mountpoint)
        artfs("mount", place, "--store", repository.info.location)
        if device_of(place) == device:
            return
        artfs("umount", place)
    pytest.fail("no mount got the number again")


def minor(device: str) -> int:
    return int(device.partition(":")[2])


@pytest.mark.usefixtures("content", "runtime")
def test_a_mount_is_not_taken_for_one_whose_number_it_has(
    repository: Repository, mounted: Mounter, staged: Stager
) -> None:
    old = staged()
    (old / "file").write_bytes(b"x")
    pid, device = client.status(old).pid, device_of(old)
    assert pid is not None
    with stopped(pid):
        unmount_lazily(old)
        status = start_at(device, repository, mounted)
        place = status.mountpoint
        seen = json.loads(artfs("status", place, "--json"))
        assert (seen["state"], seen["kind"], seen["pid"]) == ("mounted", "mount", status.pid)
        assert seen["pid"] != pid
        assert artfs("umount", place) == f"{place} is unmounted\n"
        assert mounted_at(place) is None
    wait_until(lambda: not is_alive(pid))
    assert staged.version() == {"file": b"x"}


@pytest.mark.usefixtures("content", "runtime")
def test_a_dead_mount_is_not_taken_for_one_whose_number_it_has(
    repository: Repository, mounted: Mounter, staged: Stager
) -> None:
    old = staged()
    (old / "file").write_bytes(b"x")
    pid, device = client.status(old).pid, device_of(old)
    assert pid is not None
    with stopped(pid):
        unmount_lazily(old)
        status = start_at(device, repository, mounted)
        assert status.pid is not None
        killed = status.pid
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not is_alive(killed))
        place = status.mountpoint
        assert client.status(place).state is MountState.DEAD
        assert [each.state for each in client.mounts() if each.mountpoint == place] == [
            MountState.DEAD
        ]
        artfs("umount", "--force", place)
        assert mounted_at(place) is None
        assert is_alive(pid)
    wait_until(lambda: not is_alive(pid))
    assert staged.version() == {"file": b"x"}


@pytest.mark.usefixtures("content")
def test_a_process_that_ends_leaves_what_others_have_mounted_at_its_place(
    repository: Repository,
    mounted: Mounter,
    staged: Stager,
    runtime: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = staged()
    (place / "file").write_bytes(b"x")
    pid, device = client.status(place).pid, device_of(place)
    assert pid is not None
    with stopped(pid):
        unmount_lazily(place)
        # Another session of the same user, which knows nothing of this process.
        (runtime / "other").mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / "other"))
        mount_at(place, device, repository, mounted)
    wait_until(lambda: not is_alive(pid))
    assert device_of(place) == device
    assert client.status(place).state is MountState.MOUNTED
    artfs("umount", place)
