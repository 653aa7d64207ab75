"""W&B's clients as they are, the oldest and the newest that count, against `artfs serve`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.server.conftest import CLIENTS, RunningServer, run_client

SCRIPT = Path(__file__).with_name("training.py")


@pytest.mark.parametrize("version", CLIENTS)
def test_an_unmodified_client_logs_uses_links_and_deletes(
    server: RunningServer, version: str, tmp_path: Path
) -> None:
    project = f"p{version.replace('.', '-')}"
    done = run_client(server, version, tmp_path / "home", str(SCRIPT), project, str(tmp_path))
    lines = [line for line in done.stdout.splitlines() if line.startswith("FACTS ")]
    assert lines, done.stdout[-2000:] + done.stderr[-4000:]
    facts = json.loads(lines[0].removeprefix("FACTS "))
    assert (facts["v0"][0], facts["same"], facts["v1"][0], facts["v2"]) == ("v0", "v0", "v1", "v2")
    assert len(facts["download"]) == facts["files"] == 22
    changed = {
        name for name, digest in facts["v2 tree"].items() if facts["download"].get(name) != digest
    }
    assert changed == {"added.txt", "sub/0.bin"}
    assert ("empty" in facts["v2 tree"]) == version.startswith("0.15")
    if "prefix" in facts:
        assert all(facts["download"][name] == each for name, each in facts["prefix"].items())
    assert facts["one"] == 1003
    assert facts["table"] == [[1, "a"], [2, "b"]]
    assert facts["download"]["sub/1.bin"] in facts["reference"].values()
    assert facts["again"] == ["v0", "changed", {"a": 1, "b": 2}, ["best", "moved"]]
    assert facts["named"] in ({2} if version != "0.15.0" else {2, 22})
    assert facts["logged_by"] == facts["run"]
    assert facts["used_by"] == [facts["run"]]
    assert facts["linked"] == ["v0", facts["v0"][1]]
    assert facts["versions"] == ["v2", "v1", "v0"]
    assert facts["types"] == ["dataset", "table"]
    assert "data" in facts["collections"]
    assert facts["runs"] == [[facts["run"], "finished", "g", "train"]]
    assert facts["kept"] == [{"lr": 0.1}, 0.9, ["t1"], "n"]
    if "saved" in facts:
        assert facts["saved"] == [
            ["corpus", "All of it", ["gone", "kept"]],
            ["All of it", ["kept", "new"]],
            ["Approved ones", []],
        ]
    assert facts["after"] == ["v2", "v0"]
    assert facts["gone"]
    # What the client logged is a version like any other: the same bytes, the same digest.
    got = tmp_path / "got"
    server.cli.ok("get", f"{project}/data:v0", "--root", got)
    assert sum(1 for path in got.rglob("*") if path.is_file()) == 22
    for name in facts["download"]:
        assert (got / name).read_bytes() == (tmp_path / "v0" / name).read_bytes()
    put = server.cli.ok("put", got, "-n", f"{project}/again", "-t", "dataset", "--json")
    assert put.json["digest"] == facts["v0"][1]
    server.cli.ok("verify", f"{project}/data:v2")


@pytest.mark.parametrize("version", CLIENTS)
def test_an_offline_run_is_synced(server: RunningServer, version: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "file").write_text("offline")
    code = (
        "import wandb\n"
        f"run = wandb.init(project='offline', mode='offline', dir={str(home)!r})\n"
        "artifact = wandb.Artifact('data', 'dataset')\n"
        f"artifact.add_file({str(tmp_path / 'file')!r})\n"
        f"run.log_artifact(artifact, aliases=['a{version.replace('.', '-')}'])\n"
        "run.finish()\n"
    )
    home.mkdir()
    done = run_client(server, version, home, "-c", code)
    assert done.returncode == 0, done.stderr
    (run,) = (home / "wandb").glob("offline-run-*")
    done = run_client(server, version, home, "-m", "wandb", "sync", str(run))
    assert done.returncode == 0, done.stdout + done.stderr
    got = tmp_path / "got"
    server.cli.ok("get", f"offline/data:a{version.replace('.', '-')}", "--root", got)
    assert (got / "file").read_text() == "offline"


@pytest.mark.parametrize("version", CLIENTS)
def test_the_command_line_of_a_client_puts_and_gets(
    server: RunningServer, version: str, tmp_path: Path
) -> None:
    name = f"line-{version.replace('.', '-')}"
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_text(name)
    command = ("-m", "wandb", "artifact")
    put = ("put", "-n", f"line/{name}", "-t", "dataset", str(tmp_path / "d"))
    done = run_client(server, version, tmp_path / "home", *command, *put)
    assert done.returncode == 0, done.stdout + done.stderr
    get = ("get", f"line/{name}:latest", "--root", str(tmp_path / "got"))
    done = run_client(server, version, tmp_path / "home", *command, *get)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "got" / "file").read_text() == name
    done = run_client(server, version, tmp_path / "home", *command, "ls", "line")
    assert done.returncode == 0, done.stdout + done.stderr
