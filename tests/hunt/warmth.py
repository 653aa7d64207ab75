"""What processes of programs have from the one that forks them, so that they need not make it anew.

Most of the time of a short process goes into SQL statements that are compiled for the first time.
Here they are compiled once, for all: by a process that has done each step and each look before.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hunt import invariants
from tests.hunt.programs import Worker
from tests.hunt.steps import Doer, Place
from tests.hunt.told import Told

_STEPS = (
    ("put", "a", "0"),
    ("put", "a", "1", "best"),
    ("alias", "a", "v0", "prod"),
    ("link", "a", "v0"),
    ("stage", "s", "1", "commit"),
    ("stage", "s2", "1", "leave"),
    ("restage", "t", "1", "2"),
    ("resume",),
    ("read",),
    ("serve", "b", "2"),
    ("copy", "a"),
    ("get", "a"),
    ("warm", "a"),
    ("verify",),
    ("doctor",),
    ("remove", "a", "v0"),
    ("remove", "a"),
    ("gc",),
)


def warm_up(place: Place) -> None:
    """Do every step, and look, in this process: what it compiles, its children have."""
    told = Told()
    with _as_before(), tempfile.TemporaryFile() as said:
        place.become(0)
        Doer(place, 0, said.fileno()).work(Worker(0, "", _STEPS))
        said.seek(0)
        for line in said:
            told.hear(json.loads(line), 0)
        found = invariants.settle(place.store, told, place.become, lambda: None)
    failed = [each for each in told.ended if each["code"] not in {0, 3}]
    assert not found, found
    assert not failed, failed
    alive = [each.name for each in threading.enumerate()]
    assert len(alive) == 1, f"children of a process with threads: {alive}"


@contextmanager
def _as_before() -> Iterator[None]:
    environment, directory = dict(os.environ), Path.cwd()
    streams = [os.dup(1), os.dup(2)]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)
        for wanted, fd in enumerate(streams, 1):
            os.dup2(fd, wanted)
            os.close(fd)
