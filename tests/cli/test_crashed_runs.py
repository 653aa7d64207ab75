"""A run whose process is gone is told from one that runs, by whoever looks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.model import RunState
from artfs.repository.stores import open_store

INIT = """
import sys
import artfs
run = artfs.init(project="demo")
print(run.id, flush=True)
sys.stdin.readline()
"""

FORK = """
import os, sys
import artfs
run = artfs.init(project="demo")
child = os.fork()
if child == 0:
    artfs.finish()
    sys.exit(0)
os.waitpid(child, 0)
print(run.id, run.state, flush=True)
sys.stdin.readline()
"""

FAR = ("unshare", "-Ur", "--pid", "--fork", "--mount-proc")


def start(script: str, store: Path, *, by: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A script with a run, which waits for a line."""
    return subprocess.Popen(
        [*by, sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"ARTFS_STORE": str(store), "PYTHONUNBUFFERED": "1"},
    )


def state_of(store: Path, run_id: str) -> RunState:
    with open_store(str(store)) as repository:
        return repository.catalog.run(run_id).state


@pytest.mark.parametrize(
    "by", [(), (sys.executable, "-m", "artfs", "run", "-qp", "demo", "--")], ids=["sdk", "cli"]
)
def test_a_run_whose_process_is_killed_has_crashed(tmp_path: Path, by: tuple[str, ...]) -> None:
    store = tmp_path / "store"
    with start(INIT, store, by=by) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        assert state_of(store, run_id) is RunState.RUNNING
        process.kill()
        process.wait()
        if by:
            # The command goes on, and so does its run.
            assert state_of(store, run_id) is RunState.RUNNING
            assert process.stdin is not None
            process.stdin.close()
            process.stdout.read()
    assert state_of(store, run_id) is RunState.CRASHED


def test_it_is_told_in_another_pid_namespace_by_the_command_line(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with start(INIT, store) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        directory = tmp_path / "data"
        directory.mkdir()
        (directory / "a").write_bytes(b"a")
        put = [sys.executable, "-m", "artfs", "put", str(directory), "-n", "demo/data"]
        environment = os.environ | {"ARTFS_STORE": str(store), "ARTFS_RUN_ID": run_id}
        subprocess.run(put, check=True, env=environment, capture_output=True)
        command = [*FAR, sys.executable, "-m", "artfs", "history", "demo/data", "--json"]
        command += ["--store", str(store)]
        for state in ("running", "crashed"):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert f'"{state}"' in done.stdout
            assert json.loads(done.stdout)
            process.kill()
            process.wait()


def test_a_forked_child_that_ends_does_not_end_the_run(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with start(FORK, store) as process:
        assert process.stdout is not None
        run_id, state = process.stdout.readline().split()
        assert state == "running"
        assert state_of(store, run_id) is RunState.RUNNING
        assert process.stdin is not None
        process.stdin.write("end\n")
        process.stdin.close()
        assert process.wait() == 0
    assert state_of(store, run_id) is RunState.FINISHED
    with open_store(str(store)) as repository:
        assert repository.catalog.leases() == []


BESIDE_A_THREAD = """
import threading
from artfs.cli.app import run
threading.Thread(target=threading.Event().wait, daemon=True).start()
raise SystemExit(run(["run", "-qp", "demo", "--", "sh", "-c", "exit 7"]))
"""


def test_a_command_s_end_is_seen_also_where_another_thread_takes_its_signal(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BESIDE_A_THREAD],
        env=os.environ | {"ARTFS_STORE": str(tmp_path / "store")},
        timeout=60,
        check=False,
    )
    assert done.returncode == 7
