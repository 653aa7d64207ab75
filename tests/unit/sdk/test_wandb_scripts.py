"""Scripts that were written for today's W&B, run with `import artfs as wandb`."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import artfs
import artfs as wandb
from artfs.errors import ConfigError, Unsupported, UsageError
from artfs.repository.facade import Repository
from artfs.sdk import runlogging
from artfs.sdk.metrics import NOTHING, Metrics, defined
from artfs.sdk.summary import RunSummary
from tests.unit.sdk.helpers import logged, write


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    """What is said once in a process may be said once in each test."""
    runlogging._Told.lines.clear()
    return iter(())


def found(run: artfs.Run) -> artfs.Run:
    """The run as somebody else sees it."""
    return artfs.Api().run(run.id)


def test_a_training_loop_leaves_its_last_values_as_the_summary(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert wandb.login(key="k") is True
    wandb.setup()
    with wandb.init(
        project="demo", config={"lr": 0.1}, settings=wandb.Settings(console="off")
    ) as run:
        wandb.define_metric("accuracy", summary="max")
        wandb.watch(None, log="all")
        for step, accuracy in enumerate((0.5, 0.9, 0.8)):
            wandb.log({"loss": 1 - accuracy, "accuracy": accuracy, "val": {f"s{step}": step}})
        run.log({"late": 1}, step=1)
        run.log({"at": 7}, step=7)
        assert run.step == 7
        run.log({"not a number": float("nan")})
        wandb.summary["best"] = 3
        run.summary["nested"] = {"deep": 1}
        run.summary["nested"].deep = 2
        assert wandb.summary.loss == pytest.approx(0.2)
        run.config.setdefaults({"lr": 1, "seed": 4})
        assert run.config.as_dict() == {"lr": 0.1, "seed": 4}
    assert caplog.text.count("not their history") == 1
    assert "step 1 is behind step 3" in caplog.text
    kept = dict(found(run).summary)
    assert kept["accuracy"] == {"max": 0.9}
    assert kept["val"] == {"s0": 0, "s1": 1, "s2": 2}
    assert (kept["best"], kept["nested"], kept["at"], kept["_step"]) == (3, {"deep": 2}, 7, 7)
    assert (kept["not a number"], "late" in kept) == ("NaN", False)
    assert found(run).config == {"lr": 0.1, "seed": 4}
    with pytest.raises(UsageError, match="has ended"):
        run.log({"a": 1})
    with pytest.raises(wandb.errors.Error, match="there is no run"):
        wandb.log({"a": 1})


def test_what_a_summary_cannot_keep_is_left_out_and_the_rest_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = wandb.Table(columns=["x", "y"], data=[[1, 2]])
    with wandb.init(project="demo") as run:
        run.log({"loss": 1.5, "odd": 1j, "nested": {"odd": b"\xff", "even": 2}, "set": {3}})
        run.log({"h": wandb.Histogram([1, 2]), "fig": wandb.Plotly(object())})
        run.log({"h": wandb.Histogram(np_histogram=([1], [0, 1]), num_bins=2)})
        run.log({"curve": wandb.plot.line(table, "x", "y", title="t")})
        run.log({"bars": wandb.plot.bar(table, "x", "y")})
        run.summary["direct"] = 2j
    kept = dict(found(run).summary)
    assert (kept["loss"], kept["nested"], kept["set"]) == (1.5, {"even": 2}, [3])
    assert (kept["h"], kept["curve"]) == ({"_type": "histogram"}, {"_type": "chart"})
    assert not {"odd", "direct"} & set(kept)
    assert caplog.text.count("log(): odd is a complex, which a summary cannot keep") == 1
    assert caplog.text.count("artfs draws no charts") == 1
    assert found(run).state == "finished"
    for name in ("upsert_artifact", "finish_artifact", "restore"):
        with pytest.raises(AttributeError, match=f"artfs.Run.{name}: not there"):
            getattr(run, name)
    with pytest.raises(AttributeError, match="has no sweeps"):
        wandb.sweep({})  # type: ignore[operator]


def test_what_init_is_given_is_kept_and_can_be_changed(
    monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    monkeypatch.setenv("WANDB_TAGS", "from, environment")
    monkeypatch.setenv("WANDB_NAME", "named")
    settings = wandb.Settings(run_group="g", run_notes="of settings", silent=True)
    with wandb.init(notes="n", settings=settings, config=argparse.Namespace(lr=1)) as run:
        assert (run.name, run.group, run.notes) == ("named", "g", "n")
        assert run.tags == ("from", "environment")
        run.tags += ("more",)
        run.name = "again"
        run.notes = "m"
        assert run.url == f"artfs://team/demo/runs/{run.id}"
        assert Path(run.dir).is_relative_to(workplace / "wandb")
        write(workplace, {"log.txt": "x"})
        assert Path(run.save("log.txt")[0]).read_text() == "x"
    seen = found(run)
    assert (seen.name, seen.notes, seen.tags) == ("again", "m", ["from", "environment", "more"])
    assert (seen.config, seen.state) == ({"lr": 1}, "finished")
    seen.tags.append("later")
    seen.summary["s"] = 1
    seen.update()
    assert (found(run).tags[-1], found(run).summary.s) == ("later", 1)


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"mode": "on"}, ValueError, "none of"),
        ({"reinit": "perhaps"}, ValueError, "none of"),
        ({"resume": "perhaps"}, ValueError, "none of"),
        ({"tags": ["a" * 65]}, ValueError, "1 to 64"),
        ({"id": "a/b"}, ValueError, "run id"),
        ({"resume": "must"}, UsageError, "needs the id"),
        ({"resume": "must", "id": "nobody"}, UsageError, "none to resume"),
        ({"fork_from": "x?_step=1"}, Unsupported, "history"),
        ({"config": "nofile.yaml"}, ConfigError, "nofile"),
        ({"settings": {"run_nam": "a", "bogus": 1}}, ValueError, "none of W&B's"),
        ({"config_include_keys": ["a"], "config_exclude_keys": ["a"]}, ValueError, "not both"),
    ],
)
def test_what_init_is_asked_for_in_vain_is_refused_in_one_line(
    arguments: dict[str, object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text) as caught:
        wandb.init(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert wandb.run is None
    assert not Path(os.environ["ARTFS_STORE"]).exists() or len(wandb.Api().runs()) == 0


def test_a_run_that_is_resumed_goes_on_with_what_it_was() -> None:
    with wandb.init(project="demo", id="same", tags=["t"], config={"a": 1}) as first:
        first.log({"x": 1})
    with wandb.init(project="demo", id="same", resume="allow", config={"b": 2}) as run:
        assert (run.id, run.resumed, run.step, run.state) == ("same", True, 1, "running")
        assert (run.summary.x, run.tags, run.config) == (1, ["t"], {"a": 1, "b": 2})
    assert found(run).state == "finished"
    with pytest.raises(UsageError, match="there already"):
        wandb.init(project="demo", id="same", resume="never")
    # Another project may call its run the same.
    with wandb.init(project="other", id="same") as other:
        assert not other.resumed
    assert wandb.Api().run("other/same").id == other.id != "same"


def test_resume_auto_goes_on_with_the_last_run_that_did_not_finish() -> None:
    failed = wandb.init(resume="auto")
    failed.finish(exit_code=1)
    again = wandb.init(resume=True)
    assert again.id == failed.id
    again.finish()
    with wandb.init(resume="auto") as fresh:
        assert fresh.id != failed.id


def test_reinit_says_what_becomes_of_the_current_run(run: artfs.Run) -> None:
    beside = wandb.init(project="demo", reinit="create_new")
    assert wandb.run is run
    beside.finish()
    assert wandb.init(reinit="return_previous") is run
    after = wandb.init(project="demo", reinit=True)
    assert (found(run).state, wandb.run is after, after is run) == ("finished", True, False)


def test_a_disabled_run_keeps_nothing_and_reads_what_is_there(
    run: artfs.Run, repository: Repository
) -> None:
    logged(run, {"x": "real"})
    run.finish()
    before = repository.catalog.changes()
    with wandb.init(project="demo", mode="disabled", config={"a": 1}) as tried:
        tried.log({"loss": 1})
        assert tried.summary.loss == 1
        draft = wandb.Artifact("new", "dataset")
        with draft.new_file("y") as file:
            file.write("gone")
        assert tried.log_artifact(draft).version == "v0"
        assert tried.use_artifact("new:latest").get_entry("y").read_bytes() == b"gone"
        assert tried.use_artifact("data:latest").get_entry("x").read_bytes() == b"real"
        place = tried.dir
        assert wandb.Api().artifact_exists("data")
    assert not Path(place).exists()
    assert repository.catalog.changes() == before
    assert not wandb.Api().artifact_exists("new")


def test_a_process_of_a_run_joins_it_and_is_told_what_is_dropped(run: artfs.Run) -> None:
    code = (
        "import artfs as wandb\n"
        "run = wandb.init(name='rank 1', job_type='test', tags=['r'])\n"
        "run.log({'of the rank': 1})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "name='rank 1', tags=['r'] counts for nothing" in done.stderr
    assert "job_type" not in done.stderr
    run.log({"of the first": 2})
    run.finish()
    summary = found(run).summary
    assert (summary["of the rank"], summary["of the first"]) == (1, 2)


def test_what_a_forked_worker_logs_is_kept_and_nothing_twice(run: artfs.Run) -> None:
    run.log({"before": 1})
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=run.log, args=({"in the worker": 2},))
    worker.start()
    worker.join()
    run.finish()
    summary = found(run).summary
    assert (summary["before"], summary["in the worker"]) == (1, 2)


def test_a_summary_is_sent_every_five_seconds_and_again_after_a_failure() -> None:
    now, sent, fails = [0.0], list[dict[str, object]](), [False]

    def write(changed: dict[str, object], removed: tuple[str, ...]) -> None:
        if fails[0]:
            raise artfs.CommError("the store", "is away")
        sent.append(changed | dict.fromkeys(removed, "removed"))

    summary = RunSummary({"old": 1}, write, clock=lambda: now[0])
    summary["a"] = 1
    assert sent == []
    now[0] = 5.0
    fails[0] = True
    summary["b"] = 2
    fails[0] = False
    now[0] = 10.0
    del summary["old"]
    assert sent == [{"a": 1, "b": 2, "old": "removed"}]
    summary.save()
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("summary", "values", "expected"),
    [
        ("min,max", [2, 1, 3], {"min": 1, "max": 3}),
        ("mean", [1, 2, float("nan")], {"mean": 1.5}),
        ("first,last", [1, 2], {"first": 1, "last": 2}),
        ("best", [2, 1, 3], {"best": 1}),
        ("none", [1], NOTHING),
        ("copy", [1, 2], 2),
        (None, [1, 2], 2),
    ],
)
def test_define_metric_says_what_the_summary_keeps(
    summary: str | None, values: list[float], expected: object
) -> None:
    metrics = Metrics()
    metrics.define(defined("val/*", summary=summary))
    results = [metrics.summarized("val/x", value) for value in values]
    assert results[-1] == expected
    assert metrics.summarized("other", 5) == 5


@pytest.mark.parametrize("name", ["", "a*b", 5])
def test_a_metric_needs_a_name(name: object) -> None:
    with pytest.raises(UsageError):
        defined(name)
    with pytest.raises(UsageError, match="no summary"):
        defined("a", summary="median")


def test_models_and_tables_and_code_become_artifacts(run: artfs.Run, workplace: Path) -> None:
    write(workplace, {"m.pt": "weights", "src/a.py": "pass", "src/b.txt": "no"})
    run.log_model("m.pt", name="net", aliases=["prod"])
    assert Path(run.use_model("net:prod")).read_text() == "weights"
    linked = wandb.link_model("m.pt", "Registered", name="net", aliases=["staging"])
    assert linked.qualified_name == "team/model-registry/Registered:v0"
    assert linked.is_link
    run.log({"examples": wandb.Table(columns=["a"], data=[[1]], log_mode="MUTABLE")})
    table = wandb.Api().artifact(f"demo/run-{run.id}-examples:latest", type="run_table")
    assert table.get("examples").data == [[1]]
    assert run.summary["examples"]["nrows"] == 1
    code = run.log_code("src")
    assert code is not None
    assert list(code.manifest.entries) == ["a.py"]
    with pytest.raises(AssertionError, match="no model"):
        run.use_model(f"run-{run.id}-examples")
    with pytest.raises(AssertionError, match="registered model"):
        run.link_model("m.pt", "a/b")
    with pytest.raises(ValueError, match="is not a file"):
        run.log_model("nothing.pt")


def test_an_artifact_says_where_it_comes_from_and_where_it_is_linked(run: artfs.Run) -> None:
    draft = wandb.Artifact("data", "dataset", storage_region="here")
    assert (draft.is_draft(), draft.source_name, draft.is_link) == (True, "data", False)
    for name in ("created_at", "file_count", "collection", "source_artifact", "url"):
        with pytest.raises(artfs.ArtifactNotLoggedError):
            getattr(draft, name)
    made = logged(run, {"x": "1"})
    link = made.link("shelf", aliases=["approved"])
    assert (link.name, link.is_link, link.collection.name) == ("shelf:v0", True, "shelf")
    assert (link.source_artifact.name, link.source_collection.name) == ("data:v0", "data")
    assert link.source_qualified_name == "team/demo/data:v0"
    assert (link.source_entity, link.source_project) == ("team", "demo")
    assert [each.name for each in made.linked_artifacts] == ["shelf:v0"]
    assert (made.created_at, made.file_count) == (made.updated_at, 1)
    assert made.url == "artfs://team/demo/artifacts/dataset/data/v0"
    assert (made.distributed_id, made.history_step, made.digest_algorithm) == (None, None, "MD5")
    link.unlink()
    assert made.linked_artifacts == []
    with pytest.raises(ValueError, match="not linked"):
        made.unlink()


def test_files_of_an_artifact_are_listed_and_downloaded(run: artfs.Run) -> None:
    made = logged(run, {"a.txt": "1", "b/c.json": "22"})
    assert [(each.name, each.size, each.mimetype) for each in made.files()] == [
        ("a.txt", 1, "text/plain"),
        ("b/c.json", 2, "application/json"),
    ]
    [one] = made.files(names=["b/c.json"])
    with one.download(root="to") as file:
        assert file.read() == "22"
    with pytest.raises(wandb.errors.CommError, match="already"):
        one.download(root="to")
    one.download(root="to", exist_ok=True).close()
    assert [each.name for each in Path("to/b").iterdir()] == ["c.json"]
    with pytest.raises(ValueError, match="more than one"):
        made.file()
    assert Path(logged(run, {"only": "3"}, "single").file("there")).read_text() == "3"


def test_what_is_overwritten_when_it_is_added_is_replaced(run: artfs.Run, workplace: Path) -> None:
    write(workplace, {"d/x": "old", "e/x": "new"})
    draft = wandb.Artifact("data", "dataset")
    draft.add_dir("d")
    with pytest.raises(ValueError, match="same path twice"):
        draft.add_dir("e")
    draft.add_dir("e", merge=True)
    draft.add_file("d/x", name="y", policy="immutable", skip_cache=True)
    draft.add_file("e/x", name="y", overwrite=True)
    draft.add(wandb.Table(columns=["a"], data=[[1]]), "t")
    draft.add(wandb.Table(columns=["a"], data=[[2]]), "t", overwrite=True)
    with pytest.raises(ValueError, match="policy"):
        draft.add_file("d/x", policy="other")
    run.log_artifact(draft, tags=["checked"])
    assert [draft.get_entry(name).read_bytes() for name in ("x", "y")] == [b"new", b"new"]
    assert draft.get("t").data == [[2]]
    assert draft.tags == ["checked"]
    assert run.log_artifact(draft.new_draft(), tags=["more"]).tags == ["checked", "more"]


def test_references_that_lead_to_nothing_are_left_out_where_that_is_allowed(
    run: artfs.Run, workplace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(workplace, {"src/here": "1", "src/gone": "2"})
    draft = wandb.Artifact("refs", "dataset")
    draft.add_reference(f"file://{workplace}/src")
    run.log_artifact(draft)
    (workplace / "src/gone").unlink()
    with pytest.raises(artfs.ArtfsError):
        draft.download("one")
    root = draft.download(Path("two"), allow_missing_references=True)
    assert [each.name for each in Path(root).iterdir()] == ["here"]
    assert "gone is left out" in caplog.text


def test_runs_are_found_by_filters_and_in_an_order() -> None:
    for number, name in enumerate(("a", "b", "c")):
        with wandb.init(name=name, config={"n": number}, tags=[name], group="g") as run:
            run.log({"loss": 1 / (number + 1)})
    api = wandb.Api(overrides={"project": "demo"}, timeout=9, api_key="k")

    def names(filters: dict[str, object], order: str = "+created_at") -> list[str]:
        return [each.name for each in api.runs("demo", filters=filters, order=order, per_page=1)]

    assert names({}) == ["a", "b", "c"]
    assert names({}, "-created_at") == ["c", "b", "a"]
    assert names({"group": "g"}, "summary_metrics.loss") == ["c", "b", "a"]
    assert names({"config.n": {"$gte": 1, "$ne": 2}}) == ["b"]
    assert names({"$or": [{"tags": "a"}, {"display_name": {"$regex": "^c"}}]}) == ["a", "c"]
    assert names({"tags": {"$in": ["b"]}, "state": "finished"}) == ["b"]
    assert names({"summary_metrics.nothing": {"$exists": True}}) == []
    assert names({"$not": {"config.n": 0}}) == ["b", "c"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda api: api.runs("nobody", filters={"a": {"$near": 1}}),
        lambda api: api.runs("nobody", filters={"$where": "1"}),
        lambda api: api.runs("nobody", filters={"a": {"$in": 1}}),
        lambda api: api.runs("nobody", filters={"a": 1, "$and": [{"b": {"$ne": 1, "$odd": 2}}]}),
        lambda api: api.runs("nobody", order="age"),
        lambda api: api.artifacts("dataset", "data", order="beauty"),
        lambda api: type(api)("a/path"),
    ],
)
def test_a_filter_or_order_that_is_not_known_is_refused_whatever_there_is(
    ask: Callable[[artfs.Api], object], run: artfs.Run
) -> None:
    logged(run, {"x": "1"})
    with pytest.raises((artfs.UsageError, Unsupported)) as caught:
        ask(artfs.Api())
    assert "\n" not in str(caught.value)


def test_versions_are_found_by_tags_and_in_an_order(run: artfs.Run) -> None:
    for size in (3, 1, 2):
        made = logged(run, {"x": "x" * size})
        made.tags = ["odd"] if size % 2 else ["even"]
        made.save()
    api = artfs.Api()
    by_size = api.artifacts("dataset", "data", order="size", per_page=1)
    assert [each.version for each in by_size] == ["v1", "v2", "v0"]
    odd = api.artifacts("dataset", "data", tags=["odd"])
    assert ([each.version for each in odd], len(odd)) == (["v1", "v0"], 2)
    assert api.artifact_collection_exists("data", "dataset")
    assert not api.artifact_collection_exists("data", "model")


def test_what_wandb_has_and_artfs_has_not_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert wandb.__version__
    for name in ("sweep", "agent", "Molecule"):
        with pytest.raises(AttributeError, match=f"{name}: not there"):
            getattr(wandb, name)
    with wandb.init() as run, caplog.at_level(logging.WARNING):
        run.alert("title", "text", level="WARN")
        assert list(run.scan_history()) == []
    assert "alert (WARN): title: text" in caplog.text
