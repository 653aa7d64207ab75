"""Mounts of a shared store: several hosts, and what happens when a server is gone."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Thread

import pytest

from artfs.model import PART_BYTES
from tests.cli.conftest import Cli
from tests.servers.faultproxy import Fault, FaultProxy, fault_proxy
from tests.servers.postgres import OwnPostgreSQL, PostgreSQL, own_postgresql
from tests.servers.seaweedfs import SeaweedFS
from tests.support.faults import wait_until
from tests.support.shared import SharedStore

LARGE = Random(4).randbytes(6_000_000)
OTHER = Random(5).randbytes(1_500_000)
FILES = {"large": LARGE, "small": b"small", "sub/other": OTHER}


@pytest.fixture
def proxy(seaweedfs: SeaweedFS) -> Iterator[FaultProxy]:
    with fault_proxy(seaweedfs.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def shared(
    tmp_path: Path, postgresql: PostgreSQL, seaweedfs: SeaweedFS, proxy: FaultProxy
) -> Iterator[SharedStore]:
    """A store whose objects are behind the proxy."""
    shared = SharedStore(tmp_path, postgresql.new_schema(), seaweedfs, endpoint=proxy.url)
    yield shared.made()
    unmount_all(shared)


@pytest.fixture
def database() -> Iterator[OwnPostgreSQL]:
    with own_postgresql() as own:
        yield own


def unmount_all(shared: SharedStore) -> None:
    for host in shared.hosts:
        for each in host.ok("status", "--json", "--store", str(host.directory)).json["mounts"]:
            if each["mountpoint"].startswith(str(host.directory)):
                host.run("umount", "--force", each["mountpoint"])


def put(host: Cli, name: str, files: dict[str, bytes] = FILES) -> None:
    directory = host.directory / "files"
    for path, data in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    host.ok("put", directory, "-n", name)


def mount(host: Cli, *options: str) -> Path:
    mountpoint = host.directory / "mnt"
    mountpoint.mkdir()
    host.ok("mount", mountpoint, *options)
    return mountpoint


def listed(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def error_of(path: Path) -> int | None:
    try:
        path.read_bytes()
    except OSError as error:
        return error.errno
    return None


def test_a_version_is_read_and_the_next_one_is_staged(shared: SharedStore) -> None:
    one, other = shared.host(), shared.host()
    put(one, "demo/data")
    place = mount(other)
    latest = place / "demo" / "data" / "latest"
    assert {path: (latest / path).read_bytes() for path in FILES} == FILES
    staged = one.directory / "new"
    staged.mkdir()
    one.ok("stage", "demo/data", staged, "--base", "latest")
    assert (staged / "large").read_bytes() == LARGE
    (staged / "small").write_bytes(b"changed")
    (staged / "added").write_bytes(LARGE[:2_000_000])
    assert one.ok("staging", "ls", "--json").json[0]["artifact"] == "demo/data"
    assert other.ok("staging", "ls", "--json").json == []
    one.ok("umount", staged)
    wait_until(lambda: (latest / "small").read_bytes() == b"changed")
    assert (latest / "added").read_bytes() == LARGE[:2_000_000]
    assert (place / "demo/data/v0/small").read_bytes() == b"small"


def test_copying_a_thousand_small_files_is_a_handful_of_requests(
    shared: SharedStore, proxy: FaultProxy
) -> None:
    random = Random(6)
    files = {f"{number:04}": random.randbytes(4096) for number in range(1000)}
    put(shared.host(), "demo/small", files)
    host = shared.host()
    place = mount(host)
    before = proxy.request_count
    subprocess.run(["cp", "-r", place / "demo/small/v0", host.directory / "copy"], check=True)
    copied = {path.name: path.read_bytes() for path in (host.directory / "copy").iterdir()}
    assert copied == files
    assert proxy.request_count - before <= 8


def test_reads_here_and_there_in_a_large_file_move_what_they_need(
    shared: SharedStore, proxy: FaultProxy
) -> None:
    put(shared.host(), "demo/data")
    place = mount(shared.host())
    before = proxy.body_bytes
    with (place / "demo/data/v0/large").open("rb", buffering=0) as file:
        for offset in (5_000_000, 2_000_000, len(LARGE) - 4096):
            # As programs read that map a file, or look into an index.
            assert os.pread(file.fileno(), 4096, offset) == LARGE[offset : offset + 4096]
    assert 3 * 4096 <= proxy.body_bytes - before <= 3 * 2 * PART_BYTES


def test_c1_hosts_that_put_stage_and_collect_together_lose_nothing(shared: SharedStore) -> None:
    hosts = [shared.host() for _ in range(2)]
    rounds = 2
    failures: list[BaseException] = []

    def work(number: int, host: Cli) -> None:
        try:
            for turn in range(rounds):
                text = f"{number} {turn}".encode()
                put(host, "demo/data", {"own": text, "shared": b"shared", "big": LARGE})
                staged = host.directory / f"staged{turn}"
                staged.mkdir()
                host.ok("stage", "demo/staged", staged)
                (staged / "own").write_bytes(text)
                (staged / "big").write_bytes(LARGE)
                host.ok("umount", staged)
                host.ok("gc", "--grace", "1h")
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            failures.append(error)

    threads = [Thread(target=work, args=each) for each in enumerate(hosts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for name in ("data", "staged"):
        versions = hosts[0].ok("ls", f"demo/{name}", "--json").json["versions"]
        assert sorted(each["version"] for each in versions) == [
            f"v{index}" for index in range(rounds * len(hosts))
        ]
    assert "all right" in hosts[1].ok("verify").out
    assert hosts[0].ok("doctor", "--json").json["ok"]


def test_r5_with_the_objects_gone_what_is_cached_is_read_and_the_rest_is_eio(
    shared: SharedStore, proxy: FaultProxy
) -> None:
    put(shared.host(), "demo/data")
    host = shared.host()
    place = mount(host, "-o", "timeout=20") / "demo" / "data" / "v0"
    assert (place / "large").read_bytes() == LARGE
    proxy.set(Fault(refuse=True))
    began_s = time.monotonic()
    assert error_of(place / "sub" / "other") == errno.EIO
    assert time.monotonic() - began_s < 20
    host.ok("umount", place.parent.parent.parent)
    # The kernel's pages are gone with the mount.
    host.ok("mount", place.parent.parent.parent, "-o", "timeout=20")
    assert (place / "large").read_bytes() == LARGE
    assert listed(place) == ["large", "small", "sub"]
    proxy.set()
    assert (place / "sub" / "other").read_bytes() == OTHER


def test_r6_objects_that_never_come_end_with_the_deadline(
    shared: SharedStore, proxy: FaultProxy
) -> None:
    put(shared.host(), "demo/data")
    place = mount(shared.host(), "-o", "timeout=2") / "demo" / "data" / "v0"
    assert listed(place) == ["large", "small", "sub"]
    proxy.set(Fault(never_answer=True))
    began_s = time.monotonic()
    assert error_of(place / "large") == errno.ETIMEDOUT
    assert time.monotonic() - began_s < 10
    proxy.set()
    wait_until(lambda: error_of(place / "large") is None, timeout_s=30)


def test_r5_a_mount_survives_its_database(
    tmp_path: Path, database: OwnPostgreSQL, seaweedfs: SeaweedFS
) -> None:
    shared = SharedStore(tmp_path, database.server.new_schema(), seaweedfs).made()
    one, other = shared.host(), shared.host()
    put(one, "demo/data")
    place = mount(other)
    latest = place / "demo" / "data" / "latest"
    try:
        assert (latest / "small").read_bytes() == b"small"
        names = {each: listed(place / each) for each in ("", "demo", "demo/data")}
        assert names["demo/data"] == ["latest", "v0"]
        database.stop()
        # Longer than the kernel or the mount hold any name.
        time.sleep(1.5)
        assert {each: listed(place / each) for each in names} == names
        assert (latest / "small").read_bytes() == b"small"
        assert error_of(place / "demo" / "never-seen" / "x") == errno.EIO
        database.start()
        put(one, "demo/data", {"small": b"new"})
        wait_until(lambda: (latest / "small").read_bytes() == b"new")
        assert error_of(place / "demo" / "never-seen" / "x") == errno.ENOENT
    finally:
        unmount_all(shared)
