"""Reading through the mount, against the same files on the local disk."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from artfs.repository.stores import open_store
from scripts.benchmarks.harness import (
    Bench,
    drop_page_cache,
    fresh,
    open_read_close,
    read_all,
    resident_bytes,
    write_files,
    write_large,
)
from scripts.benchmarks.publishing import million_files

_GIB = 1 << 30


def sequential(bench: Bench) -> None:
    """A stream of 1 GiB: first read from disk, and again from the page cache."""
    source = fresh(bench.directory / "stream") / "data.bin"
    write_large(source, _GIB)
    bench.artfs("put", source, "-n", "bench/stream", "-t", "dataset")
    cold_local = bench.best(lambda: read_all(source), before=drop_page_cache)
    warm_local = bench.best(lambda: read_all(source), before=lambda: read_all(source))
    cold_mount = []
    for _ in range(bench.rounds):
        # A new mount each time: a block is verified once per mount.
        with bench.mounted() as mountpoint:
            path = mountpoint / "bench/stream/latest/data.bin"
            drop_page_cache()
            start = time.perf_counter()
            read_all(path)
            cold_mount.append(time.perf_counter() - start)
            warm_mount = bench.best(lambda: read_all(path))  # noqa: B023 - called at once
    _throughput(bench, "first read of 1 GiB", min(cold_mount), cold_local, target=0.8)
    _throughput(bench, "re-read of 1 GiB", warm_mount, warm_local, target=0.9)


def _throughput(bench: Bench, what: str, took: float, local: float, *, target: float) -> None:
    bench.add(
        what,
        f"{_GIB / took / 2**20:,.0f} MiB/s",
        peer=f"local disk {_GIB / local / 2**20:,.0f} MiB/s",
        ratio=f"{local / took:.2f}",
        target=f"≥ {target}",
        reached=local / took >= target,
    )


def small_files(bench: Bench, *, count: int = 10_000) -> None:
    """open + read + close of 10,000 files of 4 KiB, first and second round."""
    source = fresh(bench.directory / "small4k")
    paths = write_files(source, count=count, size_bytes=4096)
    bench.artfs("put", source, "-n", "bench/small4k", "-t", "dataset")
    local = bench.best(lambda: open_read_close(paths)) / count
    with bench.mounted() as mountpoint:
        root = mountpoint / "bench/small4k/latest"
        mounted = [root / path.relative_to(source) for path in paths]
        start = time.perf_counter()
        open_read_close(mounted)
        first = (time.perf_counter() - start) / count
        second = bench.best(lambda: open_read_close(mounted)) / count
    bench.add("open+read+close, first round", f"{first * 1e6:.0f} µs", target="none", reached=True)
    bench.add(
        "open+read+close, second round",
        f"{second * 1e6:.0f} µs",
        peer=f"local disk {local * 1e6:.1f} µs",
        ratio=f"{local / second:.2f}",
        target="≤ 80 µs",
        reached=second <= 80e-6,
    )


def listing(bench: Bench) -> None:
    """`ls -lR` of 200,000 entries, and of a million with the daemon's memory."""
    with open_store(str(bench.directory / "store"), create=True) as repository:
        million_files(repository)
        quarter = repository.resolve("bench/million")
    assert quarter.file_count == 1_000_000
    with bench.mounted() as mountpoint:
        root = mountpoint / "bench/million/latest"
        start = time.perf_counter()
        (root / "d0777/f0777").stat()
        first_stat = time.perf_counter() - start
        start = time.perf_counter()
        for number in range(200):
            _list_long(root / f"d{number:04d}")
        rate = 200_200 / (time.perf_counter() - start)
        _list_long(root, "-R")
        pid = json.loads(bench.artfs("status", mountpoint, "--json"))["pid"]
        memory = resident_bytes(pid)
    bench.add(
        "first stat among 1,000,000 files",
        f"{first_stat * 1000:.0f} ms",
        target="≤ 1 s",
        reached=first_stat <= 1,
    )
    bench.add(
        "ls -l of 200,000 entries",
        f"{rate:,.0f} entries/s",
        target="≥ 60,000/s",
        reached=rate >= 60_000,
    )
    bench.add(
        "daemon memory after listing 1,000,000",
        f"{memory / 2**20:.0f} MiB",
        target="≤ 300 MiB",
        reached=memory <= 300 * 2**20,
    )


def _list_long(directory: Path, *options: str) -> None:
    subprocess.run(
        ["ls", "-l", *options, str(directory)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )
