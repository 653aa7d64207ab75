"""Runs programs, and looks after each round which promises the store still keeps."""

from __future__ import annotations

import os
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from artfs.repository.shared import create_shared
from artfs.testing.seaweedfs import REGION, SeaweedFS
from tests.hunt import invariants, warmth
from tests.hunt.mounted import end_mounts
from tests.hunt.programs import CONTENTS, Program, Worker, tree
from tests.hunt.steps import Place, start
from tests.hunt.told import Told
from tests.servers.postgres import PostgreSQL, lapse_leases

_PATIENCE_S = 90
_NEVER = frozenset({1, 2, 10, 12, 13})
"""Exit codes that no failure of a disk or a server explains; 1 is a bug."""
_UNHARMED = frozenset({0, 3, 4})
"""What may come of steps of processes that nothing happens to, beside others that die."""


class Servers(msgspec.Struct, frozen=True):
    """Of shared stores."""

    postgresql: PostgreSQL
    seaweedfs: SeaweedFS
    environment: Mapping[str, str]


class Outcome(msgspec.Struct):
    """What came of one program."""

    problems: list[str] = []
    steps: Counter[str] = msgspec.field(default_factory=Counter)
    """How many ended, by name and exit code."""
    killed: int = 0


def run_program(program: Program, root: Path, servers: Servers | None) -> Outcome:
    """Run all of it in `root`, which is empty. Ends at the first round that finds something."""
    running = _Running(program, root, servers)
    for number, workers in enumerate(program.rounds):
        running.run_round(number, workers)
        if running.outcome.problems:
            return running.outcome
    running.settle()
    return running.outcome


def warm_up(servers: Servers | None, *, is_shared: bool) -> None:
    """Do everything once in this process, so that those it forks need not compile it anew."""
    with tempfile.TemporaryDirectory(prefix="artfs-hunt-warm-") as directory:
        running = _Running(Program(0, is_shared, ()), Path(directory), servers)
        warmth.warm_up(running.place)


class _Running:
    def __init__(self, program: Program, root: Path, servers: Servers | None) -> None:
        self._told = Told()
        self._is_shared = program.is_shared
        self.outcome = Outcome()
        store = str(root / "store")
        self._lapse: Callable[[], None] = lambda: None
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        if program.is_shared:
            assert servers is not None
            store = servers.postgresql.new_schema()
            self._lapse = lambda: lapse_leases(store)
            server = servers.seaweedfs
            blobs = (
                f"s3://{server.bucket}/{server.new_prefix()}"
                f"?endpoint={server.endpoint_url}&region={REGION}"
            )
            environment |= servers.environment
            self.place = Place(root, store, root / "contents", environment)
            self._look(lambda: [] if create_shared(store, blobs=blobs) else ["it was there"])
        self.place = Place(root, store, root / "contents", environment)
        _write_contents(self.place.contents)

    def run_round(self, number: int, workers: tuple[Worker, ...]) -> None:
        """Run processes beside each other, and look at what they leave."""
        first = len(self._told.ended)
        statuses = self._run(workers)
        self.outcome.problems += [
            f"round {number}: {problem}"
            for problem in (
                *_ends(workers, statuses),
                *self._complaints(workers, self._told.ended[first:]),
                *self._after(workers),
            )
        ]
        self.outcome.killed += sum(status == -signal.SIGKILL for status in statuses)

    def settle(self) -> None:
        """Look for the last time."""
        place, told = self.place, self._told

        def look() -> list[str]:
            if self._is_there():
                return invariants.settle(place.store, told, place.become, self._lapse)
            return []

        self.outcome.problems += [f"at the end: {problem}" for problem in self._look(look)]

    def _is_there(self) -> bool:
        """Whether somebody has made the store."""
        return self._is_shared or (self.place.root / "store" / "artfs.toml").exists()

    def _run(self, workers: tuple[Worker, ...]) -> list[int]:
        read, write = os.pipe()
        pids = [start(self.place, each, number, write) for number, each in enumerate(workers)]
        os.close(write)
        said = _read_all(read, pids)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        end_mounts(self.place.root)
        for line in said.splitlines():
            heard = msgspec.json.decode(line)
            self._told.hear(heard, workers[heard["worker"]].host)
        return statuses

    def _complaints(self, workers: tuple[Worker, ...], ended: list[dict[str, object]]) -> list[str]:
        found = []
        for said in ended:
            worker, code, step = workers[int(str(said["worker"]))], said["code"], said["step"]
            assert isinstance(step, list)
            self.outcome.steps[f"{step[0]} {code}"] += 1
            text = f"{' '.join(step)} ended with {code}: {said['err']}"
            if "Traceback" in text or "internal error" in text or code in _NEVER:
                found.append(text)
            elif not worker.failpoints and code not in _UNHARMED:
                found.append(f"without a failpoint {text}")
        return found

    def _after(self, workers: tuple[Worker, ...]) -> list[str]:
        place, told = self.place, self._told

        def look() -> list[str]:
            if not self._is_there():
                return ["told, and no store is there"] if told.logged else []
            found = invariants.look(place.store, told, place.become)
            if (place.second / "artfs.toml").exists():
                found += [
                    f"copy: {each}"
                    for each in invariants.look(str(place.second), told, place.become, is_copy=True)
                ]
            return found

        if workers[0].steps[0][0] in {"rebuild", "lose"} and workers[0].failpoints:
            # Where it ended half-way, it is begun again.
            again = Worker(0, "", (workers[0].steps[0],))
            self._run((again,))
        return self._look(look)

    def _look(self, look: Callable[[], list[str]]) -> list[str]:
        """Look in a process of its own, which has seen nothing before."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                self.place.become(0)
                try:
                    found = look()
                except Exception:  # noqa: BLE001 - what cannot be looked at is a finding
                    found = [traceback.format_exc()]
                with os.fdopen(write, "wb") as file:
                    file.write(msgspec.json.encode(found))
            finally:
                os._exit(0)
        os.close(write)
        said = _read_all(read, [pid])
        os.waitpid(pid, 0)
        told: list[str] = msgspec.json.decode(said) if said else ["the look itself has died"]
        return told


def _ends(workers: tuple[Worker, ...], statuses: list[int]) -> list[str]:
    return [
        f"{each} ended with {status}"
        for each, status in zip(workers, statuses, strict=True)
        if status != 0 and not (status == -signal.SIGKILL and "kill" in each.failpoints)
    ]


def _read_all(fd: int, pids: list[int]) -> bytes:
    """All that is written by processes, until they are gone; those that hang are killed."""
    deadline_s = time.monotonic() + _PATIENCE_S
    found = b""
    with os.fdopen(fd, "rb", buffering=0) as pipe:
        while True:
            left_s = deadline_s - time.monotonic()
            if not select.select([pipe], [], [], max(0.0, left_s))[0]:
                for signal_number in (signal.SIGUSR1, signal.SIGTERM):
                    for pid in pids:
                        os.kill(pid, signal_number)
                    time.sleep(1)
                deadline_s = time.monotonic() + 2
                if left_s < -10:
                    return found
                continue
            chunk = pipe.read(65536)
            if not chunk:
                return found
            found += chunk


def _write_contents(directory: Path) -> None:
    for number in range(CONTENTS):
        for path, data in tree(number).items():
            file = directory / str(number) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


def replay_text(program: Program) -> str:
    """How a program is run again."""
    text = msgspec.json.encode(program).decode()
    return f"scripts/hunt --replay '{text}'"


def run_in_new_directory(program: Program, servers: Servers | None) -> Outcome:
    """Run a program; what it leaves is kept where something was found."""
    root = Path(tempfile.mkdtemp(prefix="artfs-hunt-"))
    outcome = run_program(program, root, servers)
    if outcome.problems:
        outcome.problems += [f"seed {program.seed}, in {root}", replay_text(program)]
    else:
        shutil.rmtree(root, ignore_errors=True)
    return outcome
