"""`artfs doctor --rebuild-catalog`: what comes back of a store whose catalog is lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from artfs.catalog.records import VersionUpdate
from artfs.model import RunState
from artfs.repository.opening import open_store
from artfs.system.locks import hold_new_file
from tests.cli.conftest import Cli
from tests.servers.postgres import PostgreSQL
from tests.servers.seaweedfs import SeaweedFS
from tests.support.shared import SharedStore
from tests.support.stores import commit

CONFLICT, DAMAGED, INVALID, NOT_USABLE = 4, 5, 10, 11


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
    manifest = cli.ok("manifest", "demo/data").out
    lose_catalog(cli.store)
    (cli.directory / "new").write_text("new")
    for words in (["ls"], ["put", "new", "-n", "demo/data"], ["init"]):
        cli.fails(NOT_USABLE, *words, says="--rebuild-catalog")
    would = cli.ok("doctor", "--rebuild-catalog", "--dry-run").out
    assert "Would bring back 3 artifacts with 4 versions" in would
    assert not (cli.store / "catalog.sqlite").exists()
    cli.ok("doctor", "--rebuild-catalog")
    assert everything(cli) == before
    assert cli.ok("manifest", "demo/data").out == manifest
    assert files_of(cli, "demo/model") == files
    assert "all right" in cli.ok("verify").out
    kinds = {each["kind"] for each in cli.ok("doctor", "--json").json["findings"]}
    assert not kinds & {"catalog", "orphan-pack", "orphan-blob", "missing-object", "stranger"}
    assert "demo/data:v4" in cli.ok("put", "new", "-n", "demo/data").out


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
    assert "all right" in other.ok("verify").out
    text = other.fails(CONFLICT, "doctor", "--rebuild-catalog", "--blobs", shared.blobs)
    assert "there is a catalog in this database" in text
    # Numbers that a server gives go on behind those that came back.
    (other.directory / "new").write_text("new")
    assert "fresh/one:v0" in other.ok("put", other.directory / "new", "-n", "fresh/one").out
    assert "demo/data:v4" in other.ok("put", other.directory / "new", "-n", "demo/data").out
    assert "No problem found" in other.ok("doctor").out


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


def test_versions_that_lack_something_come_back_and_are_named(cli: Cli) -> None:
    files = cli.directory / "files"
    files.mkdir()
    (files / "small").write_text("small")
    (files / "large").write_bytes(b"x" * 2_000_000)
    cli.ok("put", files, "-n", "demo/a")
    (large,) = [p for p in (cli.store / "blobs").rglob("*") if p.is_file()]
    (pack,) = [p for p in (cli.store / "packs").rglob("*") if p.is_file()]
    kept = pack.read_bytes()
    lose_catalog(cli.store)
    large.unlink()
    report = cli.run("doctor", "--rebuild-catalog", "--json")
    assert report.code == DAMAGED
    assert [(d["version"], d["path"]) for d in report.json["damages"]] == [("demo/a:v0", "large")]
    cli.ok("put", files, "-n", "demo/a")
    assert "all right" in cli.ok("verify").out
    # Without its directory a version comes back as well: gc lets nothing go, whatever it lacks.
    lose_catalog(cli.store)
    pack.unlink()
    report = cli.run("doctor", "--rebuild-catalog", "--json")
    assert [(d["version"], d["path"]) for d in report.json["damages"]] == [("demo/a:v0", ".")]
    assert cli.run("gc", "--grace", "0").code != 0
    pack.write_bytes(kept)
    cli.ok("doctor", "--rebuild-catalog", "--yes")
    assert "all right" in cli.ok("verify").out


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


def test_a_store_whose_catalog_is_an_older_copy_gets_the_rest_back(cli: Cli) -> None:
    (cli.directory / "file").write_text("one")
    cli.ok("put", "file", "-n", "p/a")
    copy = (cli.store / "catalog.sqlite").read_bytes()
    (cli.directory / "file").write_text("two")
    cli.ok("put", "file", "-n", "p/a", "-a", "best")
    for path in cli.store.glob("catalog.sqlite-*"):
        path.unlink()
    (cli.store / "catalog.sqlite").write_bytes(copy)
    assert "that the catalog does not know" in cli.ok("doctor").out
    (cli.directory / "file").write_text("three")
    cli.ok("put", "file", "-n", "p/a")
    report = cli.ok("doctor", "--rebuild-catalog", "--yes", "--json").json
    assert report["replayed"]["renumbered"] == ["p/a:v2, committed as v1"]
    versions = cli.ok("ls", "p/a", "--json").json["versions"]
    assert {v["version"]: v["aliases"] for v in versions} == {"v0": [], "v1": ["latest"], "v2": []}


def test_gc_removes_records_with_their_versions(filled: Cli) -> None:
    assert len(list((filled.store / "commits").iterdir())) == 3
    filled.ok("rm", "demo/data:v0", "--yes")
    filled.ok("gc", "--dry-run")
    assert len(list((filled.store / "commits").iterdir())) == 3
    filled.ok("gc")
    kept = {path.name for path in (filled.store / "commits").iterdir()}
    with open_store(str(filled.store)) as repository:
        assert kept == {version.id for version, _ in repository.catalog.live_trees()}


@pytest.mark.parametrize("lost", [False, True])
def test_a_place_with_contents_is_not_made_an_empty_store(filled: Cli, lost: bool) -> None:
    lose_catalog(filled.store)
    (filled.store / "artfs.toml").unlink()
    shutil.rmtree(filled.state)
    for words in (["init"], ["put", "data-files", "-n", "p/a"]):
        filled.fails(NOT_USABLE, *words, says="--rebuild-catalog")
    if lost:
        filled.environment["ARTFS_ENTITY"] = "somebody"
        filled.ok("doctor", "--rebuild-catalog")
        assert filled.ok("status", "--json").json["store"]["entity"] == "tester"
        assert json.loads(filled.ok("ls", "demo", "--json").out)["artifacts"]
