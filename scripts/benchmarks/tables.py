"""Tables: built, added and logged, beside the W&B SDK."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from pathlib import Path

from scripts.benchmarks.harness import Bench

COLUMNS = 10

_ROWS = """
def rows_of(count):
    return [
        [n, n / 7, f"row {n}", n % 2 == 0, n % 5, str(n), n * 1e-3, None if n % 3 else n, "x", -n]
        for n in range(count)
    ]

NAMES = [f"column {number}" for number in range(10)]
"""

_WANDB = (
    _ROWS
    + """
import sys, time, wandb
rows = rows_of(int(sys.argv[1]))
start = time.perf_counter()
artifact = wandb.Artifact("bench", "dataset")
artifact.add(wandb.Table(columns=NAMES, data=rows), "table")
artifact.finalize()
print(time.perf_counter() - start)
"""
)


def small_and_large(bench: Bench, *, wandb_python: Path | None) -> None:
    """10,000 and 200,000 rows of 10 columns; artfs also logs, wandb only adds."""
    import artfs  # noqa: PLC0415

    scope: dict[str, object] = {}
    exec(compile(_ROWS, "rows", "exec"), scope)  # the rows are made alike on both sides
    stores = itertools.count()
    for count in (10_000, 200_000):
        rows = scope["rows_of"](count)  # type: ignore[operator]

        def log(rows: object = rows) -> float:
            # A store of its own, so that nothing is there already.
            os.environ["ARTFS_STORE"] = str(bench.directory / f"tables-{next(stores)}")
            names = [f"column {number}" for number in range(COLUMNS)]
            with artfs.init(project="bench") as run:
                start = time.perf_counter()
                artifact = artfs.Artifact("table", type="dataset")
                artifact.add(artfs.Table(columns=names, data=rows), "table")
                run.log_artifact(artifact)
                return time.perf_counter() - start

        took = min(log() for _ in range(bench.rounds))
        what = f"table of {count:,} x {COLUMNS}: build, add, log"
        if wandb_python is None:
            bench.add(what, f"{took:.2f} s", target="2 x wandb 0.15.0", reached=False)
            continue
        peer = min(_wandb(wandb_python, count) for _ in range(bench.rounds))
        bench.add(
            what,
            f"{took:.2f} s",
            peer=f"wandb 0.15.0, build and add: {peer:.2f} s",
            ratio=f"{peer / took:.1f}",
            target="≥ 2",
            reached=peer >= 2 * took,
        )


def _wandb(python: Path, count: int) -> float:
    command = [str(python), "-c", _WANDB, str(count)]
    environment = {**os.environ, "WANDB_MODE": "offline"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout.split()[-1])
