"""Which process is behind a mount, where numbers of devices are used again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artfs.mounts.daemons import OVER, Daemon, MountRecord, daemon_of
from artfs.system.mountinfo import MountedFileSystem

PLACE = Path("/srv/mnt")
MOUNTED = MountedFileSystem(
    mount_id=7,
    mountpoint=PLACE,
    device="0:99",
    type="fuse.artfs",
    owner=os.geteuid(),
    is_writable=False,
)


def process(
    pid: int,
    device: str | None,
    claimed_at_ns: int,
    *,
    mountpoint: Path = PLACE,
    uid: int | None = None,
) -> Daemon:
    record = MountRecord(
        mountpoint=mountpoint,
        socket=mountpoint / "socket",
        device=device,
        claimed_at_ns=claimed_at_ns,
    )
    return Daemon(pid=pid, uid=os.geteuid() if uid is None else uid, record=record)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "others",
    [
        # Its mount has ended, and it does not know so yet.
        [process(1, "0:99", 10, mountpoint=Path("/srv/other"))],
        [process(1, "0:99", 10)],
        [process(1, OVER, 30)],
        [process(1, None, 30, mountpoint=Path("/srv/other"))],
        [process(1, "0:98", 30)],
        [process(1, "0:99", 30, uid=os.geteuid() + 12345)],
    ],
)
def test_the_latest_claim_to_a_device_holds(others: list[Daemon], reverse: bool) -> None:
    candidates = [*others, process(2, "0:99", 20)]
    if reverse:
        candidates.reverse()
    found = daemon_of(MOUNTED, candidates)
    assert found is not None
    assert found.pid == 2


def test_a_process_that_begins_is_found_before_it_knows_its_device() -> None:
    found = daemon_of(MOUNTED, [process(1, "0:99", 10), process(2, None, 20)])
    assert found is not None
    assert found.pid == 2


def test_a_process_whose_mount_has_ended_is_that_of_no_other() -> None:
    assert daemon_of(MOUNTED, [process(1, OVER, 10)]) is None
