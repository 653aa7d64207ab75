"""What became of staged work is said, however its mount ends and whoever asks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import artfs
from artfs.errors import AliasMoved
from artfs.mounts.contact import ended
from artfs.system.mountinfo import mounted_at
from tests.cli.conftest import Cli, Result
from tests.support.disks import small_disk
from tests.support.faults import wait_until
from tests.support.mounts import runtime
from tests.support.privileges import needs_root

__all__ = ["runtime", "small_disk"]


@pytest.fixture
def place(cli: Cli) -> Iterator[Path]:
    path = cli.directory / "mnt"
    path.mkdir()
    yield path
    if mounted_at(path) is not None:
        cli.run("umount", "--force", path)


def told(cli: Cli, place: Path, *options: str) -> Result:
    """What `status` says once the mount's process has ended."""
    wait_until(lambda: "detached" not in cli.run("status", place, "--json").out, timeout_s=30)
    return cli.run("status", place, *options)


def test_a_forced_umount_says_which_version_was_made(cli: Cli, place: Path) -> None:
    cli.ok("stage", "p/data", place)
    (place / "file").write_text("1")
    fd = os.open(place / "file", os.O_RDONLY)
    assert cli.ok("umount", "--force", place).out == "p/data:v0\n"
    os.close(fd)
    cli.ok("stage", "p/data", place, "--base", "latest")
    done = cli.ok("umount", "--force", "--json", place).json
    assert done == {
        "artifact": "p/data",
        "version": "p/data:v0",
        "created": False,
        "unmounted": str(place),
    }


@pytest.mark.parametrize("json", [False, True])
def test_a_forced_umount_says_that_the_work_was_kept_without_a_version(
    cli: Cli, place: Path, *, json: bool
) -> None:
    area = cli.ok("stage", "p/data", place, "--json").json["staging"]["id"]
    with suppress(OSError), (place / "half").open("wb", buffering=0) as file:
        file.write(b"x")
        done = cli.run("umount", "--force", place, *(["--json"] if json else []))
    assert done.code == 4
    assert done.err.count("\n") == 1
    assert "open for writing: half" in done.err
    assert f"everything is kept: `artfs staging commit {area}`" in done.err
    if json:
        assert (done.json["version"], done.json["area"]) == (None, area)
        assert "open for writing: half" in done.json["error"]["message"]
    else:
        assert done.out == f"{place} is unmounted, and no version was made\n"
    # Later, and from then on, too.
    later = cli.run("status", place)
    assert (later.code, later.err) == (4, done.err)
    assert cli.ok("staging", "commit", area, "--take-unfinished").out == "p/data:v0\n"
    assert "p/data:v0" in cli.ok("status", place).out


@pytest.mark.parametrize("how", ["fusermount3", "SIGTERM"])
def test_who_comes_later_is_told_which_version_was_made(cli: Cli, place: Path, how: str) -> None:
    pid = cli.ok("stage", "p/data", place, "--json").json["pid"]
    (place / "file").write_text("1")
    if how == "SIGTERM":
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: mounted_at(place) is None, timeout_s=30)
    else:
        subprocess.run(["fusermount3", "-u", place], check=True)
    assert told(cli, place).out.endswith(": p/data:v0\n")
    value = told(cli, place, "--json").json
    assert (value["state"], value["version"], value["created"]) == ("unmounted", "p/data:v0", True)
    assert "became p/data:v0" in cli.fails(13, "commit", place, says="nothing is mounted here")


def test_who_comes_later_is_told_why_no_version_was_made(cli: Cli, place: Path) -> None:
    (cli.directory / "file").write_text("theirs")
    cli.ok("put", cli.directory / "file", "-n", "p/data")
    cli.ok("stage", "p/data", place, "--expect", "none")
    (place / "file").write_text("mine")
    subprocess.run(["fusermount3", "-u", place], check=True)
    assert told(cli, place).code == 4
    cli.fails(4, "status", place, says=["p/data", "everything is kept: `artfs staging commit"])


def test_a_killed_mount_s_work_is_told_to_be_kept(cli: Cli, place: Path) -> None:
    staged = cli.ok("stage", "p/data", place, "--json").json
    (place / "file").write_text("1")
    pidfd = os.pidfd_open(staged["pid"])
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    wait_until(lambda: cli.run("status", place, "--json").json["state"] == "dead", timeout_s=30)
    os.close(pidfd)
    kept = f"everything is kept: `artfs staging commit {staged['staging']['id']}`"
    cli.fails(13, "commit", place, says=["was killed", kept])
    for _ in range(2):
        done = cli.run("umount", place)
        assert done.code == 13
        assert kept in done.err
    cli.fails(13, "status", place, says=["was killed", kept])
    cli.ok("staging", "drop", "--yes", staged["staging"]["id"])
    cli.fails(13, "status", place, says="nothing is mounted here")


