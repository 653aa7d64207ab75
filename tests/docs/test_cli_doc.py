"""The commands of docs/cli.md do what the page shows, those that fail too."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.test_docs import console, environment_in, loosely


def test_targets_and_parts_are_as_shown(tmp_path: Path) -> None:
    steps = [*console("docs/cli.md", "Targets"), *console("docs/cli.md", "Parts")]
    assert len(steps) == 14
    environment = environment_in(tmp_path)
    for command, shown in steps:
        done = subprocess.run(
            ["bash", "-c", f"{command} "],
            cwd=tmp_path / "home",
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = [line for line in done.stderr.splitlines() if "was made here" not in line]
        assert loosely(done.stdout) + said == loosely(shown), command
