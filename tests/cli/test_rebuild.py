"""`artfs doctor --rebuild-catalog`: what comes back of a store whose catalog is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from artfs.catalog.records import VersionUpdate
from artfs.model import RunState
from artfs.repository.stores import open_store
from artfs.system.locks import hold_new_file
from artfs.upkeep.doctor import Severity, examine
from artfs.upkeep.verify import verify
from tests.cli.conftest import Cli
from tests.servers.postgres import PostgreSQL
from tests.servers.seaweedfs import SeaweedFS
from tests.support.shared import SharedStore
from tests.support.stores import commit

NOT_FOUND, CONFLICT, DAMAGED, INVALID, NOT_USABLE = 3, 4, 5, 10, 11


def filled_with_everything(cli: Cli) -> None:
    """A store with all kinds of names: versions, aliases, tags, runs, a portfolio, deletions."""
    with open_store(cli.environment["ARTFS_STORE"], create=True) as repository:
        catalog = repository.catalog
        made = [
            commit(
                repository,
                "demo/data",
                {"sub/a.txt": f"text {number}".encode(), "large": b"x" * 1_500_000},
                aliases=(f"n{number}",),
                metadata={"nan": float("inf"), "words": ["ä"]},
            )
            for number in range(4)
        ]
        run = catalog.create_run("demo", name=None, job_type="train", config={"rate": 0.5})
        catalog.record_use(run.id, made[0].id, use_as="input")
        model = commit(repository, "demo/model", {"weights": b"w"}, run_id=run.id)
        catalog.configure_run(run.id, {"more": 1})
        catalog.finish_run(run.id, RunState.FINISHED)
        update = VersionUpdate(description="good", tags=("a", "b"), ttl_s=10**6)
        catalog.update_version(model.id, update)
        catalog.link(model.id, "demo", "registry", ["prod"])
        catalog.delete_version(made[1].id, delete_aliases=True)
        catalog.update_version(made[0].id, VersionUpdate(add_aliases=("stable", "n3")))
        commit(repository, "gone/away", {"x": b"1"})
        catalog.delete_artifact(catalog.artifact("gone", "away").id)


def everything(cli: Cli) -> dict[str, Any]:
    """What a store says of itself."""
    with open_store(cli.environment["ARTFS_STORE"]) as repository:
        catalog = repository.catalog
        artifacts = catalog.artifacts()
        versions = [each for found in artifacts for each in catalog.versions(found.id)]
        runs = catalog.runs()
        return {
            "entity": repository.info.entity,
            "projects": catalog.projects(),
            "artifacts": artifacts,
            "versions": sorted(repr(each) for each in versions),
            "runs": runs,
            "inputs": [catalog.inputs_of(run.id) for run in runs],
            "outputs": [catalog.outputs_of(run.id) for run in runs],
            "blobs": sorted(catalog.blobs(), key=repr),
            "packs": sorted(catalog.packs(), key=repr),
            "sound": catalog.check(),
        }


def files_of(cli: Cli, target: str) -> dict[str, bytes]:
    copy = cli.directory / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    cli.ok("get", target, "--root", copy)
    return {str(p.relative_to(copy)): p.read_bytes() for p in copy.rglob("*") if p.is_file()}


def lose_catalog(store: Path) -> None:
    for path in store.glob("catalog.sqlite*"):
        path.unlink()


def test_c4_a_lost_catalog_is_rebuilt_as_it_was(cli: Cli) -> None:
    filled_with_everything(cli)
    before, files = everything(cli), files_of(cli, "demo/model")
    lose_catalog(cli.store)
    for words in (["ls"], ["init"]):
        cli.fails(NOT_USABLE, *words, says="--rebuild-catalog")
    would = cli.ok("doctor", "--rebuild-catalog", "--dry-run").out
    assert "Would bring back 3 artifacts with 4 versions" in would
    assert not (cli.store / "catalog.sqlite").exists()
    cli.ok("doctor", "--rebuild-catalog")
    assert everything(cli) == before
    assert files_of(cli, "demo/model") == files
    with open_store(str(cli.store)) as repository:
        versions = [version for version, _ in repository.catalog.live_trees()]
        assert verify(repository, versions).damages == ()
        assert {each.severity for each in examine(repository)} <= {Severity.NOTE}
        assert commit(repository, "demo/data", {"x": b"1"}).index == 4


def test_c4_a_mount_shows_the_same_afterwards(cli: Cli) -> None:
    filled_with_everything(cli)
    mountpoint = cli.directory / "mnt"
    mountpoint.mkdir()

    def shown() -> list[str]:
        cli.ok("mount", mountpoint)
        try:
            command = ["find", str(mountpoint), "-printf", "%P %i %s %T@ %m\\n"]
            listed = subprocess.run(command, capture_output=True, text=True, check=True)
            text = (mountpoint / "demo/registry/prod/weights").read_text()
        finally:
            cli.ok("umount", mountpoint)
        return [text, *sorted(listed.stdout.splitlines()[1:])]

    before = shown()
    lose_catalog(cli.store)
    cli.ok("doctor", "--rebuild-catalog")
    assert shown() == before


def test_c4_a_lost_database_is_rebuilt_as_it_was(
    tmp_path: Path, postgresql: PostgreSQL, seaweedfs: SeaweedFS
) -> None:
    shared = SharedStore(tmp_path, postgresql.new_schema(), seaweedfs).made()
    cli = shared.host()
    filled_with_everything(cli)
    before = everything(cli)
    shared.url = postgresql.new_schema()
    other = shared.host()
    other.fails(NOT_USABLE, "init", "--blobs", shared.blobs, says="--rebuild-catalog --blobs")
    would = other.ok("doctor", "--rebuild-catalog", "--blobs", shared.blobs, "-n").out
    assert "Would bring back 3 artifacts with 4 versions" in would
    other.ok("doctor", "--rebuild-catalog", "--blobs", shared.blobs)
    assert everything(other) == before
    text = other.fails(CONFLICT, "doctor", "--rebuild-catalog", "--blobs", shared.blobs)
    assert "there is a catalog in this database" in text
    with open_store(shared.url) as repository:
        versions = [version for version, _ in repository.catalog.live_trees()]
        assert verify(repository, versions).damages == ()
        # Numbers that a server gives go on behind those that came back.
        assert commit(repository, "fresh/one", {"x": b"1"}).index == 0
        assert commit(repository, "demo/data", {"x": b"1"}).index == 4
        assert {each.severity for each in examine(repository)} <= {Severity.NOTE}


def test_c4_commits_come_back_without_any_checkpoint(filled: Cli) -> None:
    before = everything(filled)
    lose_catalog(filled.store)
    shutil.rmtree(filled.store / "checkpoints")
    out = filled.ok("doctor", "--rebuild-catalog").out
    assert "No checkpoint was found: names are those of 3 versions as they were committed" in out
    after = everything(filled)
    assert after["versions"] == before["versions"]
    assert after["blobs"] == before["blobs"]


def test_a_checkpoint_that_is_damaged_is_passed_over(filled: Cli) -> None:
    before = everything(filled)
    lose_catalog(filled.store)
    for path in (filled.store / "checkpoints").iterdir():
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-3] + b"???")
    result = filled.run("doctor", "--rebuild-catalog", "--json")
    assert result.code == DAMAGED
    assert all("checksum" in each for each in result.json["unusable"])
    assert everything(filled)["versions"] == before["versions"]


def test_a_damaged_catalog_is_kept_aside(filled: Cli) -> None:
    before = everything(filled)
    catalog = filled.store / "catalog.sqlite"
    data = bytearray(catalog.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    catalog.write_bytes(data)
    filled.fails(NOT_USABLE, "ls", says="--rebuild-catalog")
    report = filled.ok("doctor", "--rebuild-catalog", "--json").json
    assert Path(report["aside"]).read_bytes() == data
    assert everything(filled) == before


def test_a_sound_catalog_is_not_replaced_unasked(filled: Cli) -> None:
    (filled.store / "commits" / ("0" * 32)).write_bytes(b"none")
    filled.fails(INVALID, "doctor", "--rebuild-catalog", says="the catalog is sound")
    before = everything(filled)
    report = filled.run("doctor", "--rebuild-catalog", "--yes", "--json")
    assert (report.code, report.json["was_sound"]) == (DAMAGED, True)
    assert everything(filled) == before


def test_a_catalog_of_another_artfs_is_left_alone(filled: Cli) -> None:
    with sqlite3.connect(filled.store / "catalog.sqlite") as connection:
        connection.execute("UPDATE settings SET value = '99' WHERE key = 'artfs_schema'")
    connection.close()
    filled.fails(NOT_USABLE, "doctor", "--rebuild-catalog", "--yes", says="newer artfs")


def test_nothing_is_rebuilt_beside_somebody_at_work(filled: Cli) -> None:
    lose_catalog(filled.store)
    (filled.store / "leases").mkdir(exist_ok=True)
    held = hold_new_file(filled.store / "leases" / "intake.1..0123456789abcdef")
    try:
        filled.fails(CONFLICT, "doctor", "--rebuild-catalog", says="somebody is at work")
    finally:
        held.close()
    filled.ok("doctor", "--rebuild-catalog")


def test_a_store_without_records_keeps_its_contents_and_says_what_is_lost(filled: Cli) -> None:
    before = everything(filled)
    lose_catalog(filled.store)
    for kind in ("commits", "checkpoints"):
        shutil.rmtree(filled.store / kind)
    result = filled.run("doctor", "--rebuild-catalog")
    assert (result.code, result.err) == (DAMAGED, "")
    assert result.out.count("No names were found: which versions there were is lost") == 1
    after = everything(filled)
    assert (after["versions"], after["blobs"]) == ([], before["blobs"])
    filled.ok("gc")
    assert everything(filled)["blobs"] == before["blobs"]


def test_a_place_with_contents_is_not_made_an_empty_store(filled: Cli) -> None:
    lose_catalog(filled.store)
    (filled.store / "artfs.toml").unlink()
    shutil.rmtree(filled.state)
    for words in (["init"], ["put", "data-files", "-n", "p/a"]):
        filled.fails(NOT_USABLE, *words, says="--rebuild-catalog")
    filled.environment["ARTFS_ENTITY"] = "somebody"
    filled.ok("doctor", "--rebuild-catalog")
    with open_store(str(filled.store)) as repository:
        assert repository.info.entity == "tester"


@pytest.mark.parametrize("blobs", ["file:///nowhere/at/all", "{empty}"])
def test_blobs_that_are_not_there_are_no_store(
    tmp_path: Path, postgresql: PostgreSQL, blobs: str
) -> None:
    (tmp_path / "empty").mkdir()
    cli = Cli(tmp_path)
    blobs = blobs.format(empty=(tmp_path / "empty").as_uri())
    words = ("doctor", "--rebuild-catalog", "--store", postgresql.new_schema(), "--blobs", blobs)
    cli.fails(NOT_FOUND, *words, says="there is no")
