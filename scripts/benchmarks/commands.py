"""How long the command line takes to answer."""

from __future__ import annotations

from functools import partial

from scripts.benchmarks.harness import Bench, fresh, write_files


def answers(bench: Bench) -> None:
    """`artfs --help` and `artfs ls`, start to end."""
    source = fresh(bench.directory / "few")
    write_files(source, count=10, size_bytes=100)
    bench.artfs("put", source, "-n", "bench/few", "-t", "dataset")
    for arguments, limit_s in ((("--help",), 0.2), (("ls",), 0.3)):
        took = bench.best(partial(bench.artfs, *arguments))
        bench.add(
            f"`artfs {' '.join(arguments)}`",
            f"{took * 1000:.0f} ms",
            target=f"< {limit_s * 1000:.0f} ms",
            reached=took < limit_s,
        )
