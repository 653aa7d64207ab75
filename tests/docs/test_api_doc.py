"""docs/api.md: its examples run, it names every public method, and its tests exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import artfs

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text("utf-8")
ROWS = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("|")]
OWN = {
    "add_bytes",
    "commit_to",
    "discard_added",
    "download_entry",
    "find_entry",
    "of_id",
    "of_version",
    "read_entry",
}
"""What the parts of artfs need of each other; no script calls it."""


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARTFS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("ARTFS_PROJECT", "demo")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ARTFS_RUN_ID", raising=False)
    namespace: dict[str, Any] = {}
    for match in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL):
        line = TEXT.count("\n", 0, match.start(1))
        code = compile("\n" * line + match[1], "docs/api.md", "exec")
        exec(code, namespace)


@pytest.mark.parametrize(
    "name", sorted({name for name in dir(artfs.Artifact) if not name.startswith("_")} - OWN)
)
def test_every_public_name_of_an_artifact_has_a_row(name: str) -> None:
    assert any(f"`{name}`" in cell for row in ROWS for cell in row[:2])


def test_every_test_that_a_row_names_exists() -> None:
    named = {cell.strip() for row in ROWS for cell in row if cell.strip().startswith("test_")}
    known = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert named
    assert named <= known


def test_every_row_has_a_verdict() -> None:
    verdicts = [row for row in ROWS if row[-1].strip().startswith("test_")]
    assert len(verdicts) > 60
    for row in verdicts:
        assert {"same", "stricter", "kinder"} & {cell.strip() for cell in row} or "Error" in row[0]
