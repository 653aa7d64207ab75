"""A store on a disk that is full, or can only be read: what needs no room works, and frees some."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from artfs.catalog.sqlite import RESERVE_BYTES, RESERVE_FILE
from tests.cli.conftest import Cli
from tests.support.disks import mounted, small_file_system

pytestmark = pytest.mark.timeout(300)
"""Each runs many commands, on a disk that is a process of its own."""

DISK_MIB = 80
LARGE_BYTES = 8 * 1024 * 1024
OUT_OF_SPACE = 9
REFUSED = 8


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_file_system(tmp_path / "disk", size_mib=DISK_MIB) as disk:
        yield disk


@pytest.fixture
def stored(cli: Cli, disk: Path) -> Cli:
    """`artfs` over a store on a disk, with two versions of p/a."""
    cli.environment["ARTFS_STORE"] = str(disk / "store")
    files = cli.directory / "files"
    files.mkdir()
    for number in range(2):
        (files / "small").write_text(f"small {number}\n")
        (files / "large").write_bytes(os.urandom(LARGE_BYTES))
        cli.ok("put", files, "-n", "p/a")
    return cli


def fill(disk: Path) -> None:
    """Leave not one byte."""
    with (disk / "ballast").open("ab", buffering=0) as file:
        for size_bytes in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size_bytes)
    assert os.statvfs(disk).f_bavail == 0


def fill_inodes(disk: Path) -> None:
    """Leave room, but for no more files."""
    with suppress(OSError):
        for number in range(1_000_000):
            (disk / f"file{number}").touch()


def look_at_all(cli: Cli, mountpoint: Path) -> None:
    """Every command that only reads."""
    assert "p/a" in cli.ok("ls", "p").out
    assert "small" in cli.ok("ls", "p/a:v1").out
    cli.ok("history", "p/a")
    cli.ok("status")
    cli.ok("diff", "p/a:v0", "p/a:v1")
    assert "all right" in cli.ok("verify").out
    cli.ok("get", "p/a:v0", "--root", cli.directory / "out")
    assert (cli.directory / "out" / "small").read_text() == "small 0\n"
    mountpoint.mkdir(exist_ok=True)
    cli.ok("mount", mountpoint)
    try:
        assert (mountpoint / "p" / "a" / "latest" / "small").read_text() == "small 1\n"
        # Nobody is kept out by the mount.
        assert "p/a" in cli.ok("ls", "p").out
    finally:
        cli.ok("umount", mountpoint)


def test_a_full_disk_is_read_and_what_deletes_gives_its_space_back(stored: Cli, disk: Path) -> None:
    fill(disk)
    look_at_all(stored, stored.directory / "mnt")
    stored.fails(OUT_OF_SPACE, "put", stored.directory / "files", "-n", "p/b", says="No space left")
    stored.ok("rm", "p/a:v0", "--yes")
    stored.ok("gc", "--grace", "0s")
    assert os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > LARGE_BYTES // 2
    assert "all right" in stored.ok("verify").out
    (disk / "ballast").unlink()
    stored.ok("put", stored.directory / "files", "-n", "p/b")
    assert (disk / "store" / RESERVE_FILE).stat().st_size == RESERVE_BYTES


def test_a_full_disk_is_read_where_its_reserve_is_used_up(stored: Cli, disk: Path) -> None:
    (disk / "store" / RESERVE_FILE).unlink()
    fill(disk)
    look_at_all(stored, stored.directory / "mnt")
    stored.fails(OUT_OF_SPACE, "rm", "p/a:v0", "--yes", says="No space left")
    assert "v0" in stored.ok("ls", "p/a").out


def test_gc_of_many_small_files_needs_no_more_room_than_there_is(cli: Cli, disk: Path) -> None:
    cli.environment["ARTFS_STORE"] = str(disk / "store")
    files = cli.directory / "files"
    files.mkdir()
    for number in range(20_000):
        (files / f"{number}").write_bytes(os.urandom(20))
    cli.ok("put", files, "-n", "p/a")
    fill(disk)
    cli.ok("rm", "p/a", "--yes")
    cli.ok("gc", "--grace", "0s")
    assert not list((disk / "store" / "packs").glob("*/*"))


def test_a_disk_without_inodes_is_read_and_emptied(cli: Cli, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "nr_inodes=200", "tmpfs") as disk:
        cli.environment["ARTFS_STORE"] = str(disk / "store")
        files = cli.directory / "files"
        files.mkdir()
        for number in range(2):
            (files / "small").write_text(f"small {number}\n")
            cli.ok("put", files, "-n", "p/a")
        fill_inodes(disk)
        look_at_all(cli, cli.directory / "mnt")
        (files / "small").write_text("new\n")
        cli.fails(OUT_OF_SPACE, "put", files, "-n", "p/a", says="No space left")
        cli.ok("rm", "p/a:v0", "--yes")


def test_a_disk_that_turned_read_only_is_read_with_what_a_killed_writer_left(
    stored: Cli, disk: Path
) -> None:
    catalog = disk / "store" / "catalog.sqlite"
    killed = "import sqlite3, sys, os; c = sqlite3.connect(sys.argv[1]); "
    killed += "c.execute('DELETE FROM runs'); c.commit(); os._exit(0)"
    subprocess.run([sys.executable, "-c", killed, catalog], check=True)
    for shared_memory_is_left in (True, False):
        log = catalog.with_name("catalog.sqlite-wal")
        assert log.stat().st_size > 0
        if not shared_memory_is_left:
            catalog.with_name("catalog.sqlite-shm").unlink()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        try:
            look_at_all(stored, stored.directory / "mnt")
            files = stored.directory / "files"
            stored.fails(REFUSED, "put", files, "-n", "p/b", says="read")
            stored.fails(REFUSED, "rm", "p/a:v0", "--yes", says="read")
        finally:
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def test_a_commit_that_succeeded_says_so_though_its_output_cannot_be_written(
    stored: Cli, tmp_path: Path
) -> None:
    (tmp_path / "files" / "small").write_text("again\n")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            stored.command("put", tmp_path / "files", "-n", "p/a"),
            env=stored.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == OUT_OF_SPACE
    assert "what was done stands" in done.stderr
    assert "v2" in stored.ok("ls", "p/a").out


def test_a_staging_mount_that_fills_the_disk_is_told_by_its_end(stored: Cli, disk: Path) -> None:
    mountpoint = stored.directory / "mnt"
    mountpoint.mkdir()
    stored.ok("stage", "p/a", "--base", "latest", mountpoint)
    (mountpoint / "small").write_text("staged\n")
    fill(disk)
    said = stored.fails(OUT_OF_SPACE, "umount", mountpoint, says="everything is kept")
    area = said.partition("staging commit ")[2].partition("`")[0]
    assert area in stored.ok("staging", "ls").out
    (disk / "ballast").unlink()
    assert "p/a:v2" in stored.ok("staging", "commit", area).out


def test_gc_keeps_what_a_staging_area_on_a_full_disk_builds_upon(stored: Cli, disk: Path) -> None:
    mountpoint = stored.directory / "mnt"
    mountpoint.mkdir()
    stored.ok("stage", "p/a", "--base", "v0", mountpoint)
    stored.ok("umount", mountpoint)
    stored.ok("stage", "p/a", "--base", "v0", mountpoint)
    (mountpoint / "more").write_text("more\n")
    with (mountpoint / "open").open("w"):
        subprocess.run(["fusermount3", "-u", "-z", mountpoint], check=True)
    stored.ok("rm", "p/a:v0", "--yes")
    fill(disk)
    stored.ok("gc", "--grace", "0s")
    blobs = [path.name for path in (disk / "store" / "blobs").glob("*/*")]
    assert len(blobs) == 2
    with sqlite3.connect(disk / "store" / "catalog.sqlite") as catalog:
        assert catalog.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    shutil.rmtree(stored.directory / "files")
