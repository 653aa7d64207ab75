"""Runs: how they begin and end, and what they know of artifacts."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import artfs
from artfs.errors import ArtifactNotFound, InvalidArgument, NotFound
from artfs.repository.facade import Repository
from tests.unit.sdk.helpers import files_below, logged, write


def current_run() -> artfs.Run | None:
    """`artfs.run` of this moment: a type checker takes an attribute for a constant."""
    return artfs.run


def test_a_run_is_current_until_it_is_finished() -> None:
    run = artfs.init(project="demo", name="first", job_type="train", config={"lr": 0.1, "n": (1,)})
    assert current_run() is run
    assert os.environ["ARTFS_RUN_ID"] == run.id
    assert (run.project, run.entity, run.name, run.job_type) == ("demo", "team", "first", "train")
    assert (run.config.lr, run.config["n"], run.state) == (0.1, [1], "running")
    assert run.path == f"team/demo/{run.id}"
    artfs.finish()
    assert current_run() is None
    assert "ARTFS_RUN_ID" not in os.environ
    assert run.state == "finished"
    run.finish(exit_code=1)
    assert run.state == "finished"


def test_init_in_a_run_gives_that_run(run: artfs.Run, caplog: pytest.LogCaptureFixture) -> None:
    assert artfs.init(project="other") is run
    assert "still running" in caplog.text


@pytest.mark.parametrize(
    ("exit_code", "state"), [(None, "finished"), (0, "finished"), (3, "failed")]
)
def test_finish_says_how_it_ended(exit_code: int | None, state: str) -> None:
    run = artfs.init()
    artfs.finish(exit_code)
    assert run.state == state


def test_a_block_that_fails_makes_the_run_fail() -> None:
    with pytest.raises(KeyError), artfs.init() as run:
        raise KeyError
    assert run.state == "failed"
    with artfs.init() as run:
        pass
    assert run.state == "finished"


def test_the_project_comes_from_the_call_the_environment_or_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with artfs.init(project="mine") as run:
        assert run.project == "mine"
    with artfs.init() as run:
        assert run.project == "demo"
    monkeypatch.delenv("ARTFS_PROJECT")
    with artfs.init() as run:
        assert run.project == "uncategorized"


def test_a_new_store_belongs_to_the_entity_that_is_named(tmp_path: Path) -> None:
    with artfs.init(entity="other-team", store=str(tmp_path / "new")) as run:
        assert run.entity == "other-team"
    with pytest.raises(ValueError, match="belongs to"):
        artfs.init(entity="third", store=str(tmp_path / "new"))


@pytest.mark.parametrize("what", ["log_artifact", "use_artifact"])
def test_functions_that_need_a_run_say_so(what: str) -> None:
    with pytest.raises(artfs.ArtfsError, match=r"call artfs\.init\(\)"):
        getattr(artfs, what)("data")


def test_the_functions_use_the_current_run(run: artfs.Run, workplace: Path) -> None:
    write(workplace, {"x": "1"})
    assert artfs.log_artifact("x", name="data", type="dataset").version == "v0"
    assert artfs.use_artifact("data:latest").type == "dataset"
    assert [each.name for each in run.logged_artifacts()] == ["data:v0"]
    assert [each.name for each in run.used_artifacts()] == ["data:v0"]


def test_paths_become_artifacts(run: artfs.Run, workplace: Path) -> None:
    write(workplace, {"file": "1", "folder/a": "2"})
    (workplace / "target").write_text("3")
    assert run.log_artifact("file").name == f"run-{run.id}-file:v0"
    assert run.log_artifact(Path("file"), name="named", type="model").type == "model"
    folder = run.log_artifact("folder")
    assert (folder.name, folder.type) == (f"run-{run.id}-folder:v0", "unspecified")
    assert files_below(Path(folder.download())) == {"a": b"2"}
    reference = run.log_artifact(f"file://{workplace}/target", name="reference")
    assert reference.get_path("target").ref_target() == f"file://{workplace}/target"
    with pytest.raises(ValueError, match="is not a file, a directory or a URI"):
        run.log_artifact("missing")
    with pytest.raises(ValueError, match="neither an artifact nor a path"):
        run.log_artifact(5)  # type: ignore[arg-type]


def test_names_are_found_in_every_spelling(run: artfs.Run) -> None:
    artifact = logged(run, {"x": "1"})
    for name in (
        "data",
        "data:latest",
        "data:v0",
        "demo/data:v0",
        "team/demo/data:latest",
        f"data:{artifact.digest}",
    ):
        assert run.use_artifact(name).id == artifact.id
    for name in ("nothing", "other/data", "strangers/demo/data"):
        with pytest.raises(ArtifactNotFound):
            run.use_artifact(name)
    for name in ("a/b/c/d", "data:", "", "data:a/b"):
        with pytest.raises(ValueError, match=r"name|path|alias"):
            run.use_artifact(name)
    with pytest.raises(ValueError, match="neither an artifact nor the name"):
        run.use_artifact(5)  # type: ignore[arg-type]


def test_a_draft_that_is_used_is_the_version_that_has_its_content(run: artfs.Run) -> None:
    logged(run, {"x": "1"})
    logged(run, {"x": "2"})
    again = artfs.Artifact("data", type="dataset")
    with again.new_file("x") as file:
        file.write("1")
    assert run.use_artifact(again).version == "v0"
    new = artfs.Artifact("data", type="dataset")
    with new.new_file("x") as file:
        file.write("3")
    assert run.use_artifact(new, aliases="third").version == "v2"
    assert run.use_artifact("data:third").version == "v2"


def test_use_as_is_one_artifact_for_each_run(run: artfs.Run) -> None:
    logged(run, {"x": "1"})
    logged(run, {"x": "2"})
    assert run.use_artifact("data:v0", use_as="train").use_as == "train"
    run.use_artifact("data:v0", use_as="train")
    with pytest.raises(ValueError, match="another artifact"):
        run.use_artifact("data:v1", use_as="train")
    with pytest.raises(ValueError, match="cannot contain"):
        run.use_artifact("data:v1", use_as="a:b")


def test_lineage_is_known_from_both_ends(repository: Repository) -> None:
    with artfs.init(name="maker") as maker:
        logged(maker, {"x": "1"})
    with artfs.init(name="user") as user:
        artifact = user.use_artifact("data:latest")
        user.use_artifact("data:v0")
    by = artifact.logged_by()
    assert by is not None
    assert (by.id, by.name, by.state) == (maker.id, "maker", "finished")
    assert [each.id for each in artifact.used_by()] == [user.id]
    assert [each.name for each in user.used_artifacts()] == ["data:v0"]
    assert user.logged_artifacts() == []


def test_an_artifact_saved_without_a_run_makes_one_of_type_auto() -> None:
    artifact = artfs.Artifact("data", type="dataset")
    artifact.save(project="solo")
    assert (artifact.project, artifact.version) == ("solo", "v0")
    maker = artifact.logged_by()
    assert maker is not None
    assert (maker.job_type, maker.state) == ("auto", "finished")
    assert artfs.run is None
    assert "ARTFS_RUN_ID" not in os.environ


def test_save_in_a_run_logs_with_it(run: artfs.Run) -> None:
    artifact = artfs.Artifact("data", type="dataset")
    artifact.save(project="ignored")
    assert artifact.project == "demo"
    assert [each.id for each in run.logged_artifacts()] == [artifact.id]


def test_a_process_joins_the_run_that_its_environment_names(
    run: artfs.Run, repository: Repository
) -> None:
    script = (
        "import artfs\n"
        "run = artfs.init(config={'lr': 1})\n"
        "assert run.config.lr == 1\n"
        "run.log_artifact(artfs.Artifact('joined', 'dataset'))\n"
        "print(run.id)\n"
    )
    assert python(script).stdout.strip() == run.id
    assert run.state == "running"
    assert [each.name for each in run.logged_artifacts()] == ["joined:v0"]


def test_a_run_of_another_project_is_not_joined(run: artfs.Run) -> None:
    script = "import artfs; print(artfs.init(project='other').id)"
    assert python(script).stdout.strip() != run.id


@pytest.mark.parametrize("began_with", ["argument", "environment"])
def test_a_process_that_is_started_finds_the_run_s_store(
    began_with: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = str(tmp_path / "chosen")
    before = os.environ["ARTFS_STORE"]
    if began_with == "environment":
        monkeypatch.setenv("ARTFS_STORE", chosen)
    run = artfs.init(store=chosen if began_with == "argument" else None)
    script = "import artfs; artfs.Artifact('made', 'dataset').save()"
    for _ in range(2):
        python(script)
    assert [each.name for each in run.logged_artifacts()] == ["made:v0"]
    assert [each.id for each in artfs.Api().runs("demo")] == [run.id]
    run.finish()
    assert os.environ["ARTFS_STORE"] == (before if began_with == "argument" else chosen)


def test_a_store_that_was_chosen_during_a_run_stays_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with artfs.init(store=str(tmp_path / "chosen")):
        monkeypatch.setenv("ARTFS_STORE", str(tmp_path / "other"))
    assert os.environ["ARTFS_STORE"] == str(tmp_path / "other")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_a_child_saves_is_its_parent_s_run_s(
    method: str, run: artfs.Run, tmp_path: Path
) -> None:
    script = tmp_path / "pool.py"
    script.write_text(
        "import artfs, multiprocessing\n"
        "def save(name):\n"
        "    artfs.Artifact(name, 'dataset').save()\n"
        "if __name__ == '__main__':\n"
        "    with artfs.init() as run:\n"
        f"        with multiprocessing.get_context('{method}').Pool(2) as pool:\n"
        "            pool.map(save, ['one', 'two'])\n"
    )
    run.finish()
    python(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')")
    [made] = [each for each in artfs.Api().runs("demo") if each.id != run.id]
    assert {each.name for each in made.logged_artifacts()} == {"one:v0", "two:v0"}
    assert made.state == "finished"


ENDINGS = {
    "pass": "finished",
    "1 / 0": "failed",
    "sys.exit()": "finished",
    "sys.exit(0)": "finished",
    "sys.exit(3)": "failed",
    "sys.exit('what went wrong')": "failed",
    "argparse.ArgumentParser().parse_args(['--no-such-option'])": "failed",
    "thread = threading.Thread(target=sys.exit, args=(1,)); thread.start(); thread.join()": (
        "finished"
    ),
    "run.finish(); sys.exit(1)": "finished",
    "raise KeyboardInterrupt": "failed",
}


@pytest.mark.parametrize(("ending", "state"), ENDINGS.items())
def test_the_end_of_the_process_ends_the_run(ending: str, state: str) -> None:
    script = (
        "import argparse, sys, threading\n"
        "import artfs\n"
        f"run = artfs.init()\nprint(run.id, flush=True)\n{ending}\n"
    )
    run_id = python(script, check=False).stdout.strip()
    assert artfs.Api().run(run_id).state == state


def test_sys_exit_is_given_back_when_the_run_is_over() -> None:
    before = sys.exit
    with artfs.init():
        assert sys.exit != before
        with pytest.raises(SystemExit, match="7"):
            sys.exit(7)
    assert sys.exit is before


def test_the_config_of_the_current_run_is_an_attribute_of_the_module() -> None:
    with pytest.raises(AttributeError, match=r"call artfs\.init\(\)"):
        _ = artfs.config
    with artfs.init(config={"lr": 0.1}) as run:
        artfs.config.update({"epochs": 3}, allow_val_change=True)
        artfs.config.setdefaults({"epochs": 5, "seed": 7})
        artfs.config.lr = 0.2
        assert artfs.config is run.config
        assert run.config == {"lr": 0.2, "epochs": 3, "seed": 7}
    assert not hasattr(artfs, "config")


def test_config_is_plain_json_and_a_dict() -> None:
    with pytest.raises(TypeError, match="config must be dict"):
        artfs.init(config=[1])
    with artfs.init(config={"a": 1}) as run:
        run.config.b = 2
        assert run.config == {"a": 1, "b": 2}
        with pytest.raises(AttributeError, match="no 'c'"):
            _ = run.config.c


def test_an_artifact_is_linked_into_a_portfolio(run: artfs.Run) -> None:
    logged(run, {"x": "1"})
    logged(run, {"x": "2"})
    run.use_artifact("data:v1").link("best-data", aliases=["good"])
    found = run.use_artifact("best-data:good")
    assert (found.name, found.version, found.source_version) == ("best-data:v0", "v0", "v1")
    run.use_artifact("data:v0").link("team/shelf/best-data")
    assert run.use_artifact("shelf/best-data:latest").source_version == "v0"
    run.link_artifact(artfs.Artifact("new", type="dataset"), "shelf/best-data", aliases=["new"])
    assert run.use_artifact("shelf/best-data:new").version == "v1"


def test_linking_a_draft_logs_it_first(run: artfs.Run) -> None:
    artifact = artfs.Artifact("data", type="dataset")
    artifact.link("portfolio")
    assert artifact.version == "v0"
    assert run.use_artifact("portfolio:latest").id == artifact.id


@pytest.mark.parametrize("target", ["a:b", "a/b/c/d", "", "a b", "a//b"])
def test_a_bad_portfolio_path_is_refused(target: str, run: artfs.Run) -> None:
    artifact = logged(run, {"x": "1"})
    with pytest.raises(ValueError, match=r"portfolio|name"):
        artifact.link(target)


def test_a_portfolio_of_another_entity_is_refused(run: artfs.Run) -> None:
    artifact = logged(run, {"x": "1"})
    with pytest.raises(ArtifactNotFound, match="belongs to the entity"):
        artifact.link("strangers/demo/portfolio")


def test_aliases_of_a_portfolio_are_saved_in_it(run: artfs.Run) -> None:
    logged(run, {"x": "1"}).link("portfolio")
    linked = run.use_artifact("portfolio:latest")
    linked.aliases.append("mine")
    linked.save()
    assert run.use_artifact("portfolio:mine").version == "v0"
    assert run.use_artifact("data:latest").aliases == ["latest"]
    linked.delete()
    with pytest.raises(NotFound):
        run.use_artifact("portfolio:v0")
    assert run.use_artifact("data:v0").state == "COMMITTED"


def python(script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(artfs.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        check=check,
        capture_output=True,
        text=True,
    )


def test_importing_artfs_imports_nothing_heavy() -> None:
    script = (
        "import sys, artfs\n"
        "artfs.Artifact('data', 'dataset').digest\n"
        "heavy = {'sqlalchemy', 'botocore', 'requests', 'numpy', 'PIL', 'trio', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert python(script).stdout.strip() == "[]"


def test_importing_artfs_alone_imports_next_to_nothing() -> None:
    script = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import artfs\n"
        "print(sorted(set(sys.modules) - before - {'artfs'}))\n"
    )
    loaded = python(script).stdout
    assert "typing" not in loaded
    assert len(ast.literal_eval(loaded)) <= 10


def test_the_public_surface_is_what_all_says() -> None:
    for name in artfs.__all__:
        assert name == "run" or getattr(artfs, name) is not None
    assert set(artfs.__all__) <= set(dir(artfs))
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = artfs.nothing_such
    assert InvalidArgument.__mro__[1:3] == (artfs.UsageError, artfs.ArtfsError)
