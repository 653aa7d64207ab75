"""Timing, peers and the table. Figures are ratios of one run: the machine cancels out."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    what: str
    figure: str
    peer: str
    ratio: str
    target: str
    reached: bool


class Bench:
    """Collects rows; work happens below `directory`, which is removed at the end."""

    def __init__(self, directory: Path, *, rounds: int) -> None:
        self.directory = directory
        self.rounds = rounds
        self.rows: list[Row] = []
        self.environment = {
            **os.environ,
            "ARTFS_STORE": str(directory / "store"),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "XDG_STATE_HOME": str(directory / "state"),
            "XDG_CACHE_HOME": str(directory / "cache"),
        }

    def add(
        self, what: str, figure: str, *, peer: str = "", ratio: str = "", target: str, reached: bool
    ) -> None:
        """Add a row and show it at once."""
        row = Row(what, figure, peer, ratio, target, reached)
        self.rows.append(row)
        print(f"  {what}: {figure} {ratio} (target {target})", file=sys.stderr, flush=True)

    def artfs(self, *arguments: str | Path) -> str:
        """Run the command line; its standard output. Raises: CalledProcessError."""
        command = [sys.executable, "-m", "artfs", *map(str, arguments)]
        done = subprocess.run(
            command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    @contextmanager
    def mounted(self, *target: str) -> Iterator[Path]:
        """A mount of the store, or of `target`."""
        mountpoint = self.directory / "mnt"
        mountpoint.mkdir(exist_ok=True)
        self.artfs("mount", *target, mountpoint)
        try:
            yield mountpoint
        finally:
            self.artfs("umount", mountpoint)

    def best(
        self, action: Callable[[], object], *, before: Callable[[], object] | None = None
    ) -> float:
        """The shortest of several timings, in seconds: noise only ever adds."""
        return min(self._times(action, before))

    def _times(
        self, action: Callable[[], object], before: Callable[[], object] | None
    ) -> list[float]:
        times = []
        for _ in range(self.rounds):
            if before is not None:
                before()
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
        return times


def drop_page_cache() -> None:
    """Make the next reads come from the disk; needs root."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def read_all(path: Path, chunk_bytes: int = 1 << 20) -> None:
    """Read a file from start to end."""
    buffer = bytearray(chunk_bytes)
    fd = os.open(path, os.O_RDONLY)
    try:
        while os.readv(fd, [buffer]):
            pass
    finally:
        os.close(fd)


def open_read_close(paths: list[Path]) -> None:
    """Open, read and close each file."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.read(fd, 1 << 20)
        os.close(fd)


def write_files(
    directory: Path, *, count: int, size_bytes: int, per_directory: int = 1000
) -> list[Path]:
    """Files of random bytes, `per_directory` to a directory; the paths in order."""
    made = []
    for number in range(count):
        parent = directory / f"d{number // per_directory:04d}"
        if number % per_directory == 0:
            parent.mkdir(parents=True)
        path = parent / f"f{number % per_directory:04d}"
        path.write_bytes(os.urandom(size_bytes))
        made.append(path)
    return made


def write_large(path: Path, size_bytes: int) -> None:
    """A file of random bytes."""
    with path.open("wb") as file:
        for _ in range(size_bytes >> 22):
            file.write(os.urandom(1 << 22))


def resident_bytes(pid: int) -> int:
    """The resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def fresh(directory: Path) -> Path:
    """`directory`, empty."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def markdown(rows: list[Row]) -> str:
    """The table, as it stands in docs/benchmarks.md."""
    head = ["what", "artfs", "peer, same run", "ratio", "target", ""]
    body = [
        [
            row.what,
            row.figure,
            row.peer,
            row.ratio,
            row.target,
            "reached" if row.reached else "**not reached**",
        ]
        for row in rows
    ]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
