"""Getting content out of an embedded store, against `cp -r` of the same files."""

from __future__ import annotations

import shutil
import subprocess
import time
from hashlib import file_digest
from pathlib import Path

from scripts.benchmarks.harness import Bench, fresh, write_files, write_large

_GIB = 1 << 30


def large_file(bench: Bench) -> None:
    """One file of 1 GiB: copied (or reflinked, where the disk can), hard-linked, and kept."""
    source = fresh(bench.directory / "get-large")
    write_large(source / "large.bin", _GIB)
    bench.artfs("put", source, "-n", "bench/get-large")
    local, copy, again = _times(bench, source, "bench/get-large")
    _, link, _ = _times(bench, source, "bench/get-large", "--link")
    hashing = bench.best(lambda: _hash(source / "large.bin"))
    bench.add(
        "get 1 GiB",
        _rate(copy),
        peer=f"cp -r {_rate(local)}",
        ratio=f"{local / copy:.2f}",
        target="≥ 0.3",
        reached=local >= 0.3 * copy,
    )
    for what, took in (("get --link 1 GiB", link), ("get 1 GiB that is there", again)):
        bench.add(
            what,
            _rate(took),
            peer=f"hashing alone {_rate(hashing)}",
            ratio=f"{hashing / took:.2f}",
            target="≥ 0.5",
            reached=hashing >= 0.5 * took,
        )


def small_files(bench: Bench, *, count: int = 10_000) -> None:
    """10,000 files of 4 KiB, all of which are in packs."""
    source = fresh(bench.directory / "get-small")
    write_files(source, count=count, size_bytes=4096)
    bench.artfs("put", source, "-n", "bench/get-small")
    local, copy, again = _times(bench, source, "bench/get-small")
    bench.add(
        f"get {count:,} x 4 KiB",
        f"{count / copy:,.0f} files/s",
        peer=f"cp -r {count / local:,.0f} files/s",
        ratio=f"{local / copy:.2f}",
        target="≥ 0.2",
        reached=local >= 0.2 * copy,
    )
    bench.add(
        f"get {count:,} x 4 KiB that are there",
        f"{count / again:,.0f} files/s",
        target="none",
        reached=True,
    )


def _times(bench: Bench, source: Path, target: str, *options: str) -> tuple[float, float, float]:
    """The best of `cp -r`, of a download with the command's start, and of one more of it.

    One after the other in each round, so that a busy disk is busy for all of them.
    """
    out = bench.directory / "out"
    found = []
    for _ in range(bench.rounds):
        shutil.rmtree(out, ignore_errors=True)
        start = time.perf_counter()
        subprocess.run(["cp", "-r", source, out], check=True)
        local = time.perf_counter() - start
        shutil.rmtree(out)
        took = []
        for _ in range(2):
            start = time.perf_counter()
            bench.artfs("get", target, "--root", out, *options)
            took.append(time.perf_counter() - start)
        found.append((local, *took))
    shutil.rmtree(out)
    local, copy, again = (min(column) for column in zip(*found, strict=True))
    return local, copy, again


def _hash(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        file_digest(file, "sha256")


def _rate(took_s: float) -> str:
    return f"{_GIB / took_s / 2**20:,.0f} MiB/s"
