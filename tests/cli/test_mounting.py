"""`artfs mount`, `umount`, `status` and `doctor` on real mounts, and progress on a terminal."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


@pytest.fixture
def mountable(filled: Cli) -> Iterator[Cli]:
    """`filled`, with a directory `mnt` and a place for sockets whose path is short enough."""
    runtime = tempfile.mkdtemp(prefix="artfs-")
    filled.environment["XDG_RUNTIME_DIR"] = runtime
    mnt = filled.directory / "mnt"
    mnt.mkdir()
    yield filled
    subprocess.run(["fusermount3", "-uzq", mnt], check=False, capture_output=True)
    shutil.rmtree(runtime)


def is_mounted(path: Path) -> bool:
    """Whether something is mounted there, dead or alive."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return any(line.split()[1] == str(path) for line in lines)


def test_a_store_is_mounted_shown_and_unmounted(mountable: Cli) -> None:
    mnt = mountable.directory / "mnt"
    out = mountable.ok("mount", mnt).out
    assert out == f"the store {mountable.store} is mounted on {mnt}\n"
    assert (mnt / "demo" / "data" / "latest" / "a.txt").read_text() == "changed\n"
    assert (mnt / "demo" / "data" / "v0" / "a.txt").read_text() == "alpha\n"

    lines = mountable.ok("status", mnt).out.splitlines()
    facts = dict(line.split("  ", 1) for line in lines)
    assert facts["state"].strip() == "mounted"
    listed = mountable.ok("status").out
    assert str(mnt) in listed
    (value,) = (
        each
        for each in mountable.ok("status", "--json").json["mounts"]
        if each["mountpoint"] == str(mnt)
    )
    assert value["state"] == "mounted"
    assert value["counters"]["bytes_loaded"] == 14
    assert mountable.ok("status", mnt, "--json").json["pid"] == value["pid"]

    mountable.fails(13, "mount", mnt, says="already mounted")
    assert mountable.ok("umount", mnt).out == f"{mnt} is unmounted\n"
    assert not is_mounted(mnt)
    mountable.fails(13, "umount", mnt, says="nothing is mounted")


@pytest.mark.parametrize(
    ("target", "path", "shown"),
    [
        ("demo", "data/v0/a.txt", "demo"),
        ("demo/data", "v0/a.txt", "demo/data"),
        ("demo/data:v0", "a.txt", "demo/data:v0"),
    ],
)
def test_a_target_is_mounted(mountable: Cli, target: str, path: str, shown: str) -> None:
    mnt = mountable.directory / "mnt"
    value = mountable.ok("mount", target, "mnt", "-o", "ro,umask=22", "--json").json
    assert value["mountpoint"] == str(mnt)
    assert value["target"] == target
    assert (mnt / path).read_text() == "alpha\n"
    assert mountable.ok("umount", "mnt", "--json").json == {"unmounted": "mnt"}


def test_a_mount_that_may_open_few_files_is_refused_with_the_cure(mountable: Cli) -> None:
    mountable.prefix = ["prlimit", "--nofile=256:256"]
    mountable.fails(13, "mount", "demo", "mnt", says=["256 is the limit here", "ulimit -Hn"])
    mountable.prefix = []
    mountable.fails(13, "umount", "mnt", says="nothing is mounted")


def test_the_default_project_completes_a_target(mountable: Cli) -> None:
    mountable.environment["ARTFS_PROJECT"] = "demo"
    mountable.ok("mount", "data:v0", "mnt")
    assert (mountable.directory / "mnt" / "a.txt").read_text() == "alpha\n"
    mountable.ok("umount", "mnt")


def test_in_the_foreground_it_stays_until_it_is_told_to_end(mountable: Cli) -> None:
    mnt = mountable.directory / "mnt"
    process = mountable.popen("mount", "--foreground", "mnt")
    deadline_s = time.monotonic() + 30
    while not (mnt / "demo").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert not is_mounted(mnt)


