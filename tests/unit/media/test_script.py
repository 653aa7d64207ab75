"""A whole script for the W&B API runs, unchanged but for its import line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import artfs

SCRIPT = Path(__file__).with_name("training_script.py")
ROOT = Path(__file__).parents[3]


def test_a_script_runs_unchanged_but_for_its_import_line(workplace: Path) -> None:
    text = SCRIPT.read_text()
    assert text.count("import wandb\n") == 1
    Path("script.py").write_text(text.replace("import wandb\n", "import artfs as wandb\n"))
    done = subprocess.run(
        [sys.executable, "script.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "12 examples read back\n"
    api = artfs.Api()
    users = api.artifact("squares/squares:latest").used_by()
    assert [run.job_type for run in users] == ["train", "check"]
