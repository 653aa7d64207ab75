"""Stores and staging mounts on file systems that lack what Linux's own have."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.faultdisk import FaultDisk, fault_disk

pytestmark = pytest.mark.timeout(300)
"""Each runs many commands, on a disk that is a process of its own."""

LARGE_BYTES = 5 * 1024 * 1024

LACKS = {
    "no sync of directories, CIFS": (errno.EINVAL, ["fsyncdir"]),
    "no sync of directories, FUSE": (errno.EOPNOTSUPP, ["fsyncdir"]),
    "no modes": (errno.EPERM, ["chmod"]),
    "no modes, FUSE": (errno.ENOSYS, ["chmod"]),
    "no hard links": (errno.EPERM, ["link"]),
    "no links of any kind": (errno.EOPNOTSUPP, ["link", "symlink"]),
    "next to nothing": (errno.EPERM, ["chmod", "link", "symlink"]),
}


WORDS = {"fsyncdir": "no sync of directories", "chmod": "no modes", "link": "no hard links"}
"""What `doctor` says of what is missing."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultDisk]:
    with fault_disk(tmp_path / "poor") as disk:
        yield disk


@pytest.mark.parametrize("lack", LACKS)
def test_a_file_system_holds_a_store_without(cli: Cli, disk: FaultDisk, lack: str) -> None:
    disk.fail(LACKS[lack][0], *LACKS[lack][1])
    cli.environment["ARTFS_STORE"] = str(disk.path / "store")
    cli.environment["XDG_CACHE_HOME"] = str(disk.path / "cache")
    cli.environment["XDG_STATE_HOME"] = str(disk.path / "state")
    files = cli.directory / "files"
    files.mkdir()
    (files / "small").write_text("small\n")
    (files / "large").write_bytes(os.urandom(LARGE_BYTES))
    cli.ok("put", files, "-n", "p/a")
    assert WORDS[LACKS[lack][1][0]] in cli.run("doctor").out
    (files / "small").write_text("again\n")
    cli.ok("put", files, "-n", "p/a", "--link")
    cli.run("get", "p/a:v0", "--root", disk.path / "out", "--link")
    assert (disk.path / "out" / "small").read_text() == "small\n"
    assert (disk.path / "out" / "large").read_bytes() == (files / "large").read_bytes()
    mountpoint = cli.directory / "mnt"
    mountpoint.mkdir()
    cli.ok("stage", "p/a", "--base", "latest", mountpoint)
    (mountpoint / "small").write_text("staged\n")
    cli.ok("umount", mountpoint)
    cli.ok("rm", "p/a:v0", "--yes")
    cli.ok("gc", "--grace", "0s")
    assert "all right" in cli.ok("verify").out
    assert "v2" in cli.ok("ls", "p/a").out
