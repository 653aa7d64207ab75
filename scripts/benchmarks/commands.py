"""How long the command line takes to answer."""

from __future__ import annotations

from scripts.benchmarks.harness import Bench


def answers(bench: Bench) -> None:
    """`artfs --help` and `artfs ls`, start to end."""
    for arguments, limit_s in ((("--help",), 0.2), (("ls",), 0.3)):
        took = bench.median(lambda arguments=arguments: bench.artfs(*arguments))  # type: ignore[misc]
        bench.add(
            f"`artfs {' '.join(arguments)}`",
            f"{took * 1000:.0f} ms",
            target=f"< {limit_s * 1000:.0f} ms",
            reached=took < limit_s,
        )
