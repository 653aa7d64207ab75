"""Streams that are closed, or take nothing: the work and the exit code do not depend on them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def shell(cli: Cli, arguments: str) -> subprocess.CompletedProcess[str]:
    """`artfs` with the redirections of a shell."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {arguments}', "sh", *cli.command()],
        env=cli.environment,
        cwd=cli.directory,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def more(filled: Cli) -> Cli:
    (filled.directory / "more").write_text("more")
    return filled


@pytest.mark.parametrize("buffered", [True, False])
def test_work_whose_word_cannot_be_written_is_said_to_be_done(more: Cli, buffered: bool) -> None:
    if not buffered:
        more.environment["PYTHONUNBUFFERED"] = "1"
    done = shell(more, "put more -n demo/more >/dev/full")
    assert done.returncode == 9
    assert done.stderr == (
        "artfs: standard output: No space left on device:"
        " what was to be printed is lost, what was done stands\n"
    )
    assert "v0" in more.ok("ls", "demo/more").out


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("put more -n demo/more", 0),
        ("ls", 0),
        ("ls demo --json", 0),
        ("ls nope/x", 3),
        ("get demo/data:v7", 3),
        ("mount /nowhere", 13),
        ("nonsense", 2),
    ],
)
def test_a_stream_that_is_closed_changes_no_exit_code_and_no_file(
    more: Cli, closed: str, arguments: str, code: int
) -> None:
    done = shell(more, f"{arguments} {closed}")
    assert done.returncode == code, done
    assert "internal error" not in done.stderr
    assert not (Path(more.environment["XDG_STATE_HOME"]) / "artfs" / "errors.log").exists()
    more.ok("verify")


def test_a_mount_of_a_caller_without_streams_reads_and_ends(more: Cli) -> None:
    (more.directory / "mnt").mkdir()
    assert shell(more, "mount mnt <&- >&- 2>&-").returncode == 0
    assert (more.directory / "mnt" / "demo" / "data" / "v0" / "a.txt").read_text() == "alpha\n"
    assert shell(more, "umount mnt <&- >&- 2>&-").returncode == 0
