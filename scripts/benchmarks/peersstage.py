"""Writing into a staging mount of artfs beside writable mounts of others, on one local disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from scripts.benchmarks.harness import Bench, fresh, write_files
from scripts.benchmarks.peers import ARTFS, Mount, Race, serving
from scripts.benchmarks.staging import pack_standard_library

_GIB = 1 << 30
_MIB = 1 << 20
_SMALL_COUNT = 10_000

Tasks = Mapping[str, Callable[[Path], object]]
"""What fills an empty directory, by the name of its row."""


def writing(bench: Bench) -> None:
    """Small files, a source tree and a large file, into one mount after the other.

    All mounts stay, and what was written in them: ext4 is slow to use inodes again that were freed
    a moment ago. What one round left to be written is on disk before the next task begins.
    """
    directory = fresh(bench.directory / "peers-stage")
    tasks = _tasks(directory)
    race = Race({what: _rate if "GiB" in what else _seconds for what in tasks})
    with ExitStack() as mounted:
        places = {
            mount.name: mounted.enter_context(mount.mounted(fresh(directory / mount.name)))
            for mount in _mounts(bench)
            if mount.is_installed
        }
        for number in range(bench.rounds):
            for what, fill in tasks.items():
                for name, root in places.items():
                    place = root / f"{list(tasks).index(what)}-{number}"
                    place.mkdir()
                    os.sync()
                    start = time.perf_counter()
                    fill(place)
                    race.note(name, what, time.perf_counter() - start)
        race.add_rows(bench)
    shutil.rmtree(directory)


def _tasks(directory: Path) -> Tasks:
    source = fresh(directory / "source")
    write_files(source / "small", count=_SMALL_COUNT, size_bytes=4096)
    archive = source / "library.tar"
    count = pack_standard_library(archive)
    data = os.urandom(_MIB)
    return {
        f"cp -r of {_SMALL_COUNT:,} x 4 KiB": lambda place: _run(
            "cp", "-r", source / "small", place
        ),
        f"tar x of {count:,} source files": lambda place: _run("tar", "xf", archive, "-C", place),
        "write 1 GiB": lambda place: _write(place / "data.bin", data),
    }


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        for _ in range(_GIB // len(data)):
            file.write(data)


def _mounts(bench: Bench) -> list[Mount]:
    return [
        Mount(ARTFS, "", partial(_artfs, bench)),
        Mount("bindfs", "bindfs", _bindfs),
        Mount("fuse-overlayfs", "fuse-overlayfs", _overlay),
        Mount("rclone", "rclone", _rclone),
    ]


@contextmanager
def _artfs(bench: Bench, place: Path) -> Iterator[Path]:
    mountpoint = fresh(place / "mnt")
    bench.artfs("stage", "bench/beside", mountpoint, "-t", "dataset")
    try:
        yield mountpoint
    finally:
        bench.artfs("abort", mountpoint, "--yes")


def _bindfs(place: Path) -> AbstractContextManager[Path]:
    return serving(["bindfs", "-f", fresh(place / "files"), "{mnt}"], place)


def _overlay(place: Path) -> AbstractContextManager[Path]:
    lower, upper, work = (fresh(place / name) for name in ("lower", "upper", "work"))
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    return serving(["fuse-overlayfs", "-f", "-o", options, "{mnt}"], place)


def _rclone(place: Path) -> AbstractContextManager[Path]:
    # It would copy what it took to its remote meanwhile, at the expense of those that come next.
    options = ["--vfs-cache-mode", "writes", "--vfs-write-back", "1h"]
    options += ["--config", "/dev/null", f"--cache-dir={place / 'cache'}"]
    return serving(["rclone", "mount", fresh(place / "files"), "{mnt}", *options], place)


def _rate(took_s: float) -> str:
    return f"{_GIB / took_s / _MIB:,.0f} MiB/s"


def _seconds(took_s: float) -> str:
    return f"{took_s:.2f} s"
