"""Random programs: what several processes do to one store, and what happens to them meanwhile.

A seed decides all of a program. What one of them finds is replayed from the program itself, which
stays what it is when this module makes others of the same seed.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from random import Random

import msgspec

ARTIFACTS = ("a", "b", "c")
ALIASES = ("best", "prod")
CONTENTS = 12
HOSTS = 2
_SITE = re.compile(r'\breach(?:_step)?\(\s*"([^"]+)"')
_ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EACCES")
_LARGE_BYTES = 1_100_000


class Worker(msgspec.Struct, frozen=True):
    """A process: its host, what its failpoints do, and its steps, one after the other."""

    host: int
    failpoints: str
    steps: tuple[tuple[str, ...], ...]
    clock_s: int = 0
    """How far its clock is ahead."""


class Program(msgspec.Struct, frozen=True):
    """Rounds of processes that run together."""

    seed: int
    is_shared: bool
    rounds: tuple[tuple[Worker, ...], ...]


@cache
def tree(number: int) -> dict[str, bytes]:
    """What one content holds, by path; contents have files in common."""
    random = Random(number)
    paths = random.sample(["a", "b", "d/e", "d/f", "g/h/i"], random.randint(1, 4))
    found = {path: _body(random.randrange(6)) for path in paths}
    if number % 4 == 0:
        found["large"] = Random(2000 + number % 8).randbytes(_LARGE_BYTES)
    return found | {"id": str(number).encode()}


@cache
def _body(number: int) -> bytes:
    random = Random(1000 + number)
    return random.randbytes(random.choice([0, 10, 300, 5_000]))


@cache
def failpoint_names() -> tuple[str, ...]:
    """All that artfs has, from its source."""
    package = Path(__file__).parents[2] / "artfs"
    sources = (path for path in package.rglob("*.py") if path.name != "failpoints.py")
    return tuple(sorted({name for each in sources for name in _SITE.findall(each.read_text())}))


def random_program(seed: int, *, is_shared: bool) -> Program:
    """The program of a seed."""
    random = Random(f"{seed} {is_shared}")
    rounds: list[tuple[Worker, ...]] = []
    for number in range(random.randint(2, 4)):
        if number and not is_shared and random.random() < 0.2:
            # Somebody who makes the catalog again has to be alone.
            step = random.choice([("rebuild",), ("lose",)])
            rounds.append((Worker(0, _failpoints(random, of="rebuild"), (step,)),))
            continue
        workers = [_worker(random, f"{number}{each}") for each in range(random.randint(1, 4))]
        rounds.append(tuple(workers))
    return Program(seed, is_shared, tuple(rounds))


def _worker(random: Random, name: str) -> Worker:
    steps = [_step(random, f"{name}{number}") for number in range(random.randint(1, 4))]
    clock_s = random.choices([0, 30 * 86_400, 600, -600, -30 * 86_400], [12, 1, 1, 1, 1])[0]
    return Worker(random.randrange(HOSTS), _failpoints(random), tuple(steps), clock_s)


def _step(random: Random, name: str) -> tuple[str, ...]:
    artifact = random.choice(ARTIFACTS)
    content = str(random.randrange(CONTENTS))
    version = random.choice(["latest", "v0", "v1", "v2", "v3"])
    steps: list[tuple[tuple[str, ...], int]] = [
        (("put", artifact, content), 8),
        (("put", artifact, content, random.choice(ALIASES)), 3),
        (("log", artifact, content, str(random.randrange(CONTENTS))), 2),
        (("alias", artifact, version, random.choice(ALIASES)), 2),
        (("remove", artifact, version), 4),
        (("remove", artifact), 1),
        (("link", artifact, version), 1),
        (("gc",), 5),
        (("get", artifact), 2),
        (("verify",), 1),
        (("doctor",), 1),
        (("warm", artifact), 1),
        (("copy", artifact), 2),
        (("stage", f"s{name}", content, random.choice(["commit", "leave"])), 4),
        (("restage", f"t{name}", content, str(random.randrange(CONTENTS))), 2),
        (("resume",), 1),
        (("read",), 3),
        (("serve", artifact, content), 2),
    ]
    return random.choices([each for each, _ in steps], [weight for _, weight in steps])[0]


def _failpoints(random: Random, *, of: str = "") -> str:
    names = [each for each in failpoint_names() if each.startswith(of)]
    name = random.choice(names)
    seed = f";seed={random.randrange(1000)}"
    if random.random() < 0.35:
        return ""
    choices = {
        f"*={random.choice([random.randrange(30), random.randrange(200)])}*off->kill": 20,
        f"{name}={random.choice([0, 0, 1, random.randrange(10)])}*off->kill": 15,
        f"{name}={random.randrange(3)}*off->1*error({random.choice(_ERRORS)})": 12,
        f"*={random.choice([1, 3])}%error({random.choice(_ERRORS)}){seed}": 8,
        f"catalog.ending={random.randrange(20)}*off->1*drop": 5,
        f"*=5%sleep(0.02){seed}": 5,
    }
    return random.choices(list(choices), list(choices.values()))[0]
