"""Random programs of several processes, which die and fail at random steps, break no promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hunt.programs import failpoint_names, random_program
from tests.servers.postgres import PostgreSQL
from tests.servers.seaweedfs import SeaweedFS

ROOT = Path(__file__).resolve().parents[2]


def hunt(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/hunt --programs`, in the environment that is there."""
    return subprocess.run(
        [sys.executable, "-m", "tests.hunt", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_seed_always_makes_the_same_program() -> None:
    assert random_program(3, is_shared=True) == random_program(3, is_shared=True)
    assert random_program(3, is_shared=True) != random_program(4, is_shared=True)


def test_some_program_reaches_for_each_failpoint() -> None:
    texts = [
        worker.failpoints
        for seed in range(2_000)
        for workers in random_program(seed, is_shared=False).rounds
        for worker in workers
    ]
    asked = {text.partition("=")[0] for text in texts}
    assert set(failpoint_names()) <= asked


def test_no_program_over_an_embedded_store_breaks_a_promise() -> None:
    done = hunt("--embedded", "--seed", "1000", "--programs", "1")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(120)
def test_no_program_over_a_shared_store_breaks_a_promise(
    postgresql: PostgreSQL, seaweedfs: SeaweedFS
) -> None:
    servers = f"{postgresql.socket_directory},{seaweedfs.endpoint_url},{seaweedfs.bucket}"
    done = hunt("--servers", servers, "--seed", "1001", "--programs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
