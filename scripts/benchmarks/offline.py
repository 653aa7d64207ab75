"""Reading what was warmed with the server gone, against the local disk."""

from __future__ import annotations

import subprocess
import sys
import time

from scripts.benchmarks.harness import (
    Bench,
    drop_page_cache,
    free_port,
    fresh,
    read_all,
    write_large,
)

_GIB = 1 << 30


def warmed_reference(bench: Bench) -> None:
    """A file of 1 GiB from a web server: warmed, the server killed, read through the mount."""
    source = fresh(bench.directory / "web") / "data.bin"
    write_large(source, _GIB)
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    server = subprocess.Popen(
        command, cwd=source.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(1)
        uri = f"http://127.0.0.1:{port}/data.bin"
        bench.artfs("put", "--ref", uri, "-n", "bench/reference", "-t", "dataset")
        bench.artfs("warm", "bench/reference")
    finally:
        server.kill()
        server.wait()
    local = bench.best(lambda: read_all(source), before=drop_page_cache)
    times = []
    for _ in range(bench.rounds):
        with bench.mounted() as mountpoint:
            drop_page_cache()
            start = time.perf_counter()
            read_all(mountpoint / "bench/reference/latest/data.bin")
            times.append(time.perf_counter() - start)
    took = min(times)
    bench.add(
        "first read of a warmed reference of 1 GiB, server gone",
        f"{_GIB / took / 2**20:,.0f} MiB/s",
        peer=f"local disk {_GIB / local / 2**20:,.0f} MiB/s",
        ratio=f"{local / took:.2f}",
        target="none",
        reached=True,
    )
