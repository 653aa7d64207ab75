"""Opens a store, forks, and logs versions in the child: run by test_forks.py.

Every version that `log_artifact` said is logged is told on standard output: `NAME VERSION CONTENT`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import artfs

VERSIONS = 6
LOOK = """
import contextlib, sqlite3, sys
with contextlib.closing(sqlite3.connect(sys.argv[1])) as catalog:
    catalog.execute("SELECT count(*) FROM versions").fetchall()
"""


def main(store: str, forked_while: str, parent_then: str) -> None:
    run = artfs.init(project="demo", store=store)
    log_one(run, "parent", 0)
    stop = threading.Event()
    threads = [
        threading.Thread(target=BUSY[forked_while], args=(run, number, stop), daemon=True)
        for number in range(0 if forked_while == "idle" else 2)
    ]
    for thread in threads:
        thread.start()
    if os.fork() == 0:
        in_child(run, "child")
    if parent_then == "forks twice":
        become_daemon(run)
    if parent_then == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if parent_then == "goes on":
        for number in range(1, VERSIONS):
            log_one(run, "parent", number)
        os.wait()
    stop.set()
    for thread in threads:
        thread.join()
    run.finish()


def become_daemon(run: artfs.Run) -> None:
    """A daemon's way: the first child ends, the grandchild goes on."""
    if os.fork() == 0:
        if os.fork() == 0:
            in_child(run, "grandchild")
        os._exit(0)
    os._exit(0)


def in_child(run: artfs.Run, name: str) -> None:
    status = 1
    try:
        for number in range(VERSIONS):
            if number == VERSIONS // 2 and run.repository.info.root is not None:
                # Whoever closes a database last tidies up: not while somebody writes.
                catalog = run.repository.info.root / "catalog.sqlite"
                subprocess.run([sys.executable, "-c", LOOK, catalog], check=True)
            log_one(run, name, number)
        status = 0
    finally:
        os._exit(status)


def log_one(run: artfs.Run, name: str, number: int) -> None:
    artifact = artfs.Artifact(name, type="dataset")
    content = f"{name}-{number}"
    with artifact.new_file("x") as file:
        file.write(content)
    version = run.log_artifact(artifact).version
    os.write(1, f"{name} {version} {content}\n".encode())


def commits(run: artfs.Run, number: int, stop: threading.Event) -> None:
    count = 0
    while not stop.is_set():
        log_one(run, f"thread-{number}", count)
        count += 1


def reads(run: artfs.Run, _number: int, stop: threading.Event) -> None:
    while not stop.is_set():
        run.repository.catalog.artifacts()
        run.use_artifact("parent:v0").get_path("x").read_bytes()


BUSY: dict[str, Callable[[artfs.Run, int, threading.Event], None]] = {
    "committing": commits,
    "reading": reads,
}


def begin_worker(store: str) -> None:
    artfs.init(project="demo", store=store)


def log_in_worker(number: int) -> list[str]:
    """What a worker of a pool does, as a data loader's would: three versions, told at the end."""
    run = artfs.run
    assert run is not None
    told = []
    for count in range(3):
        artifact = artfs.Artifact(f"worker-{number}", type="dataset")
        content = f"{number}-{count}"
        with artifact.new_file("x") as file:
            file.write(content)
        told.append(f"worker-{number} {run.log_artifact(artifact).version} {content}\n")
    return told


def pool(store: str, method: str) -> None:
    run = artfs.init(project="demo", store=store)
    log_one(run, "parent", 0)
    with multiprocessing.get_context(method).Pool(3, begin_worker, (store,)) as workers:
        for told in workers.map(log_in_worker, range(6), chunksize=1):
            os.write(1, "".join(told).encode())
    log_one(run, "parent", 1)
    run.finish()


if __name__ == "__main__":
    if sys.argv[2] == "pool":
        pool(sys.argv[1], sys.argv[3])
    else:
        main(*sys.argv[1:])
