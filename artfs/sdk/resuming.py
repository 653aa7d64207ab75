"""Which run `init(resume="auto")` goes on with: the last one of a directory that did not finish."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from artfs.errors import UNDECODABLE

_FILE = Path("wandb", "wandb-resume.json")
"""W&B's place, so that a script finds it where it was."""


def note_resumable(root: str | None, run_id: str) -> Path | None:
    """Let the next run of this directory go on with this one; None where that cannot be noted."""
    path = Path(root or ".").absolute() / _FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{run_id}")
        aside.write_text(json.dumps({"run_id": run_id}), "utf-8")
        aside.rename(path)
    except OSError:
        return None
    return path


def resumable(root: str | None) -> str | None:
    """The run to go on with, if there is one."""
    path = Path(root or ".").absolute() / _FILE
    try:
        noted = json.loads(path.read_text("utf-8"))
    except (OSError, *UNDECODABLE):
        return None
    run_id = noted.get("run_id") if isinstance(noted, dict) else None
    return run_id if isinstance(run_id, str) and run_id else None


def forget_resumable(path: Path, run_id: str) -> None:
    """The run has finished: the next one is a new one."""
    with suppress(OSError, *UNDECODABLE):
        if json.loads(path.read_text("utf-8")).get("run_id") == run_id:
            path.unlink()
