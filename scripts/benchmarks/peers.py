"""Mounts of other projects beside those of artfs, in one run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from artfs.testing.seaweedfs import wait_until_it_answers
from scripts.benchmarks.harness import Bench

ARTFS = "artfs"
PID_FILE = "pid"
"""Beside a mountpoint: the process that was started for it."""

Texts = Mapping[str, Callable[[float], str]]
"""What is measured, in the order of the table, and how its seconds are shown."""

_STOP_DEADLINE_S = 60


class Mount(msgspec.Struct, frozen=True):
    """A way to mount something: what it is called, its program, and how."""

    name: str
    program: str
    mounted: Callable[[Path], AbstractContextManager[Path]]
    """Gets an empty directory for caches and the like, gives the mountpoint."""

    @property
    def is_installed(self) -> bool:
        """Whether its program is there."""
        return self.name == ARTFS or program(self.program) is not None


class Race:
    """The best times of several mounts, and the rows that they make."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._best_s: dict[str, dict[str, float]] = {what: {} for what in texts}

    def note(self, name: str, what: str, took_s: float) -> None:
        """One more time of a mount."""
        times = self._best_s[what]
        times[name] = min(took_s, times.get(name, took_s))
        print(f"    {name}: {what}: {self._texts[what](took_s)}", file=sys.stderr, flush=True)

    def add_rows(self, bench: Bench) -> None:
        """A row for each thing that was measured; the ratio is to the best peer."""
        for what, text in self._texts.items():
            times = dict(self._best_s[what])
            took_s = times.pop(ARTFS)
            if not times:
                bench.add(what, text(took_s), peer="none installed", target="none", reached=True)
                continue
            peers = sorted(times.items(), key=lambda item: item[1])
            bench.add(
                what,
                text(took_s),
                peer=", ".join(f"{name} {text(peer_s)}" for name, peer_s in peers),
                ratio=f"{peers[0][1] / took_s:.2f}",
                target="≥ 1",
                reached=peers[0][1] >= took_s,
            )


def program(name: str) -> str | None:
    """The path of a program: that of this environment, else that of the system."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]))


@contextmanager
def serving(
    command: list[str | Path], place: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """Run a program in the foreground that mounts on `place / "mnt"`, until it is unmounted.

    `{mnt}` in an argument stands for the mountpoint. Raises: RuntimeError where it does not start.
    """
    mountpoint = place / "mnt"
    mountpoint.mkdir()
    found = program(str(command[0]))
    assert found is not None, "whoever is not installed is left out"
    arguments = [str(part).replace("{mnt}", str(mountpoint)) for part in command[1:]]
    log = place / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            # It ends with the benchmark, whatever ends that.
            ["setpriv", "--pdeathsig", "KILL", found, *arguments],
            cwd=place,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    (place / PID_FILE).write_text(str(process.pid))
    try:
        wait_until_it_answers(lambda: _check_mounted(mountpoint), process, log=log)
        yield mountpoint
    finally:
        _stop(process, mountpoint)


def _check_mounted(mountpoint: Path) -> None:
    if not mountpoint.is_mount():
        raise OSError("it is not mounted yet")
    next(mountpoint.iterdir(), None)


def _stop(process: subprocess.Popen[bytes], mountpoint: Path) -> None:
    """Unmount, and wait until what it held is written."""
    end_s = time.monotonic() + _STOP_DEADLINE_S
    while mountpoint.is_mount() and time.monotonic() < end_s:
        if subprocess.run(["umount", mountpoint], check=False, capture_output=True).returncode:
            time.sleep(0.1)
    try:
        process.wait(timeout=_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        subprocess.run(["umount", "--lazy", mountpoint], check=False, capture_output=True)
