"""docs/api.md's table of arguments is that of the real signatures; README's three lines work."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import artfs
from tests.cli.conftest import ROOT, Cli
from tests.server.conftest import RunningServer, client_environment, client_python

API = (ROOT / "docs" / "api.md").read_text("utf-8")
SECTION = API.partition("### Arguments, one by one")[2].partition("\n## ")[0]
ROWS = {
    cells[0].strip(" `"): [set(re.findall(r"`(\w+)`", cell)) for cell in cells[1:]]
    for cells in (line.strip("|").split("|") for line in SECTION.splitlines())
    if cells[0].strip().startswith("`")
}
INTROSPECT = """
import inspect, json, sys, wandb
def found(name):
    value = wandb
    for part in name.split("."):
        value = getattr(value, part)
    value = value.__init__ if inspect.isclass(value) else value
    return [each for each in inspect.signature(value).parameters if each != "self"]
print(json.dumps({name: found(name) for name in json.loads(sys.argv[1])}))
"""


def test_the_table_of_arguments_is_that_of_both_signatures(tmp_path: Path) -> None:
    assert len(ROWS) > 30
    done = subprocess.run(
        [client_python("0.31.0"), "-c", INTROSPECT, json.dumps(list(ROWS))],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    for name, theirs in json.loads(done.stdout).items():
        assert set().union(*ROWS[name]) == set(theirs), name
        ours: object = artfs
        for part in name.split("."):
            ours = getattr(ours, part)
        assert callable(ours)
        # What is refused is taken too, for the sake of a line that says why.
        assert set(theirs) <= set(inspect.signature(ours).parameters), name


@pytest.mark.parametrize("version", ["0.31.0"])
def test_the_three_lines_of_the_readme_let_a_script_log_here(tmp_path: Path, version: str) -> None:
    text = (ROOT / "README.md").read_text("utf-8").partition("written for W&B\n")[2]
    serve, url, key = re.findall(r"```\n(.*?)```", text, re.DOTALL)[0].strip().splitlines()
    cli = Cli(tmp_path)
    assert shlex.split(serve) == ["artfs", "serve", "&"]
    server = RunningServer(cli)
    try:
        # The port is another one, so that tests can run beside a server; the key is what is shown.
        chosen = {
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": server.key,
        }
        lines = [
            f"{line.partition('=')[0]}={shlex.quote(chosen[line.partition('=')[0].split()[1]])}"
            for line in (url, key)
        ]
        home = tmp_path / "home"
        home.mkdir()
        environment = client_environment(server, home)
        for name in chosen:
            del environment[name]
        code = (
            "import wandb\n"
            "with wandb.init(project='demo', tags=['t'], group='g', config={'lr': 0.1}) as run:\n"
            "    run.log({'loss': 0.5})\n"
            "    artifact = wandb.Artifact('data', 'dataset')\n"
            "    with artifact.new_file('x') as file:\n"
            "        file.write('1')\n"
            "    run.log_artifact(artifact)\n"
        )
        (home / "script.py").write_text(code)
        script = "\n".join([*lines, f"exec {client_python(version)} script.py"])
        done = subprocess.run(
            ["sh", "-c", script],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    finally:
        server.stop()
    got = tmp_path / "got"
    cli.ok("get", "demo/data", "--root", got)
    assert (got / "x").read_text() == "1"
    # What a client said of its run, artfs's own Api tells as well.
    [run] = artfs.Api(store=str(cli.store)).runs("demo", filters={"config.lr": 0.1})
    assert (run.summary.loss, run.group, run.tags) == (0.5, "g", ["t"])
