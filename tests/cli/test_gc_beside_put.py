"""gc beside what is being stored: whatever the grace period, the clock and the namespace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.repository.stores import make_store, open_store
from artfs.upkeep.doctor import examine
from artfs.upkeep.verify import verify
from tests.servers.postgres import PostgreSQL
from tests.servers.seaweedfs import REGION, SeaweedFS

ADD_AND_LOG = """
import os, sys
import artfs
with artfs.init(project="demo") as run:
    artifact = artfs.Artifact("data", "dataset")
    for number in range(30):
        with artifact.new_file(f"small/{number}", "wb") as file:
            file.write(os.urandom(3_000))
        if number % 10 == 0:
            with artifact.new_file(f"large/{number}", "wb") as file:
                file.write(os.urandom(1_200_000))
    print("added", flush=True)
    sys.stdin.readline()
    run.log_artifact(artifact)
"""

ARTFS = [sys.executable, "-m", "artfs"]
# Root of a user namespace could not reach the server.
_AS_ROOT = [] if os.geteuid() == 0 else ["-Ur"]
CLOCKS = {
    "right": [],
    "ahead": ["faketime", "-f", "+30d"],
    "behind": ["faketime", "-f", "-30d"],
    "elsewhere": ["unshare", *_AS_ROOT, "--pid", "--fork", "--mount-proc"],
}


@pytest.fixture(params=["embedded", "shared"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "embedded":
        store = str(tmp_path / "store")
        make_store(store, blobs=None, entity="team")
        return store
    postgresql: PostgreSQL = request.getfixturevalue("postgresql")
    seaweedfs: SeaweedFS = request.getfixturevalue("seaweedfs")
    url = postgresql.new_schema()
    place = f"s3://{seaweedfs.bucket}/{seaweedfs.new_prefix()}"
    options = f"?endpoint={seaweedfs.endpoint_url}&region={REGION}"
    make_store(url, blobs=place + options, entity="team")
    return url


def start(address: str) -> subprocess.Popen[str]:
    """A script that has added files to an artifact, and waits before it logs it."""
    process = subprocess.Popen(
        [sys.executable, "-c", ADD_AND_LOG],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"ARTFS_STORE": address},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "added\n"
    return process


def gc(address: str, *arguments: str, by: list[str]) -> str:
    """What `artfs gc` says. A bucket's server refuses who has a wrong clock."""
    command = [*by, *ARTFS, "gc", *arguments, "--store", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    refused = "://" in address and "faketime" in by
    assert done.returncode == 0 or refused, done.stderr
    return done.stdout


def assert_whole(address: str, count: int) -> None:
    with open_store(address) as repository:
        versions = [version for version, _ in repository.catalog.live_trees()]
        assert [version.file_count for version in versions] == [33] * count
        assert verify(repository, versions).damages == ()
        assert [found for found in examine(repository) if found.severity == "damage"] == []


@pytest.mark.parametrize("clock", list(CLOCKS))
def test_what_a_running_put_relies_on_stays_with_any_clock(address: str, clock: str) -> None:
    by = CLOCKS[clock]
    if by and shutil.which(by[0]) is None:
        pytest.skip(f"{by[0]} is not installed")
    process = start(address)
    for arguments in (("--grace", "1s"), ("--grace", "0"), ()):
        said = gc(address, *arguments, by=by)
        assert not said or "1 other at work" in said
    process.communicate("go\n")
    assert process.returncode == 0
    assert_whole(address, 1)
    gc(address, "--grace", "0", by=by)
    assert_whole(address, 1)


def test_a_put_that_was_stopped_ends_well_or_in_a_clean_conflict(address: str) -> None:
    process = start(address)
    process.send_signal(signal.SIGSTOP)
    gc(address, "--grace", "0", by=[])
    process.send_signal(signal.SIGCONT)
    process.communicate("go\n")
    assert process.returncode == 0
    assert_whole(address, 1)


def test_what_a_killed_put_left_is_named_by_doctor_and_freed_by_gc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    address = str(tmp_path / "store")
    make_store(address, blobs=None, entity="team")
    process = start(address)
    with open_store(address) as repository:
        kinds = {found.kind: found for found in examine(repository)}
        assert "lease" in kinds
        assert f"process {process.pid}" in kinds["lease"].names[0]
        process.kill()
        process.communicate()
        assert {found.kind for found in examine(repository)} == {
            "lease-left",
            "orphan-blob",
        }
        gc(address, "--grace", "0", by=[])
        assert examine(repository) == []
