"""Where a store is made, and what artfs does for somebody without a home."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.settings import state_path
from tests.cli.conftest import ROOT, Cli
from tests.support.privileges import as_user, needs_root

pytestmark = pytest.mark.timeout(300)
"""Each runs many commands, on a disk that is a process of its own."""

GONE = 3
NOT_MOUNTED = 13
UID = 12_345


def test_making_a_store_is_always_said(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    first = cli.run("put", "file", "-n", "p/a", "--json")
    assert (first.stores_made, first.json["store_created"]) == (1, True)
    second = cli.run("put", "file", "-n", "p/a", "--json")
    assert (second.stores_made, second.json["store_created"]) == (0, False)
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    staged = cli.run("stage", "p/a", mountpoint, "--store", tmp_path / "other")
    try:
        assert (staged.code, staged.stores_made) == (0, 1)
    finally:
        cli.ok("umount", mountpoint)


@pytest.mark.parametrize("left", ["nothing", "an empty mountpoint"])
def test_a_store_that_was_used_before_is_not_made_again_without_being_asked(
    cli: Cli, tmp_path: Path, left: str
) -> None:
    (tmp_path / "file").write_text("x")
    cli.ok("put", "file", "-n", "p/a")
    cli.store.rename(tmp_path / "unmounted")
    if left != "nothing":
        cli.store.mkdir()
    says = ["is gone", "is its disk mounted?", f"artfs init --store {cli.store}"]
    cli.fails(GONE, "put", "file", "-n", "p/a", says=says)
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    cli.fails(GONE, "stage", "p/a", mountpoint, says=says)
    cli.fails(GONE, "run", "--project", "p", "--", "true", says=says)
    for command in (["ls"], ["get", "p/a"], ["mount", "p/a", mountpoint], ["gc"], ["verify"]):
        cli.fails(GONE, *command, says=says)
    script = tmp_path / "log.py"
    script.write_text(
        "import artfs\n"
        "try:\n    artfs.init(project='p')\n"
        "except artfs.errors.StoreNotFound as error:\n    print(error)\n"
    )
    assert all(word in cli.script(script) for word in says)
    assert not (cli.store / "artfs.toml").exists()
    if left != "nothing":
        cli.store.rmdir()
    # Its disk is mounted.
    (tmp_path / "unmounted").rename(cli.store)
    assert "v0" in cli.ok("ls", "p/a").out
    shutil.rmtree(cli.store)
    cli.ok("init")
    cli.ok("put", "file", "-n", "p/a")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that anybody can get at, and write to."""
    path = Path(tempfile.mkdtemp(prefix="artfs-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)
    shutil.rmtree(f"/tmp/artfs-{UID}", ignore_errors=True)


def _walk_through(place: Path, environment: dict[str, str], prefix: list[str]) -> None:
    """put, ls, get, mount, stage, with nothing but a store."""
    store = place / "store"
    everything = environment | {"ARTFS_STORE": str(store), "PYTHONPATH": str(ROOT)}

    def artfs(*arguments: str | Path, code: int = 0) -> str:
        done = subprocess.run(
            [*prefix, sys.executable, "-P", "-m", "artfs", *map(str, arguments)],
            env=everything | {"PATH": os.environ["PATH"]},
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done
        return done.stderr if code else done.stdout

    (place / "file").write_text("content\n")
    (place / "file").chmod(0o644)
    artfs("put", "file", "-n", "p/a")
    assert "v0" in artfs("ls", "p/a")
    artfs("get", "p/a", "--root", place / "out")
    subprocess.run([*prefix, "mkdir", place / "mnt"], check=True)
    for command in ("umount", "status", "commit", "abort"):
        assert "nothing is mounted here" in artfs(command, place / "mnt", code=NOT_MOUNTED)
    if not prefix or Path("/dev/fuse").stat().st_mode & 0o002:
        artfs("mount", "p/a:v0", place / "mnt")
        artfs("status")
        artfs("umount", place / "mnt")
        artfs("stage", "p/a", place / "mnt")
        subprocess.run([*prefix, "mkdir", place / "mnt" / "more"], check=True)
        artfs("umount", place / "mnt")
        assert "p/a:v1" in artfs("status", place / "mnt")
    assert {path.name for path in place.iterdir()} - {"run"} == {"file", "mnt", "out", "store"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HOME": "/nonexistent"},
        {"HOME": "/proc"},
        {"HOME": "", "XDG_STATE_HOME": "relative", "XDG_CACHE_HOME": "./here"},
    ],
    ids=["empty", "no-home", "unwritable-home", "relative"],
)
@needs_root
def test_a_user_without_a_place_of_their_own_needs_none(
    place: Path, environment: dict[str, str]
) -> None:
    _walk_through(place, environment, as_user([], uid=UID))


def test_whoever_has_a_home_that_cannot_be_written_mounts_and_stages(place: Path) -> None:
    # Not even root makes anything there.
    (place / "run").mkdir(mode=0o700)
    _walk_through(place, {"HOME": "/proc", "XDG_RUNTIME_DIR": str(place / "run")}, [])


@needs_root
def test_the_default_store_of_somebody_without_a_home_is_asked_for_in_one_line(
    place: Path,
) -> None:
    done = subprocess.run(
        as_user([sys.executable, "-P", "-m", "artfs", "ls"], uid=UID),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 11
    assert done.stderr.count("\n") == 1
    assert "no home directory" in done.stderr
    assert "ARTFS_STORE" in done.stderr


def test_a_path_of_nobody_s_home_is_a_name_like_any_other(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    nobody = "~nobody-of-this-name"
    cli.fails(GONE, "ls", "--store", nobody, says=[nobody])
    for command in ("status", "umount"):
        cli.fails(NOT_MOUNTED, command, nobody, says=[nobody, "nothing is mounted here"])
    cli.ok("put", "file", "-n", "p/a", "--store", nobody)
    assert "v0" in cli.ok("ls", "p/a", "--store", nobody).out
    cli.ok("get", "p/a", "--store", nobody, "--root", nobody + "-too")
    cli.fails(NOT_MOUNTED, "mount", "--store", nobody, nobody + "-mnt", says=[nobody])
    script = tmp_path / "log.py"
    script.write_text(f"import artfs\nartfs.init(project='p', store={nobody!r}).finish()\n")
    cli.script(script)


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_that_is_no_absolute_path_is_not_taken_for_the_root_directory(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", home)
    assert state_path() == Path(pwd.getpwuid(os.getuid()).pw_dir, ".local", "state", "artfs")
