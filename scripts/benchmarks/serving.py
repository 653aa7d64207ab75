"""Clients of W&B log to `artfs serve`, and to a server that throws the bytes away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmarks.harness import Bench, fresh, write_files, write_large

_CLIENTS = Path(__file__).resolve().parents[2] / ".venv"
_NEWEST, _OLDEST = "0.31.0", "0.15.0"
SERVE = ("artfs", "serve", "--listen", "127.0.0.1:0", "--json")
_DISCARD = ("scripts.benchmarks.discarding",)
_TARGET = 1.3
_TARGET_MIB = 300

_SCRIPT = """
import sys, time, wandb
directory, name = sys.argv[1:]
run = wandb.init(project="bench")
artifact = wandb.Artifact(name, "dataset")
artifact.add_dir(directory, **OPTIONS)
began = time.perf_counter()
logged = run.log_artifact(artifact)
if OPTIONS:
    logged.wait()
else:
    # It would ask for the manifest, which is thrown away, too.
    run.finish()
print("SECONDS", time.perf_counter() - began)
run.finish()
"""


# The oldest client has none; until its run has ended is the time that is taken of it.
_OPTIONS = {_NEWEST: {"skip_cache": True, "policy": "immutable"}, _OLDEST: {}}


def logging(bench: Bench) -> None:
    """2,000 files of 32 KiB, and one of 1 GiB, by both clients."""
    small, large = bench.directory / "small", bench.directory / "large"
    write_files(fresh(small), count=2000, size_bytes=32 * 1024)
    write_large(fresh(large) / "file", 1 << 30)
    for client in (_NEWEST, _OLDEST):
        for what, data in (("2,000 files of 32 KiB", small), ("1 GiB", large)):
            _compare(bench, client, what, data)


def _compare(bench: Bench, client: str, what: str, data: Path) -> None:
    kinds = ("discard", "serve")
    # The time that the client needs, and then the processor time of the server.
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    peak = 0
    for number in range(bench.rounds):
        for kind in kinds:
            with _server(bench, kind) as (process, url, key):
                began_s = _processor_s(process.pid)
                took_s = _logged(
                    bench, client, data=data, name=f"{kind}-{number}", url=url, key=key
                )
                found[kind].append((took_s, _processor_s(process.pid) - began_s))
                if kind == "serve":
                    peak = max(peak, _peak_mib(process.pid))
    (discard_s, discard_cpu_s), (serve_s, serve_cpu_s) = (min(found[kind]) for kind in kinds)
    ratio = serve_s / discard_s
    bench.add(
        f"log {what} with wandb {client} to `artfs serve`",
        f"{serve_s:.2f} s ({serve_cpu_s:.1f} s of processor time), {peak} MiB",
        peer=f"{discard_s:.2f} s ({discard_cpu_s:.1f} s), bytes thrown away",
        ratio=f"{ratio:.2f}",
        target=f"≤ {_TARGET}, ≤ {_TARGET_MIB} MiB",
        reached=ratio <= _TARGET and peak <= _TARGET_MIB,
    )


@contextmanager
def _server(bench: Bench, kind: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    # One of its own: what a store has is not sent again.
    store = Path(tempfile.mkdtemp(prefix="served-", dir=bench.directory))
    environment = {**bench.environment, "ARTFS_STORE": str(store / "store")}
    try:
        with running(SERVE if kind == "serve" else _DISCARD, environment) as server:
            yield server
    finally:
        shutil.rmtree(store)


@contextmanager
def running(
    module: Sequence[str], environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A server that says where it is, by that address and with its key."""
    process = subprocess.Popen(
        [sys.executable, "-m", *module], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield process, ready["url"], ready["key"]
    finally:
        process.terminate()
        process.wait()


def _logged(bench: Bench, client: str, *, data: Path, name: str, url: str, key: str) -> float:
    """Seconds that the client needs."""
    home = fresh(bench.directory / "home")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "WANDB_BASE_URL": url,
        "WANDB_API_KEY": key,
        "WANDB_DIR": str(home),
        "WANDB_CACHE_DIR": str(home / "cache"),
        "WANDB_DATA_DIR": str(home / "data"),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
    }
    began = time.perf_counter()
    done = subprocess.run(
        [
            _CLIENTS / f"wandb-{client}" / "bin/python",
            "-c",
            f"OPTIONS = {_OPTIONS[client]}\n{_SCRIPT}",
            data,
            name,
        ],
        env=environment, cwd=home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        if line.startswith("SECONDS "):
            return float(line.split()[1])
    raise RuntimeError(f"after {time.perf_counter() - began:.0f} s: {done.stderr[-2000:]}")


def _processor_s(pid: int) -> float:
    """What a process has used until now, in user space and in the kernel."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _peak_mib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise ProcessLookupError(pid)
