"""Which process is behind a mount, where numbers of devices are used again."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
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
    source="artfs",
)


def process(
    pid: int,
    device: str | None,
    claimed_at_ns: int,
    *,
    mountpoint: Path = PLACE,
    uid: int | None = None,
    area: Path | None = None,
) -> Daemon:
    record = MountRecord(
        mountpoint=mountpoint,
        socket=mountpoint / "socket",
        device=device,
        claimed_at_ns=claimed_at_ns,
        area=area,
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


def test_a_staging_mount_is_that_of_its_area_s_process_which_makes_a_version_of_it_still() -> None:
    area, other = Path("/srv/staging/0123abcd"), Path("/srv/staging/4567cdef")
    left = msgspec.structs.replace(MOUNTED, source="artfs-0123abcd", is_writable=True)
    moved = Path("/srv/moved")
    ending = process(1, OVER, 10, mountpoint=moved, area=area)
    assert daemon_of(left, [ending]) is ending
    for none_of_it in (
        # It was stopped, and does not know that its mount has ended.
        process(2, "0:99", 20, area=other),
        process(2, "0:99", 20),
        process(2, OVER, 20, area=other),
        # The area is mounted again.
        process(2, "0:98", 20, area=area),
    ):
        assert daemon_of(left, [none_of_it]) is None
