"""Writing into a staging mount and committing it, against the local disk and against hashing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from artfs.blobs.hashing import hash_file
from artfs.repository.stores import open_store
from scripts.benchmarks.harness import Bench, fresh, write_files
from scripts.benchmarks.publishing import million_files

_GIB = 1 << 30
_MIB = 1 << 20


def writing(bench: Bench) -> None:
    """1 GiB in writes of 1 MiB, closed, and its commit."""
    data = os.urandom(_MIB)
    local = bench.best(lambda: _write(bench.directory / "local.bin", data))
    hashing = bench.best(lambda: _hash(bench.directory / "local.bin"))
    with staged(bench, "bench/gigabyte") as place:
        took = bench.best(lambda: _write(place / "data.bin", data))
        _row(bench, "write 1 GiB into staging", _GIB / took, _GIB / local, target=0.5)
        start = time.perf_counter()
        bench.artfs("commit", place)
        commit = time.perf_counter() - start
        _row(bench, "commit of 1 GiB", _GIB / commit, _GIB / hashing, target=0.8, peer="hashing")


def small_files(bench: Bench, *, count: int = 10_000) -> None:
    """`cp -r` of 10,000 files of 4 KiB, and their commit."""
    source = fresh(bench.directory / "copied")
    write_files(source, count=count, size_bytes=4096)
    local = _time_copies(bench, source, bench.directory / "copy")
    with staged(bench, "bench/copied") as place:
        took = _time_copies(bench, source, place / "copy")
        bench.add(
            "cp -r of 10,000 x 4 KiB into staging",
            f"{took:.1f} s",
            peer=f"local disk {local:.2f} s",
            ratio=f"{took / local:.1f}",
            target="≤ 3",
            reached=took <= 3 * local,
        )
        for number in range(1, bench.rounds):
            shutil.rmtree(place / "copy" / str(number))
        start = time.perf_counter()
        bench.artfs("commit", place)
        rate = count / (time.perf_counter() - start)
        bench.add(
            "commit of 10,000 x 4 KiB",
            f"{rate:,.0f} files/s",
            target="≥ 5,000/s",
            reached=rate >= 5000,
        )


def source_tree(bench: Bench) -> None:
    """Untar of a source tree: Python's own standard library."""
    archive = bench.directory / "source.tar"
    count = pack_standard_library(archive)
    local = _time_untar(bench, archive, bench.directory / "untarred")
    with staged(bench, "bench/source") as place:
        took = _time_untar(bench, archive, place / "untarred")
        bench.add(
            f"tar x of {count:,} source files into staging",
            f"{took:.1f} s",
            peer=f"local disk {local:.2f} s",
            ratio=f"{took / local:.1f}",
            target="≤ 3",
            reached=took <= 3 * local,
        )


def edit_of_a_million(bench: Bench) -> None:
    """Stage a base of 1,000,000 files, change one, commit."""
    with open_store(str(bench.directory / "store"), create=True) as repository:
        million_files(repository)
    start = time.perf_counter()
    with staged(bench, "bench/million", "--base", "latest") as place:
        ready = time.perf_counter() - start
        target = place / "d0500/f0500"
        target.chmod(0o644)
        target.write_bytes(os.urandom(100))
        start = time.perf_counter()
        bench.artfs("commit", place)
        commit = time.perf_counter() - start
    what = "stage a base of 1,000,000 files"
    bench.add(what, f"{ready:.2f} s", target="≤ 1 s", reached=ready <= 1)
    what = "commit one changed file of 1,000,000 from staging"
    bench.add(what, f"{commit:.2f} s", target="< 3 s", reached=commit < 3)


@contextmanager
def staged(bench: Bench, name: str, *options: str) -> Iterator[Path]:
    """A staging mount of an artifact, committed at the end."""
    mountpoint = bench.directory / "staged"
    mountpoint.mkdir(exist_ok=True)
    bench.artfs("stage", name, mountpoint, "-t", "dataset", *options)
    try:
        yield mountpoint
    finally:
        bench.artfs("umount", mountpoint)


def _row(
    bench: Bench,
    what: str,
    rate: float,
    peer_rate: float,
    *,
    target: float,
    peer: str = "local disk",
) -> None:
    bench.add(
        what,
        f"{rate / _MIB:,.0f} MiB/s",
        peer=f"{peer} {peer_rate / _MIB:,.0f} MiB/s",
        ratio=f"{rate / peer_rate:.2f}",
        target=f"≥ {target}",
        reached=rate >= target * peer_rate,
    )


def _write(path: Path, data: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        for _ in range(_GIB // len(data)):
            file.write(data)


def _hash(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    hash_file(fd)
    os.close(fd)


def pack_standard_library(archive: Path) -> int:
    """Make a tar archive of source files that every machine has; how many they are."""
    count = 0

    def keep(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        nonlocal count
        if PurePath(member.name).name in {"__pycache__", "site-packages", "dist-packages"}:
            return None
        count += member.isfile()
        return member

    with tarfile.open(archive, "w") as tar:
        tar.add(sysconfig.get_path("stdlib"), "source", filter=keep)
    return count


def _time_untar(bench: Bench, archive: Path, target: Path) -> float:
    return _time_in_new_places(
        bench, target, lambda place: ["tar", "xf", str(archive), "-C", str(place)]
    )


def _time_copies(bench: Bench, source: Path, target: Path) -> float:
    return _time_in_new_places(bench, target, lambda place: ["cp", "-r", str(source), str(place)])


def _time_in_new_places(bench: Bench, target: Path, command: Callable[[Path], list[str]]) -> float:
    """Time a command that fills a directory, a new one each time.

    Nothing is removed meanwhile: ext4 is slow to use inodes again that were freed a moment ago.
    """
    target.mkdir()
    places = (target / str(number) for number in range(bench.rounds))

    def run() -> None:
        place = next(places)
        place.mkdir()
        subprocess.run(command(place), check=True)

    return bench.best(run)
