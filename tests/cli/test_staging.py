"""The commands of staging, as a person and as a script see them."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from artfs.system.mountinfo import mounted_at
from tests.cli.conftest import Cli


@pytest.fixture
def mountpoint(cli: Cli) -> Iterator[Path]:
    path = cli.directory / "mnt"
    path.mkdir()
    yield path
    if mounted_at(path) is not None:
        cli.run("umount", "--force", path)


def test_a_damaged_staging_area_is_listed_copied_out_and_dropped(
    cli: Cli, mountpoint: Path
) -> None:
    staging = cli.run("stage", "p/data", mountpoint, "--json").json["staging"]
    with (mountpoint / "half").open("w") as file:
        file.write("x")
        file.flush()
        cli.run("umount", "--force", mountpoint)
        with suppress(OSError):
            file.close()
    path = Path(staging["path"])
    for name in ("index.sqlite", "index.sqlite-wal"):
        (path / name).write_bytes(b"damaged" * 1000)
    refused = cli.run("staging", "commit", staging["id"])
    assert refused.code == 11
    assert f"artfs: {path}: its index is damaged" in refused.err
    assert f"artfs staging salvage {staging['id']} DIRECTORY" in refused.err
    listed = cli.run("staging", "ls")
    assert (listed.code, "damaged" in listed.out) == (0, True)
    (document,) = cli.run("staging", "ls", "--json").json
    assert (document["id"], document["state"], document["files"]) == (staging["id"], "damaged", 1)
    assert cli.run("staging", "salvage", staging["id"], "out").code == 0
    (copied,) = (each for each in (cli.directory / "out").rglob("*") if each.is_file())
    assert copied.read_text() == "x"
    assert cli.run("staging", "salvage", staging["id"], "out").code == 10
    assert cli.run("staging", "drop", staging["id"]).code == 10
    assert path.exists()
    assert cli.run("staging", "drop", staging["id"], "--yes").code == 0
    assert not path.exists()


def test_a_directory_is_staged_committed_and_unmounted(cli: Cli, mountpoint: Path) -> None:
    staged = cli.run(
        "stage", "p/data", mountpoint, "-t", "model", "-a", "best", "--metadata", '{"a": 1}'
    )
    assert staged.out == f"p/data is staged on {mountpoint}\n"
    (mountpoint / "file").write_text("1")
    assert cli.run("commit", mountpoint).out == "p/data:v0\n"
    assert cli.run("commit", mountpoint).out == "p/data:v0: nothing changed, so no new version\n"
    (mountpoint / "file").write_text("2")
    done = cli.run("umount", mountpoint, "--json").json
    assert done == {
        "artifact": "p/data",
        "version": "p/data:v1",
        "created": True,
        "unmounted": str(mountpoint),
    }
    version = cli.run("ls", "p/data", "--json").json
    assert "best" in str(version)
    ended = cli.run("staging", "ls")
    assert "p/data:v1" in ended.out


def test_areas_are_listed_with_what_is_in_them(cli: Cli, mountpoint: Path) -> None:
    started = cli.run("stage", "p/data", mountpoint, "--json").json
    (mountpoint / "file").write_bytes(b"12345")
    (area,) = cli.run("staging", "ls", "--json").json
    assert area["id"] == started["staging"]["id"]
    assert (area["artifact"], area["base"], area["state"]) == ("p/data", None, "mounted")
    assert (area["files"], area["bytes"], area["pid"]) == (1, 5, started["pid"])
    assert area["mountpoint"] == str(mountpoint)
    assert area["created_at"].startswith("2")
    assert area["id"] in cli.run("staging", "ls").out
    busy = cli.run("staging", "commit", area["id"])
    assert busy.code == 4
    assert "owns this staging area" in busy.err


def test_what_was_open_when_a_mount_ended_is_named_and_taken_when_told_to(
    cli: Cli, mountpoint: Path
) -> None:
    pid = cli.run("stage", "p/data", mountpoint, "--json").json["pid"]
    pidfd = os.pidfd_open(pid)
    with suppress(OSError), (mountpoint / "half").open("wb", buffering=0) as file:
        file.write(b"x")
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    cli.run("umount", "--force", mountpoint)
    (area,) = cli.run("staging", "ls", "--json").json
    refused = cli.run("staging", "commit", area["id"])
    assert refused.code == 4
    assert "half" in refused.err
    assert "--take-unfinished" in refused.err
    resumed = cli.run("staging", "resume", area["id"], mountpoint)
    assert resumed.out.endswith("open for writing when its mount ended: half\n")
    cli.run("umount", "--force", mountpoint)
    done = cli.run("staging", "commit", area["id"], "--take-unfinished")
    assert done.out == "p/data:v0\n"


def test_a_failed_commit_names_the_command_that_goes_on(cli: Cli, mountpoint: Path) -> None:
    (cli.directory / "file").write_text("theirs")
    cli.run("put", cli.directory / "file", "-n", "p/data")
    cli.run("stage", "p/data", mountpoint, "--base", "latest", "--expect", "none")
    (mountpoint / "file").write_text("mine")
    failed = cli.run("umount", mountpoint)
    assert failed.code == 4
    (area,) = cli.run("staging", "ls", "--json").json
    assert area["state"] == "failed"
    assert f"artfs staging commit {area['id']}" in failed.err
    assert cli.run("staging", "commit", area["id"]).code == 4
    assert cli.run("staging", "commit", area["id"], "--expect", "any").out == "p/data:v1\n"
    assert cli.run("staging", "ls", "--json").json == []


def test_an_area_is_resumed_aborted_and_dropped(cli: Cli, mountpoint: Path) -> None:
    cli.run("stage", "p/data", mountpoint)
    (mountpoint / "file").write_text("kept")
    file = (mountpoint / "open").open("w")
    cli.run("umount", "--force", mountpoint)
    # Nobody is there any more to be told of the close.
    with suppress(OSError):
        file.close()
    (area,) = cli.run("staging", "ls", "--json").json
    refused = cli.run("staging", "resume", area["id"], mountpoint, "-o", "timeout=never")
    assert refused.code == 10
    assert "timeout" in refused.err
    assert cli.run("staging", "resume", area["id"], mountpoint, "-o", "timeout=7").code == 0
    assert (mountpoint / "file").read_text() == "kept"
    assert cli.run("abort", mountpoint).code == 10
    assert cli.run("abort", mountpoint, "--yes").code == 0
    assert cli.run("staging", "ls", "--json").json == []
    assert mounted_at(mountpoint) is None


def test_a_kept_area_is_dropped(cli: Cli, mountpoint: Path) -> None:
    cli.run("stage", "p/data", mountpoint)
    file = (mountpoint / "open").open("w")
    cli.run("umount", "--force", mountpoint)
    # Nobody is there any more to be told of the close.
    with suppress(OSError):
        file.close()
    (area,) = cli.run("staging", "ls", "--json").json
    assert cli.run("staging", "drop", area["id"]).code == 10
    assert cli.run("staging", "drop", area["id"], "--yes").out == f"{area['id']} is dropped\n"
    assert cli.run("staging", "drop", area["id"], "--yes").code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["p/data:v0", "MNT"], 10, "--base"),
        (["bad name", "MNT"], 10, "not a valid"),
        (["p/data", "MNT", "--base", "v7"], 3, "p/data"),
        (["p/data", "MNT", "-a", "v1"], 10, "alias"),
        (["p/data", "MNT", "--run", "nosuch"], 3, "nosuch"),
        (["p/data", "MNT", "--metadata", "[1]"], 10, "JSON object"),
        (["p/data", "/nonexistent"], 13, "no such directory"),
    ],
)
def test_what_cannot_be_staged_gets_one_line(
    cli: Cli, mountpoint: Path, arguments: list[str], code: int, text: str
) -> None:
    command = [str(mountpoint) if each == "MNT" else each for each in arguments]
    result = cli.run("stage", *command)
    assert (result.code, len(result.err.splitlines())) == (code, 1)
    assert text in result.err
    assert mounted_at(mountpoint) is None
    if cli.store.exists():
        assert cli.run("staging", "ls", "--json").json == []


def test_what_is_no_staging_mount_is_refused(cli: Cli, mountpoint: Path) -> None:
    for command in ("commit", "abort"):
        result = cli.run(command, mountpoint)
        assert result.code == 13
        assert "nothing is mounted here" in result.err