def test_a_mount_that_is_killed_when_its_version_is_made_is_not_said_to_have_made_none(
    cli: Cli, place: Path
) -> None:
    cli.environment["ARTFS_FAILPOINTS"] = "staging-commit.made=kill"
    area = cli.ok("stage", "p/data", place, "--json").json["staging"]["id"]
    del cli.environment["ARTFS_FAILPOINTS"]
    (place / "file").write_text("1")
    done = cli.run("umount", place)
    assert (done.code, done.out) == (13, f"{place} is unmounted\n")
    assert f"`artfs staging commit {area}` makes a version of it, or finds" in done.err
    assert len(cli.ok("ls", "p/data", "--json").json["versions"]) == 1
    cli.ok("staging", "commit", area)
    assert len(cli.ok("ls", "p/data", "--json").json["versions"]) == 1


@needs_root
@pytest.mark.parametrize("force", [False, True])
def test_a_commit_that_fails_at_umount_says_that_the_disk_is_full(
    cli: Cli, small_disk: Path, place: Path, *, force: bool
) -> None:
    cli.environment["ARTFS_STORE"] = str(small_disk / "store")
    cli.ok("stage", "p/data", place)
    # Small files are copied into packs: there is no room for that.
    for number in range(6):
        (place / f"{number}").write_bytes(os.urandom(1_000_000))
    with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    done = cli.run("umount", place, *(["--force"] if force else []))
    assert done.code == 9, done
    assert "No space left on device" in done.err
    assert "everything is kept: `artfs staging commit" in done.err
    later = cli.run("status", place)
    assert (later.code, later.err) == (9, done.err)
    (small_disk / "filler").unlink()
    area = done.err.partition("artfs staging commit ")[2][:8]
    (small_disk / "store" / "filler").unlink(missing_ok=True)
    assert cli.run("staging", "ls").code == 0
    assert area in cli.run("staging", "ls").out


def test_a_block_in_a_script_raises_the_very_error_of_its_commit(
    cli: Cli, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTFS_STORE", str(cli.store))
    cli.ok("init")
    cli.store.with_name("file").write_text("theirs")
    block = artfs.stage("p/data")
    path = block.__enter__()
    (path / "file").write_text("mine")
    cli.ok("commit", path, "--expect", "none")
    cli.ok("put", cli.directory / "file", "-n", "p/data")
    (path / "file").write_text("again")
    with pytest.raises(AliasMoved) as caught:
        block.__exit__(None, None, None)
    assert caught.value.subject
    assert "artfs staging commit" in caught.value.hint


def test_who_calls_umount_from_inside_is_named_and_umount_itself_is_not(
    cli: Cli, place: Path
) -> None:
    cli.ok("stage", "p/data", place)
    command = " ".join(cli.command("umount", "."))
    done = subprocess.run(
        ["sh", "-c", f"{command}; echo $$"],
        cwd=place,
        env=cli.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    shell = done.stdout.strip()
    assert f"busy, in use by sh (pid {shell}), from which this is run: end that" in done.stderr


@pytest.mark.parametrize("ending", ["made", "kept", "killed"])
def test_a_session_with_another_home_is_told_by_the_store(
    cli: Cli, place: Path, tmp_path: Path, ending: str
) -> None:
    cli.ok("stage", "p/data", place)
    (place / "file").write_text("1")
    pid = cli.ok("status", place, "--json").json["pid"]
    if ending == "made":
        cli.ok("umount", place)
    elif ending == "kept":
        fd = os.open(place / "file", os.O_WRONLY)
        cli.run("umount", "--force", place)
        os.close(fd)
    else:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "dead" in cli.run("status", place, "--json").out, timeout_s=30)
        cli.run("umount", place)
    (tmp_path / "home").mkdir()
    elsewhere = {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "home/state")}
    here, there = (cli.run("status", place, "--json", env=env) for env in (None, elsewhere))
    assert there.code == here.code
    known, heard = json.loads(here.out), json.loads(there.out)
    for key in ("artifact", "area", "version", "error", "dropped"):
        assert heard[key] == known[key], key
    if ending != "made":
        [listed] = cli.ok("staging", "ls", "--json").json
        assert listed["id"] == known["area"]
        assert (listed["error"] is None) == (ending == "killed")
        cli.ok("staging", "drop", "--yes", listed["id"])


