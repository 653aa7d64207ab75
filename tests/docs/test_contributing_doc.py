"""docs/contributing.md: its worked examples work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import artfs
from tests.support.references import Reading
from tests.support.workplace import workplace
from tests.unit.sdk.helpers import write

__all__ = ["workplace"]

TEXT = (Path(__file__).parents[2] / "docs" / "contributing.md").read_text("utf-8")


def example(title: str) -> dict[str, Any]:
    """What the code below a heading defines."""
    section = TEXT.partition(f"### Example: {title}\n")[2].partition("\n### ")[0]
    [code] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, f"docs/contributing.md, {title}", "exec"), namespace)
    return namespace


def test_the_scheme_is_described_read_and_missed(tmp_path: Path) -> None:
    found = example("a new reference scheme")
    reading = Reading(tmp_path / "cache", {"memory": found["MemoryHandler"]()})
    entry = reading.one("memory:greeting")
    assert (entry.name, entry.size_bytes) == ("entry", 12)
    assert reading.bytes_of(entry) == b"hello, world"
    del found["OBJECTS"]["greeting"]
    fresh = Reading(tmp_path / "another", {"memory": found["MemoryHandler"]()})
    with pytest.raises(artfs.ArtfsError, match="it is gone"):
        fresh.bytes_of(entry)


def test_the_command_prints(workplace: Path) -> None:
    write(workplace, {"data/x": "12345"})
    with artfs.init(project="demo") as run:
        artifact = artfs.Artifact("digits", type="dataset")
        artifact.add_dir("data")
        run.log_artifact(artifact)
    command = example("a new command")["command"]
    done = CliRunner().invoke(command, ["demo/digits:v0"])
    assert (done.exit_code, done.output) == (0, "demo/digits:v0: 5 B\n")
    assert '"size_bytes": 5' in CliRunner().invoke(command, ["demo/digits", "--json"]).output


def test_the_value_type_comes_back(workplace: Path) -> None:
    subtitles = example("a new value type")["Subtitles"]
    with artfs.init(project="demo") as run:
        artifact = artfs.Artifact("film", type="dataset")
        artifact.add(subtitles("WEBVTT\n"), "first")
        run.log_artifact(artifact)
    logged = artfs.Api().artifact("demo/film:v0")
    assert "first.subtitles-file.json" in logged.manifest.entries
    told = json.loads(logged.get_path("first.subtitles-file.json").read_bytes())
    value = subtitles.from_json(told, logged)
    assert value.text == "WEBVTT\n"
