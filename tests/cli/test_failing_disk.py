"""A disk that fails under a store: every command says so in one line, and nothing is lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.cli.app import run
from tests.cli.conftest import Cli
from tests.support.faultdisk import EVERY, FaultDisk, fault_disk

pytestmark = pytest.mark.timeout(300)
"""Each runs many commands, on a disk that is a process of its own."""

LARGE_BYTES = 5 * 1024 * 1024
PACKS = "store/packs/*"
UNREADABLE = 5
EXIT_CODES = {0, 3, 4, 5, 7, 8, 9, 10, 11, 13}
"""Those of docs/operations.md that a disk can lead to."""
ERRORS = (errno.EIO, errno.EROFS)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultDisk]:
    with fault_disk(tmp_path / "faulty") as disk:
        yield disk


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Small files, one below another directory, and a large one."""
    files = tmp_path / "files"
    (files / "sub" / "deep").mkdir(parents=True)
    for name in ("a", "sub/b", "sub/deep/c"):
        (files / name).write_text(f"this is {name}\n")
    (files / "large").write_bytes(os.urandom(LARGE_BYTES))
    return files


@pytest.fixture
def stored(cli: Cli, disk: FaultDisk, files: Path) -> Cli:
    """`artfs` over a store on the disk, which holds the files as p/a."""
    cli.environment["ARTFS_STORE"] = str(disk.path / "store")
    cli.ok("put", files, "-n", "p/a")
    return cli


def test_content_that_a_disk_cannot_read_is_damage_with_a_name_and_a_cure(
    stored: Cli, disk: FaultDisk, tmp_path: Path
) -> None:
    disk.fail(errno.EIO, "read", paths="store/packs/*")
    for command in (["ls", "p/a:latest"], ["get", "p/a", "--root", tmp_path / "out"], ["gc"]):
        stored.fails(UNREADABLE, *command, says=["packs/", "Input/output error", "artfs verify"])
    disk.fail(errno.EIO, "read", paths="store/blobs/*")
    stored.ok("ls", "p/a:latest")
    stored.fails(
        UNREADABLE, "get", "p/a", "--root", tmp_path / "out", says=["blob", "Input/output error"]
    )
    assert not (tmp_path / "out" / "large").exists()
    verified = stored.run("verify")
    assert verified.code == UNREADABLE
    assert "DAMAGED p/a:v0/large" in verified.out


@pytest.mark.parametrize("paths", ["store/packs/*", "store/blobs/*", "store/[bp]*s/*"])
def test_what_a_disk_cannot_read_is_healed_by_putting_it_again(
    stored: Cli, disk: FaultDisk, files: Path, paths: str
) -> None:
    disk.fail(errno.EIO, "read", paths=paths)
    assert stored.run("verify", "--quarantine").code == UNREADABLE
    disk.fail(errno.EIO, "read", paths="store/damaged/*")
    assert "no new version" in stored.ok("put", files, "-n", "p/a").out
    assert "all right" in stored.ok("verify").out
    assert stored.run("doctor").code == 0


def test_what_a_disk_cannot_even_find_is_stored_again(
    stored: Cli, disk: FaultDisk, files: Path
) -> None:
    (blob,) = (disk.backing / "store" / "blobs").glob("*/*")
    disk.fail(errno.EIO, "lookup", "getattr", paths=f"*/{blob.name}")
    # Its name is taken, so it cannot be, but that is said; and all else is.
    stored.fails(7, "put", files, "-n", "p/a", says="Input/output error")
    disk.heal()
    stored.ok("put", files, "-n", "p/a")


def test_a_mount_whose_tree_cannot_be_read_stays_and_its_reads_are_errors(
    stored: Cli, disk: FaultDisk, tmp_path: Path
) -> None:
    disk.fail(errno.EIO, "read", "open", paths=PACKS)
    for number, target in enumerate((["p/a:latest"], ["p/a"], [])):
        mountpoint = tmp_path / f"mnt{number}"
        mountpoint.mkdir()
        stored.ok("mount", *target, mountpoint)
        try:
            tree = mountpoint.joinpath(*[["v0"], ["p", "a", "v0"]][number - 1] if number else [])
            with pytest.raises(OSError, match="Input/output error"):
                list(tree.iterdir())
            assert mountpoint.is_mount()
            disk.heal()
            assert sorted(path.name for path in tree.iterdir()) == ["a", "large", "sub"]
            disk.fail(errno.EIO, "read", "open", paths=PACKS)
        finally:
            stored.ok("umount", mountpoint)


def test_a_commit_that_the_disk_refuses_is_told_where_the_staging_mount_is_ended(
    stored: Cli, disk: FaultDisk, tmp_path: Path
) -> None:
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    stored.ok("stage", "p/a", "--base", "latest", mountpoint)
    (mountpoint / "new").write_text("new\n")
    with disk.failing(errno.EIO, "create", "read", paths="store/[tp][ma][pc]*"):
        said = stored.fails(7, "umount", mountpoint, says=["Input/output error", "kept"])
    area = said.partition("staging commit ")[2].partition("`")[0]
    assert "p/a:v1" in stored.ok("staging", "commit", area).out


@pytest.mark.parametrize("error", ERRORS, ids=lambda number: errno.errorcode[number])
def test_no_failure_of_a_disk_is_an_internal_error(
    stored: Cli,
    disk: FaultDisk,
    files: Path,
    tmp_path: Path,
    error: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in stored.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (files / "new").write_text("new\n")
    said: list[str] = []
    for operation in [*EVERY, "chmod"]:
        for number, command in enumerate(
            (
                ["ls", "p/a:latest"],
                ["get", "p/a", "--root", "out"],
                ["put", str(files), "-n", f"p/{operation}"],
                ["put", str(files), "-n", "p/a", "--link"],
                ["verify", "--quarantine"],
                ["history", "p/a"],
                ["gc", "--grace", "0s"],
                ["doctor"],
                ["staging", "ls"],
                ["rm", f"p/{operation}", "--yes"],
            )
        ):
            with disk.failing(error, operation):
                code = run(command)
            out, err = capsys.readouterr()
            what = f"{operation} {errno.errorcode[error]} {command}: {code} {err or out}"
            lines = [line for line in err.splitlines() if line.startswith("artfs: ")]
            if code not in EXIT_CODES or "internal" in err or (code and not (lines or out)):
                said.append(what)
            if number == 1 and code == 0:
                assert (tmp_path / "out" / "a").read_text() == "this is a\n"
    assert said == []
    stored.ok("put", files, "-n", "p/a")
    assert "all right" in stored.ok("verify").out
