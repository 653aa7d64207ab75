"""docs/libraries.md: its examples run, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.mounts import ended_at_the_end, runtime

__all__ = ["runtime"]

TEXT = (Path(__file__).parents[2] / "docs" / "libraries.md").read_text("utf-8")


def test_the_examples_run(tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARTFS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ARTFS_RUN_ID", raising=False)
    namespace: dict[str, Any] = {}
    with ended_at_the_end(runtime):
        for match in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL):
            line = TEXT.count("\n", 0, match.start(1))
            code = compile("\n" * line + match[1], "docs/libraries.md", "exec")
            exec(code, namespace)
        assert namespace["flowers"]._repr_html_().count("<tr>") >= 5