def test_a_dead_mount_is_found_by_doctor_and_healed(mountable: Cli) -> None:
    mnt = mountable.directory / "mnt"
    pid = mountable.ok("mount", "mnt", "--json").json["pid"]
    os.kill(pid, signal.SIGKILL)
    deadline_s = time.monotonic() + 30
    while mountable.ok("status", mnt, "--json").json["state"] != "dead":
        assert time.monotonic() < deadline_s
    findings = mountable.ok("doctor", "--json").json["findings"]
    (dead,) = (finding for finding in findings if finding["kind"] == "dead-mount")
    assert str(mnt) in dead["names"]
    mountable.ok("mount", "mnt")
    assert (mnt / "demo" / "data" / "v0" / "a.txt").read_text() == "alpha\n"
    mountable.ok("umount", "mnt")


def test_a_busy_mount_is_not_taken_away_unless_forced(mountable: Cli) -> None:
    mnt = mountable.directory / "mnt"
    mountable.ok("mount", "mnt")
    file = (mnt / "demo" / "data" / "v0" / "a.txt").open()
    mountable.fails(13, "umount", "mnt", says=["busy", "--force"])
    mountable.ok("umount", "--force", "mnt")
    # Nobody is there any more to be told of the close.
    with suppress(OSError):
        file.close()
    assert not is_mounted(mnt)


def test_bytes_that_were_tampered_with_are_an_error_that_verify_explains(mountable: Cli) -> None:
    large = mountable.directory / "large.bin"
    large.write_bytes(os.urandom(9_000_000))
    mountable.ok("put", large, "-n", "demo/large")
    (blob,) = (path for path in (mountable.store / "blobs").rglob("*") if path.is_file())
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.seek(5_000_000)
        file.write(b"tampered")
    mountable.ok("mount", "demo/large:v0", "mnt")
    with (mountable.directory / "mnt" / "large.bin").open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 1000, 0) == large.read_bytes()[:1000]
        with pytest.raises(OSError, match="Input/output error"):
            os.pread(file.fileno(), 1000, 5_000_000)
    mountable.ok("umount", "mnt")
    result = mountable.run("verify", "demo/large:v0")
    assert result.code == 5
    assert result.out.startswith("DAMAGED demo/large:v0/large.bin: block 1 does not match")


def on_terminal(cli: Cli, *arguments: str) -> tuple[int, str]:
    """The exit code of a command that runs on a terminal, and what it showed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        cli.command(*arguments),
        env=cli.environment | {"TERM": "xterm", "COLUMNS": "100"},
        cwd=cli.directory,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    try:
        while select.select([master], [], [], 60)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:
                break
    finally:
        os.close(master)
    return process.wait(30), shown.decode()


def test_a_terminal_shows_progress_of_what_takes_long(filled: Cli) -> None:
    big = filled.directory / "big"
    with big.open("wb") as file:
        # Sparse: it takes long to hash, and no time to make.
        file.truncate(3 * 512 * 1024**2)
    process_result = on_terminal(filled, "put", "--link", "big", "-n", "demo/big")
    assert process_result[0] == 0
    assert "storing" in process_result[1]
    assert "GiB" in process_result[1]


def test_a_terminal_shows_no_progress_of_what_is_quick(filled: Cli) -> None:
    code, shown = on_terminal(filled, "get", "demo/data:v0", "--root", "copy")
    assert code == 0
    assert shown == "demo/data:v0: 3 files, 4.9 KiB in copy\r\n"


def test_a_question_is_asked_on_a_terminal(filled: Cli) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        filled.command("rm", "other/model:v0"),
        env=filled.environment,
        cwd=filled.directory,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    while b"[y/N]" not in shown:
        assert select.select([master], [], [], 60)[0]
        shown += os.read(master, 65536)
    assert b"Delete other/model:v0 (1 file, 8 B)?" in shown
    os.write(master, b"n\n")
    assert process.wait(30) == 1
    os.close(master)
    filled.ok("ls", "other/model:v0")