# --- where the mount was moved or bound to -----------------------------------------------------


@pytest.fixture
def moved(cli: Cli, place: Path) -> Iterator[Path]:
    """Another mountpoint, on a mount from which others can be moved on any host."""
    subprocess.run(["mount", "--bind", cli.directory, cli.directory], check=True)
    subprocess.run(["mount", "--make-private", cli.directory], check=True)
    path = cli.directory / "moved"
    path.mkdir()
    yield path
    cli.run("umount", "--force", place)
    subprocess.run(["umount", "--recursive", "--lazy", cli.directory], check=True)


@needs_root
def test_where_a_mount_was_moved_to_the_version_that_was_made_is_told(
    cli: Cli, place: Path, moved: Path
) -> None:
    cli.ok("stage", "p/data", place)
    subprocess.run(["mount", "--move", place, moved], check=True)
    (moved / "file").write_text("1")
    assert cli.ok("status", moved, "--json").json["mountpoint"] == str(moved)
    assert cli.ok("umount", place).out == "p/data:v0\n"
    assert cli.ok("umount", moved).out == "p/data:v0\n"
    assert cli.ok("status", moved).out.endswith(": p/data:v0\n")


@needs_root
def test_where_a_mount_was_bound_to_what_was_staged_later_is_no_account_of_it(
    cli: Cli, place: Path, moved: Path
) -> None:
    cli.ok("stage", "p/data", place)
    (place / "file").write_text("1")
    subprocess.run(["mount", "--bind", place, moved], check=True)
    cli.ok("umount", place)
    cli.ok("stage", "p/data", place)
    told = cli.ok("status", moved, "--json").json
    assert (told["state"], told["version"], told["error"]) == ("dead", "p/data:v0", None)
    cli.fails(13, "commit", moved, says=["has ended", "became p/data:v0"])
    assert cli.ok("umount", moved).out == "p/data:v0\n"
    assert cli.ok("umount", place).out == "p/data: nothing was staged, so no new version\n"


@needs_root
def test_where_a_mount_was_bound_to_the_work_that_was_kept_is_told(
    cli: Cli, place: Path, moved: Path, tmp_path: Path
) -> None:
    (cli.directory / "file").write_text("theirs")
    cli.ok("put", cli.directory / "file", "-n", "p/data")
    area = cli.ok("stage", "p/data", place, "--expect", "none", "--json").json["staging"]["id"]
    (place / "file").write_text("mine")
    subprocess.run(["mount", "--bind", place, moved], check=True)
    kept = cli.run("umount", place)
    assert (kept.code, f"artfs staging commit {area}" in kept.err) == (4, True)
    told = cli.run("status", moved)
    assert (told.code, told.err) == (4, kept.err)
    pid = cli.ok("staging", "resume", area, place, "--json").json["pid"]
    goes_on = f"everything is kept: it is staged on {place} again"
    cli.fails(13, "commit", moved, says=goes_on)
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert ended(pidfd, 10)
    os.close(pidfd)
    # Who remembers nothing of it is told by the store.
    elsewhere = {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "home/state")}
    for command, where, env in (("umount", moved, elsewhere), ("commit", place, None)):
        done = cli.run(command, where, env=env)
        assert (done.code, "was killed" in done.err) == (13, True), done
        assert f"artfs staging commit {area}" in done.err
    cli.ok("staging", "drop", "--yes", area)


@needs_root
def test_an_abort_where_a_mount_was_moved_to_frees_that_place(
    cli: Cli, place: Path, moved: Path
) -> None:
    cli.ok("stage", "p/data", place)
    (place / "file").write_text("1")
    subprocess.run(["mount", "--move", place, moved], check=True)
    cli.ok("abort", "--yes", moved)
    assert mounted_at(moved) is None
    for each in (place, moved):
        assert cli.ok("status", each).out.endswith(": dropped\n")


@needs_root
def test_a_dead_read_only_mount_that_was_moved_is_said_to_hold_no_work(
    cli: Cli, place: Path, moved: Path
) -> None:
    cli.ok("init")
    pid = cli.ok("mount", place, "--json").json["pid"]
    subprocess.run(["mount", "--move", place, moved], check=True)
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert ended(pidfd, 10)
    os.close(pidfd)
    assert "kept" not in cli.fails(13, "commit", moved, says="not a staging mount")
    assert cli.ok("status", moved, "--json").json["state"] == "dead"
    assert cli.ok("umount", moved).out == f"{moved} is unmounted\n"
