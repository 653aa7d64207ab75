"""`scripts/bench`: run the benchmarks and print the table of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from scripts.benchmarks import (
    commands,
    contest,
    downloading,
    offline,
    peersread,
    peersstage,
    publishing,
    reading,
    servedmount,
    serving,
    staging,
    tables,
)
from scripts.benchmarks.harness import Bench, markdown


def main() -> int:
    """Run what was asked for; 0 even where a target is missed, for the table says it."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--wandb-python", type=Path, help="a Python that has wandb 0.15.0")
    parser.add_argument("--rounds", type=int, default=3, help="repeat each timing (default 3)")
    parser.add_argument("--directory", type=Path, help="a directory on the disk to measure")
    parser.add_argument("only", nargs="*", help="parts to run (default: all)")
    arguments = parser.parse_args()
    parts: dict[str, Callable[[Bench], None]] = {
        "put-small": partial(publishing.small_files, wandb_python=arguments.wandb_python),
        "put-large": publishing.large_file,
        "get-large": downloading.large_file,
        "get-small": downloading.small_files,
        "edit": publishing.edit_of_a_million,
        "stream": reading.sequential,
        "small": reading.small_files,
        "list": reading.listing,
        "offline": offline.warmed_reference,
        "stage-write": staging.writing,
        "stage-small": staging.small_files,
        "stage-untar": staging.source_tree,
        "stage-edit": staging.edit_of_a_million,
        "peers": contest.side_by_side,
        "peers-read": peersread.reading,
        "peers-far": peersread.far_away,
        "peers-stage": peersstage.writing,
        "commands": commands.answers,
        "serve": serving.logging,
        "serve-mount": servedmount.mounting,
        "tables": partial(tables.small_and_large, wandb_python=arguments.wandb_python),
    }
    unknown = set(arguments.only) - parts.keys()
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    directory = Path(tempfile.mkdtemp(prefix="artfs-bench-", dir=arguments.directory))
    bench = Bench(directory, rounds=arguments.rounds)
    try:
        for name in arguments.only or parts:
            print(f"{name}:", file=sys.stderr, flush=True)
            parts[name](bench)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(
        f"\n{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}\n"
    )
    print(markdown(bench.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
