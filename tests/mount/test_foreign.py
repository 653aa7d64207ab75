"""References through a real mount: lazy, pinned, cached, and honest about outages."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from artfs.model import BLOCK_SIZE_BYTES
from artfs.repository.facade import Repository
from artfs.system.mountinfo import mounted_at
from artfs.system.progress import ProgressMeter
from artfs.upkeep.warm import warm
from tests.servers.faultproxy import Fault, fault_proxy
from tests.servers.gcs import GcsEmulator
from tests.servers.nginx import Nginx, Request
from tests.servers.seaweedfs import REGION, SeaweedFS
from tests.support.faults import wait_until
from tests.support.mounts import Mounter
from tests.support.stores import commit_references

DATA = Random(3).randbytes(2 * BLOCK_SIZE_BYTES + 321)
MTIME_S = 1_600_000_000
CONNECTIONS = Path("/sys/fs/fuse/connections")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The daemon inherits the environment.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))


def fails_with(path: Path) -> int:
    """The errno of reading a file that cannot be read."""
    with pytest.raises(OSError) as caught:
        path.read_bytes()
    assert caught.value.errno is not None
    return caught.value.errno


def test_mixed_references_are_listed_without_requests_and_read(
    repository: Repository,
    mounted: Mounter,
    nginx: Nginx,
    seaweedfs: SeaweedFS,
    gcs: GcsEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = seaweedfs.new_prefix()
    seaweedfs.client().put_object(Bucket=seaweedfs.bucket, Key=f"{prefix}/a", Body=DATA)
    gcs.put(f"{prefix}/a", DATA)
    nginx.write(f"{prefix}.bin", DATA)
    files = tmp_path / "files"
    files.mkdir()
    for number in range(997):
        (files / str(number)).write_bytes(b"file")
    with fault_proxy(seaweedfs.endpoint_url) as s3, fault_proxy(gcs.url) as gs:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs.url)
        commit_references(
            repository,
            "p/mixed",
            s3=f"s3://{seaweedfs.bucket}/{prefix}",
            gs=f"gs://{gcs.bucket}/{prefix}",
            web=f"{nginx.url}/plain/{prefix}.bin",
            files=f"file://{files}",
        )
        requests = (s3.request_count, gs.request_count, nginx.log.read_text())
        where = mounted(repository) / "p" / "mixed" / "latest"
        listed = subprocess.run(["ls", "-lR", where], check=True, capture_output=True, text=True)
        assert listed.stdout.count(" 4 ") >= 997
        assert (s3.request_count, gs.request_count, nginx.log.read_text()) == requests
        # Opening fetches nothing either.
        os.close(os.open(where / "web", os.O_RDONLY))
        assert nginx.log.read_text() == requests[2]
        for path in (where / "s3/a", where / "gs/a", where / "web"):
            assert path.stat().st_size == len(DATA)
            assert path.read_bytes() == DATA
        assert (where / "files/996").read_bytes() == b"file"


def test_a_piece_of_a_large_object_moves_little(
    repository: Repository, mounted: Mounter, nginx: Nginx
) -> None:
    large = nginx.root / "mount-large.bin"
    with large.open("wb") as file:
        file.seek(2 * 1024**3)
        file.write(b"needle")
        file.truncate(4 * 1024**3)
    commit_references(repository, "p/large", large=f"{nginx.url}/plain/{large.name}")
    path = mounted(repository) / "p/large/latest/large"
    assert path.stat().st_size == 4 * 1024**3
    with path.open("rb", buffering=0) as file:
        data = os.pread(file.fileno(), 1024 * 1024, 2 * 1024**3)
    assert len(data) == 1024 * 1024
    assert data[:6] == b"needle"
    moved = [request for request in nginx.requests(large.name) if request.range != "-"]
    assert sum(request.body_bytes for request in moved) <= 8 * 1024 * 1024
    large.unlink()


def test_what_changed_under_the_mount_is_stale_until_it_is_changed_back(
    repository: Repository,
    mounted: Mounter,
    nginx: Nginx,
    seaweedfs: SeaweedFS,
    gcs: GcsEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweedfs.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    key = seaweedfs.new_prefix()
    client = seaweedfs.client()
    local = tmp_path / "local.bin"

    def put_s3(data: bytes) -> None:
        client.put_object(Bucket=seaweedfs.bucket, Key=key, Body=data)

    def put_gs(data: bytes) -> None:
        gcs.put(key, data)

    def put_web(data: bytes) -> None:
        nginx.write(f"{key}.bin", data, mtime_s=MTIME_S if data == DATA else MTIME_S + 5)

    def put_file(data: bytes) -> None:
        local.write_bytes(data)
        mtime_s = MTIME_S if data == DATA else MTIME_S + 5
        os.utime(local, (mtime_s, mtime_s))

    puts: dict[str, Callable[[bytes], None]] = {
        "s3": put_s3,
        "gs": put_gs,
        "web": put_web,
        "dated": put_web,
        "streamed": put_web,
        "file": put_file,
    }
    for put in puts.values():
        put(DATA)
    commit_references(
        repository,
        "p/changing",
        s3=f"s3://{seaweedfs.bucket}/{key}",
        gs=f"gs://{gcs.bucket}/{key}",
        web=f"{nginx.url}/plain/{key}.bin",
        dated=f"{nginx.url}/no-etag/{key}.bin",
        streamed=f"{nginx.url}/no-ranges/{key}.bin",
        file=f"file://{local}",
    )
    where = mounted(repository) / "p/changing/latest"
    for put in puts.values():
        put(DATA[::-1])
    for name in puts:
        assert fails_with(where / name) == errno.ESTALE
    for put in puts.values():
        put(DATA)
    # A generation never comes back.
    assert fails_with(where / "gs") == errno.ESTALE
    for name in ("s3", "web", "dated", "streamed", "file"):
        assert (where / name).read_bytes() == DATA


def test_r2_an_open_file_never_mixes_what_its_source_was_and_is(
    repository: Repository, mounted: Mounter, nginx: Nginx
) -> None:
    old = Random(1).randbytes(40 * BLOCK_SIZE_BYTES)
    nginx.write("mount-mixed.bin", old)
    commit_references(repository, "p/mixed", file=f"{nginx.url}/plain/mount-mixed.bin")
    with (mounted(repository) / "p/mixed/latest/file").open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 100_000, 0) == old[:100_000]
        nginx.write("mount-mixed.bin", old[::-1], mtime_s=MTIME_S + 5)
        with pytest.raises(OSError) as caught:
            os.pread(file.fileno(), 100_000, 30 * BLOCK_SIZE_BYTES)
        assert caught.value.errno == errno.ESTALE
        # What was read stays what it was.
        assert os.pread(file.fileno(), 100_000, 0) == old[:100_000]


STREAM = Random(2).randbytes(40 * BLOCK_SIZE_BYTES + 5)


def streamed(
    repository: Repository, mounted: Mounter, nginx: Nginx, location: str
) -> list[Request]:
    """Read a cold stream from a location of the server, through a mount; what it asked for."""
    name = f"mount-{location}.bin"
    nginx.write(name, STREAM)
    commit_references(repository, "p/stream", file=f"{nginx.url}/{location}/{name}")
    path = mounted(repository) / "p/stream/latest/file"
    asked = len(nginx.requests(name))
    assert path.read_bytes() == STREAM
    return nginx.requests(name)[asked:]


def test_a_cold_stream_asks_for_each_byte_once_and_for_several_blocks_at_a_time(
    repository: Repository, mounted: Mounter, nginx: Nginx
) -> None:
    requests = streamed(repository, mounted, nginx, "plain")
    assert sum(request.body_bytes for request in requests) == len(STREAM)
    assert len(requests) <= 41 / 2


def test_a_cold_stream_of_a_server_without_ranges_is_read_once(
    repository: Repository, mounted: Mounter, nginx: Nginx
) -> None:
    requests = streamed(repository, mounted, nginx, "no-ranges")
    # Only the first few requests are side by side: nobody knows yet what the server does.
    assert sum(request.body_bytes > len(STREAM) / 2 for request in requests) == 1
    assert sum(request.body_bytes for request in requests) < 1.7 * len(STREAM)


def test_r5_without_any_server_what_was_warmed_reads_and_the_rest_fails_in_time(
    repository: Repository,
    mounted: Mounter,
    nginx: Nginx,
    seaweedfs: SeaweedFS,
    gcs: GcsEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = seaweedfs.new_prefix()
    for name in ("warm", "cold"):
        key = f"{prefix}/{name}"
        seaweedfs.client().put_object(Bucket=seaweedfs.bucket, Key=key, Body=DATA)
        gcs.put(key, DATA)
        nginx.write(key, DATA)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with (
        fault_proxy(seaweedfs.endpoint_url) as s3,
        fault_proxy(gcs.url) as gs,
        fault_proxy(nginx.url) as web,
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs.url)
        sources = {
            "s3": f"s3://{seaweedfs.bucket}/{prefix}",
            "gs": f"gs://{gcs.bucket}/{prefix}",
            "web": f"{web.url}/plain/{prefix}",
        }
        uris = {
            f"{scheme}-{name}": f"{base}/{name}"
            for scheme, base in sources.items()
            for name in ("warm", "cold")
        }
        commit_references(repository, "p/offline", checksum=True, **uris)
        tree = repository.resolve("p/offline").tree
        # This cache is the one that the mount will read through.
        report = warm(repository, tree, "*-warm", meter=ProgressMeter())
        assert (report.files, report.fetched_bytes) == (3, 3 * len(DATA))
    where = mounted(repository) / "p/offline/latest"
    for scheme in sources:
        assert (where / f"{scheme}-warm").read_bytes() == DATA
    for scheme in sources:
        started_s = time.monotonic()
        assert fails_with(where / f"{scheme}-cold") == errno.EIO
        assert time.monotonic() - started_s < 15
        assert (where / f"{scheme}-cold").stat().st_size == len(DATA)
    assert sorted(path.name for path in where.iterdir()) == sorted(uris)


def test_an_outage_is_an_error_in_time_and_names_stay(
    repository: Repository, mounted: Mounter, nginx: Nginx
) -> None:
    nginx.write("mount-warm.bin", DATA)
    nginx.write("mount-cold.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        commit_references(
            repository,
            "p/outage",
            warm=f"{proxy.url}/plain/mount-warm.bin",
            cold=f"{proxy.url}/plain/mount-cold.bin",
        )
        where = mounted(repository) / "p/outage/latest"
        assert (where / "warm").read_bytes() == DATA
    # Nobody listens any more.
    started_s = time.monotonic()
    assert fails_with(where / "cold") == errno.EIO
    assert time.monotonic() - started_s < 15
    assert sorted(path.name for path in where.iterdir()) == ["cold", "warm"]
    assert (where / "cold").stat().st_size == len(DATA)
    # Another mount has no page cache to read from, only the blocks on disk.
    again = mounted(repository) / "p/outage/latest"
    assert (again / "warm").read_bytes() == DATA


def test_faults_heal_under_the_mount(
    repository: Repository, mounted: Mounter, nginx: Nginx
) -> None:
    nginx.write("mount-faults.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        commit_references(repository, "p/faults", file=f"{proxy.url}/plain/mount-faults.bin")
        path = mounted(repository) / "p/faults/latest/file"
        proxy.set(Fault(refuse=True))
        assert fails_with(path) == errno.EIO
        proxy.set(Fault(status=503, times=1), Fault(truncate_after=100_000, times=2))
        # What failed is remembered for a second: the kernel asks again for what it could not have.
        found: list[bytes] = []

        def reads() -> bool:
            with suppress(OSError):
                found.append(path.read_bytes())
            return bool(found)

        wait_until(reads)
        assert hashlib.md5(found[0]).digest() == hashlib.md5(DATA).digest()


def test_attributes_say_what_a_reference_is(
    repository: Repository, mounted: Mounter, nginx: Nginx
) -> None:
    nginx.write("mount-xattr.bin", DATA)
    uri = f"{nginx.url}/plain/mount-xattr.bin"
    commit_references(repository, "p/xattr", file=uri)
    path = mounted(repository) / "p/xattr/latest/file"
    assert os.getxattr(path, "user.artfs.reference") == uri.encode()
    assert os.getxattr(path, "user.artfs.pinned") == b"etag"
    assert path.stat().st_mtime == MTIME_S


def test_an_unknown_size_is_found_out_when_it_is_asked_for(
    repository: Repository, mounted: Mounter, nginx: Nginx
) -> None:
    nginx.write("mount-unknown.bin", DATA)
    commit_references(
        repository,
        "p/unknown",
        checksum=False,
        plain=f"{nginx.url}/plain/mount-unknown.bin",
        chunked=f"{nginx.url}/no-size/mount-unknown.bin",
        odd="odd://nowhere",
        gone=f"{nginx.url}/plain/no-such-file",
    )
    before = nginx.log.read_text()
    where = mounted(repository) / "p/unknown/latest"
    names = sorted(path.name for path in where.iterdir())
    assert names == ["chunked", "gone", "odd", "plain"]
    assert nginx.log.read_text() == before
    for name in ("plain", "chunked"):
        assert (where / name).stat().st_size == len(DATA)
        assert (where / name).read_bytes() == DATA
    with (where / "plain").open("rb") as file:
        file.seek(-100, os.SEEK_END)
        assert file.read() == DATA[-100:]
    assert fails_with(where / "odd") == errno.EOPNOTSUPP
    assert fails_with(where / "gone") == errno.ESTALE


def test_a_server_that_hangs_does_not_stall_the_files_of_another(
    repository: Repository, mounted: Mounter, nginx: Nginx
) -> None:
    nginx.write("mount-fine.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        stuck = {f"stuck{n}": f"{proxy.url}/plain/mount-fine.bin?{n}" for n in range(2)}
        fine = {"fine": f"{nginx.url}/plain/mount-fine.bin"}
        commit_references(repository, "p/stall", checksum=True, **stuck, **fine)
        where = mounted(repository) / "p/stall/latest"
        proxy.set(Fault(never_answer=True))
        before = proxy.request_count
        readers = [
            subprocess.Popen(
                ["head", "-c", "1", where / name],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for name in stuck
        ]
        try:
            deadline_s = time.monotonic() + 20
            while proxy.request_count - before < 2 and time.monotonic() < deadline_s:
                time.sleep(0.05)
            started_s = time.monotonic()
            assert (where / "fine").read_bytes() == DATA
            assert time.monotonic() - started_s < 8
            assert all(reader.poll() is None for reader in readers)
        finally:
            proxy.set()
            proxy.released.set()
            for reader in readers:
                reader.kill()
                reader.wait()


@pytest.fixture
def connections() -> Iterator[None]:
    """What the kernel tells and lets itself be told of each mount."""
    missing = not CONNECTIONS.is_mount()
    if missing and os.geteuid() != 0:
        pytest.skip("needs root")
    if missing:
        subprocess.run(["mount", "-t", "fusectl", "none", CONNECTIONS], check=True)
    yield
    if missing:
        subprocess.run(["umount", "--lazy", CONNECTIONS], check=True)


def allow_background(mountpoint: Path, count: int) -> None:
    """Let the kernel have so many requests of its read-ahead wait, as where nobody is root."""
    mounted = mounted_at(mountpoint)
    assert mounted is not None
    connection = CONNECTIONS / mounted.device.partition(":")[2]
    (connection / "max_background").write_text(str(count))
    (connection / "congestion_threshold").write_text(str(count * 3 // 4))


@contextmanager
def stuck_readers(paths: list[Path]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A process that reads each of these files; all are gone at the end."""
    readers = [
        subprocess.Popen(
            ["head", "-c", "1", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for path in paths
    ]
    try:
        yield readers
    finally:
        for reader in readers:
            reader.kill()
        for reader in readers:
            reader.wait()


def test_r6_a_read_ends_within_its_deadline_though_the_kernel_tries_twice(
    repository: Repository, mounted: Mounter, nginx: Nginx
) -> None:
    nginx.write("mount-fine.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        uri = f"{proxy.url}/plain/mount-fine.bin"
        commit_references(repository, "p/dead", checksum=True, file=uri)
        where = mounted(repository, read_timeout_s=5.0) / "p/dead/latest"
        proxy.set(Fault(never_answer=True))
        began_s = time.monotonic()
        assert fails_with(where / "file") == errno.ETIMEDOUT
        assert time.monotonic() - began_s < 5
        proxy.set()
        proxy.released.set()
        wait_until(lambda: can_be_read(where / "file"))


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("background", [12, None])
def test_r6_seventy_readers_of_a_dead_server_do_not_stall_the_files_of_another(
    repository: Repository, mounted: Mounter, nginx: Nginx, background: int | None
) -> None:
    timeout_s = 10.0
    nginx.write("mount-fine.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        stuck = {f"stuck{n}": f"{proxy.url}/plain/mount-fine.bin?{n}" for n in range(70)}
        fine = {"fine": f"{nginx.url}/plain/mount-fine.bin"}
        commit_references(repository, "p/dead", checksum=True, **stuck, **fine)
        root = mounted(repository, read_timeout_s=timeout_s)
        if background is not None:
            allow_background(root, background)
        where = root / "p/dead/latest"
        proxy.set(Fault(never_answer=True))
        before = proxy.request_count
        with stuck_readers([where / name for name in stuck]) as readers:
            enough = 24 if background is None else background
            wait_until(lambda: proxy.request_count - before >= enough)
            started_s = time.monotonic()
            assert (where / "fine").read_bytes() == DATA
            took_s = time.monotonic() - started_s
            # At once where the kernel lets more wait than there are; else as soon as it is clear
            # that the server is dead, which takes the one deadline of the first readers.
            assert took_s < (timeout_s / 2 if background is None else timeout_s + 3)
            for reader in readers:
                # Most of them were refused at once, as soon as it was clear.
                assert reader.wait(timeout=timeout_s) != 0
        began_s = time.monotonic()
        assert fails_with(where / "stuck0") == errno.ETIMEDOUT
        assert time.monotonic() - began_s < timeout_s + 3
        proxy.set()
        proxy.released.set()
        wait_until(lambda: can_be_read(where / "stuck1"))
        wait_until(lambda: can_be_read(where / "stuck2"))


def can_be_read(path: Path) -> bool:
    try:
        return path.read_bytes() == DATA
    except TimeoutError:
        return False
