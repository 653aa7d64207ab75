"""`artfs copy`: how places are named, what is said, and stores of both kinds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.servers.postgres import PostgreSQL
from tests.servers.seaweedfs import SeaweedFS
from tests.support.disks import small_file_system
from tests.support.shared import SharedStore


@pytest.fixture
def stored(cli: Cli) -> Cli:
    """Two versions of demo/data."""
    files = cli.directory / "files"
    files.mkdir()
    (files / "large").write_bytes(os.urandom(1_200_000))
    for number in range(2):
        (files / "small").write_text(f"{number}")
        cli.ok("put", files, "-n", "demo/data", "-a", f"n{number}")
    return cli


def test_a_second_copy_sends_nothing_and_says_so(stored: Cli) -> None:
    first = stored.ok("copy", "demo", "./copy", "--all-versions", "--aliases")
    assert first.out.startswith("demo/data:v0: 2 files, 1.1 MiB\ndemo/data:v1: 2 files")
    assert "2 versions copied, 1.1 MiB sent" in first.out
    again = stored.ok("copy", "demo", "./copy", "--all-versions", "--aliases")
    assert again.out == f"{stored.directory}/copy: nothing sent; 2 versions there already\n"
    one, other = (
        stored.ok("ls", "demo/data", "--json", "--store", store).json["versions"]
        for store in ("./store", "./copy")
    )
    assert one == other


def test_the_json_document_says_what_was_done(stored: Cli) -> None:
    made = stored.ok("copy", "demo/data:n0", "./copy#other/called", "--json").json
    (version,) = made.pop("versions")
    assert made == {
        "source": str(stored.store),
        "target": str(stored.directory / "copy"),
        "dry_run": False,
        "store_created": True,
        "sent_bytes": version["sent_bytes"],
        "aliases": [],
        "links": [],
        "runs": 0,
        "uses": 0,
        "unresolved": [],
        "failures": [],
    }
    assert (version["source"], version["target"]) == ("demo/data:v0", "other/called:v0")
    assert version["sent_bytes"] > 1_200_000


def test_a_dry_run_makes_no_store(stored: Cli) -> None:
    said = stored.ok("copy", "demo/data", "./copy", "--dry-run").out
    assert "1 version would be copied, 1.1 MiB sent" in said
    assert not (stored.directory / "copy").exists()


@pytest.mark.parametrize(
    ("code", "arguments", "says"),
    [
        (10, ("demo/data", "demo/data"), "is where SOURCE is"),
        (10, ("./store", "./store#"), "is where SOURCE is"),
        (10, ("demo/data:v0/large", "./copy"), "whole versions"),
        (10, ("demo/data:v0", "./copy", "--all-versions"), "names one version"),
        (10, ("demo", "./copy#p/name"), "names an artifact"),
        (10, ("./store", "./copy#p"), "names a project"),
        (10, ("demo/data", "./copy#p/name:v3"), "STORE#PROJECT[/NAME]"),
        (10, ("demo/data", "store"), "write ./store or STORE#store"),
        (10, ("", "./copy"), "names no store"),
        (3, ("demo/nothing", "./copy"), "no such artifact"),
        (3, ("nothing", "./copy"), "no such project"),
        (3, ("./none#demo", "./copy"), "there is no store here"),
        (12, ("demo/data", "ftp://host/x"), "not a kind of store"),
        (11, ("demo/data", "./files"), "not a store, and not empty"),
    ],
)
def test_what_makes_no_sense_gets_one_line_and_leaves_nothing(
    stored: Cli, code: int, arguments: tuple[str, ...], says: str
) -> None:
    stored.fails(code, "copy", *arguments, says=says)
    assert not (stored.directory / "copy").exists()


def test_a_full_disk_ends_it_and_what_was_copied_stays(stored: Cli, tmp_path: Path) -> None:
    (stored.directory / "files" / "more").write_bytes(os.urandom(24_000_000))
    stored.ok("put", stored.directory / "files", "-n", "demo/data")
    with small_file_system(tmp_path / "disk", size_mib=20) as disk:
        result = stored.run("copy", "demo/data", f"{disk}/copy", "--all-versions")
        assert result.code == 9, result
        assert "2 versions copied" in result.out
        assert "all right" in stored.ok("verify", "--store", disk / "copy").out
        assert stored.ok("doctor", "--json", "--store", disk / "copy").code == 0


def test_embedded_and_shared_stores_are_copied_into_each_other(
    stored: Cli, tmp_path: Path, postgresql: PostgreSQL, seaweedfs: SeaweedFS
) -> None:
    shared = SharedStore(tmp_path / "shared", postgresql.new_schema(), seaweedfs)
    shared.root.mkdir()
    shared.made()
    host = shared.host()
    shutil.copytree(stored.directory / "store", host.directory / "store")
    everything = ("--all-versions", "--aliases", "--lineage")
    assert "2 versions copied" in host.ok("copy", "./store#demo/data", shared.url, *everything).out
    assert "nothing sent" in host.ok("copy", "./store", shared.url, *everything).out
    other = shared.host()
    assert "2 versions copied" in other.ok("copy", shared.url, "./back", *everything).out
    assert "nothing sent" in other.ok("copy", f"{shared.url}#demo", "./back", *everything).out
    first, last = (
        cli.ok("ls", "demo/data", "--json", "--store", store).json["versions"]
        for cli, store in ((host, "./store"), (other, "./back"))
    )
    assert first == last
    assert "all right" in host.ok("verify").out
    assert "all right" in other.ok("verify", "--store", "./back").out
