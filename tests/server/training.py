"""What a script of somebody who uses W&B does, with whichever wandb runs it; prints what it saw."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import wandb

PROJECT = sys.argv[1]
ROOT = Path(sys.argv[2])
IS_OLD = wandb.__version__.startswith("0.15.")


def tree(directory: str) -> dict[str, str]:
    root = Path(directory)
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def facts() -> dict[str, Any]:  # noqa: PLR0915 - a script, from its start to its end
    found: dict[str, Any] = {"wandb": wandb.__version__}
    data = ROOT / "data"
    (data / "sub").mkdir(parents=True)
    for number in range(20):
        (data / "sub" / f"{number}.bin").write_bytes(bytes([number]) * (1000 + number))
    (data / "empty").write_bytes(b"")
    (data / "big.bin").write_bytes(b"0123456789abcdef" * 350_000)
    run = wandb.init(
        project=PROJECT, job_type="train", group="g", tags=["t1"], notes="n", config={"lr": 0.1}
    )
    found["run"] = run.id
    first = wandb.Artifact("data", "dataset", description="first", metadata={"a": 1})
    first.add_dir(str(data))
    run.log_artifact(first, aliases=["best"])
    first.wait()
    found["v0"] = [first.version, first.digest, first.id]
    same = wandb.Artifact("data", "dataset")
    same.add_dir(str(data))
    run.log_artifact(same)
    same.wait()
    found["same"] = same.version
    (data / "sub" / "0.bin").write_bytes(b"changed")
    second = wandb.Artifact("data", "dataset")
    second.add_dir(str(data))
    run.log_artifact(second, aliases=["next"])
    second.wait()
    found["v1"] = [second.version, second.digest]
    if IS_OLD:
        third = wandb.Artifact("data", "dataset", incremental=True)
    else:
        third = second.new_draft()
        third.remove("empty")
    with third.new_file("added.txt") as file:
        file.write("added")
    run.log_artifact(third)
    third.wait()
    found["v2"] = third.version
    table = wandb.Table(columns=["i", "text"], data=[[1, "a"], [2, "b"]])
    holder = wandb.Artifact("tables", "table")
    holder.add(table, "t")
    holder.add_reference(first.get_path("sub/1.bin") if IS_OLD else first.get_entry("sub/1.bin"))
    run.log_artifact(holder)
    holder.wait()
    used = run.use_artifact("data:v0", type="dataset")
    found["download"] = tree(used.download(str(ROOT / "v0")))
    used.verify(str(ROOT / "v0"))
    found["v2 tree"] = tree(run.use_artifact("data:latest").download(str(ROOT / "v2")))
    one = used.get_path("sub/3.bin") if IS_OLD else used.get_entry("sub/3.bin")
    found["one"] = Path(one.download(str(ROOT / "one"))).stat().st_size
    if not IS_OLD:
        found["prefix"] = tree(used.download(str(ROOT / "prefix"), path_prefix="sub/1"))
    tables = run.use_artifact("tables:latest")
    found["table"] = tables.get("t").data
    found["reference"] = tree(tables.download(str(ROOT / "tables")))
    used.aliases.append("moved")
    used.description = "changed"
    used.metadata["b"] = 2
    used.save()
    used.link(f"{PROJECT}/portfolio", aliases=["prod"])
    run.log({"loss": 0.5})
    run.summary["accuracy"] = 0.9
    run.finish()
    found.update(asked(run))
    return found


def asked(run: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    api = wandb.Api()
    path = f"{run.entity}/{PROJECT}"
    again = api.artifact(f"{path}/data:moved")
    found["again"] = [again.version, again.description, again.metadata, sorted(again.aliases)]
    found["logged_by"] = again.logged_by().id
    found["used_by"] = [each.id for each in again.used_by()]
    linked = api.artifact(f"{path}/portfolio:prod")
    found["linked"] = [linked.version, linked.digest]
    versions = api.artifact_versions if IS_OLD else api.artifacts
    found["versions"] = [each.version for each in versions("dataset", f"{path}/data")]
    found["types"] = sorted(each.name for each in api.artifact_types(path))
    collections = api.artifact_type("dataset", path).collections()
    found["collections"] = sorted(each.name for each in collections)
    found["files"] = len(list(again.files()))
    found["named"] = len(again.files(["sub/3.bin", "empty", "nothing"]))
    found["runs"] = [[each.id, each.state, each.group, each.job_type] for each in api.runs(path)]
    kept = api.run(f"{path}/{run.id}")
    found["kept"] = [kept.config, dict(kept.summary).get("accuracy"), kept.tags, kept.notes]
    found["logged"] = sorted(each.name for each in kept.logged_artifacts())
    found["projects"] = [each.name for each in api.projects(run.entity)]
    if not IS_OLD:
        found["saved"] = saved(path)
    doomed = api.artifact(f"{path}/data:v1")
    doomed.delete(delete_aliases=True)
    found["after"] = [each.version for each in versions("dataset", f"{path}/data")]
    try:
        api.artifact(f"{path}/data:v1")
    except (ValueError, wandb.errors.CommError):
        found["gone"] = True
    return found


def saved(path: str) -> list[Any]:
    """Rename a collection, give it another type, and back; then what is said of it."""
    api = wandb.Api()
    collection = api.artifact_collection("dataset", f"{path}/data")
    collection.description = "All of it"
    collection.tags = ["gone", "kept"]
    collection.name = "other-data"
    collection.type = "corpus"
    collection.save()
    collection.tags = ["kept", "new"]
    collection.name = "data"
    collection.type = "dataset"
    seen = api.artifact(f"{path}/other-data:v0")
    seen = [seen.type, seen.collection.description, sorted(seen.collection.tags)]
    collection.save()
    portfolio = api.artifact_collection("dataset", f"{path}/portfolio")
    portfolio.description = "Approved ones"
    portfolio.save()
    again = [api.artifact_collection("dataset", f"{path}/{each}") for each in ("data", "portfolio")]
    return [seen, *[[each.description, sorted(each.tags)] for each in again]]


began = time.monotonic()
print("FACTS " + json.dumps({**facts(), "seconds": time.monotonic() - began}))
