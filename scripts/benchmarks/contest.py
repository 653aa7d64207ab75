"""`scripts/bench peers`: artfs, shared and by reference, beside other mounts of one S3 server."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from artfs.repository.stores import make_store
from artfs.testing.postgres import own_postgresql
from artfs.testing.seaweedfs import ENVIRONMENT, REGION, SeaweedFS, running_seaweedfs
from scripts.benchmarks.distance import distant
from scripts.benchmarks.figures import memory, milliseconds, per_second, rate, seconds
from scripts.benchmarks.harness import (
    Bench,
    drop_page_cache,
    fresh,
    open_read_close,
    read_all,
    write_files,
    write_large,
)
from scripts.benchmarks.peers import PID_FILE, Mount, program
from scripts.benchmarks.peersread import fill_juicefs, juicefs, rclone, s3fs, upload
from scripts.benchmarks.standing import Standing, Work

LARGE_BYTES = 256 << 20
SMALL_COUNT = 1000
MANY_COUNT = 2000
SMALL_BYTES = 32 << 10
COLD_READS = 100
KEPT_READS = 3000
READERS = 16
ROUND_TRIP_S = 0.02

_SHARED, _REFS = "artfs, shared", "artfs, references"
_REPLACED = Path("docs/benchmarks.md")


_MOUNT = Work("mount until it answers", milliseconds)
_FIRST = Work("first byte of 256 MiB, cold", milliseconds)
_COLD_MEDIAN = Work("random 4 KiB, cold: median", milliseconds)
_COLD_WORST = Work("random 4 KiB, cold: 99th percentile", milliseconds)
_COLD_RATE = Work("random 4 KiB, cold: rate", per_second)
_STREAM = Work("stream of 256 MiB, cold", partial(rate, LARGE_BYTES))
_PROCESSOR = Work("processor time of the daemon for that, per GiB", seconds)
_RESIDENT = Work("largest memory of the daemon for that", memory)
_STREAM_KEPT = Work("stream, from the cache's disk", partial(rate, LARGE_BYTES))
_KEPT_RATE = Work("random 4 KiB, from the cache's disk: rate", per_second)
_KEPT_WORST = Work("random 4 KiB, from the cache's disk: 99th percentile", milliseconds)
_ORDERED = Work(f"{SMALL_COUNT:,} x 32 KiB, cold, in order", seconds)
_SMALL_KEPT = Work(f"{SMALL_COUNT:,} x 32 KiB, from the cache's disk", seconds)
_SMALL_HOT = Work(f"{SMALL_COUNT:,} x 32 KiB, hot", seconds)
_SHUFFLED = Work(f"{SMALL_COUNT:,} x 32 KiB, cold, shuffled", seconds)
_CROWD = Work(f"256 of {MANY_COUNT:,} x 32 KiB, cold, shuffled, {READERS} readers", seconds)
_NEAR = (
    *(_MOUNT, _FIRST, _COLD_MEDIAN, _COLD_WORST, _COLD_RATE),
    *(_STREAM, _PROCESSOR, _RESIDENT, _STREAM_KEPT, _KEPT_RATE, _KEPT_WORST),
    *(_ORDERED, _SMALL_KEPT, _SMALL_HOT, _SHUFFLED, _CROWD),
)
_FAR = (_FIRST, _STREAM, _ORDERED, _SHUFFLED, _CROWD)

Part = Callable[["Mounted"], Iterator[tuple[Work, float]]]


class Mounted(msgspec.Struct, frozen=True):
    """A mount that was just made, with an empty cache."""

    root: Path
    pid: int


class Contestant(msgspec.Struct, frozen=True):
    """A mount, and how its process is found."""

    mount: Mount
    pid: Callable[[Path], int]


def side_by_side(bench: Bench) -> None:
    """All systems in turn, medians of the rounds; near, and 20 ms away. Writes the documents."""
    weed = program("weed")
    assert weed is not None, "scripts/setup bench installs it"
    directory = fresh(bench.directory / "contest")
    source = fresh(directory / "source")
    write_large(source / "large.bin", LARGE_BYTES)
    write_files(source / "small", count=SMALL_COUNT, size_bytes=SMALL_BYTES, per_directory=100)
    write_files(source / "many", count=MANY_COUNT, size_bytes=SMALL_BYTES, per_directory=MANY_COUNT)
    os.environ.update(ENVIRONMENT)
    with (
        running_seaweedfs(weed, fresh(directory / "server"), bucket="bench") as server,
        own_postgresql() as database,
        distant(server.endpoint_url, round_trip_s=ROUND_TRIP_S) as far_url,
    ):
        upload(server, source)
        far = msgspec.structs.replace(server, endpoint_url=far_url)
        standings = []
        for title, place, works, count in (
            ("near", server, _NEAR, bench.rounds),
            ("20 ms away", far, _FAR, 1),
        ):
            setting = _Setting(
                bench, place, fresh(directory / title.replace(" ", "-")), filled_at=server
            )
            url = database.server.new_schema()
            standing = Standing(title, works)
            with setting.contestants(url, source) as contestants:
                for number in range(count):
                    for contestant in contestants:
                        parts = _NEAR_PARTS if place is server else _FAR_PARTS
                        _measure(standing, contestant, parts, setting.directory / f"r{number}")
            standings.append(standing)
    shutil.rmtree(directory)
    _write(standings, rounds=bench.rounds)


class _Setting:
    """A server, near or far, and where all that reads it has its files."""

    def __init__(
        self, bench: Bench, server: SeaweedFS, directory: Path, *, filled_at: SeaweedFS
    ) -> None:
        """`filled_at`: the same server, where it is near."""
        self.directory = directory
        self._bench = bench
        self._server = server
        self._filled_at = filled_at

    @contextmanager
    def contestants(self, database: str, source: Path) -> Iterator[list[Contestant]]:
        """All that are installed, each with what it needs to know of the files."""
        server, directory = self._server, self.directory
        aws = {
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL_S3": server.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
        }
        references = self._artfs(directory / "references", aws)
        references.artfs("put", "--ref", f"s3://{server.bucket}/data", "-n", "bench/peers")
        shared = self._artfs(directory / "shared", aws)
        blobs = f"s3://{server.bucket}/{server.new_prefix()}"
        make_store(
            database, blobs=f"{blobs}?endpoint={server.endpoint_url}&region={REGION}", entity="me"
        )
        shared.environment["ARTFS_STORE"] = database
        shared.artfs("put", source, "-n", "bench/peers")
        found = [
            Contestant(Mount(_SHARED, "", partial(_artfs, shared)), partial(_artfs_pid, shared)),
            Contestant(
                Mount(_REFS, "", partial(_artfs, references)), partial(_artfs_pid, references)
            ),
        ]
        peers = [
            Mount("rclone", "rclone", partial(rclone, server)),
            Mount("s3fs", "s3fs", partial(s3fs, server)),
        ]
        if program("juicefs") is not None:
            fill_juicefs(self._filled_at, source, directory, reached_at=server)
            peers.append(
                Mount("JuiceFS", "juicefs", lambda place: juicefs(place, directory, "--read-only"))
            )
        found += [Contestant(each, _child_pid) for each in peers if each.is_installed]
        yield found

    def _artfs(self, directory: Path, aws: Mapping[str, str]) -> Bench:
        bench = Bench(fresh(directory), rounds=1)
        bench.environment |= aws
        return bench


@contextmanager
def _artfs(bench: Bench, place: Path) -> Iterator[Path]:
    alone = Bench(place, rounds=1)
    alone.environment = {**bench.environment, "XDG_CACHE_HOME": str(place / "cache")}
    with alone.mounted("bench/peers:latest") as mountpoint:
        yield mountpoint


def _artfs_pid(bench: Bench, root: Path) -> int:
    pid: int = json.loads(bench.artfs("status", root, "--json"))["pid"]
    return pid


def _child_pid(root: Path) -> int:
    return int((root.parent / PID_FILE).read_text())


def _measure(
    standing: Standing, contestant: Contestant, parts: tuple[Part, ...], place: Path
) -> None:
    for part in parts:
        drop_page_cache()
        with ExitStack() as stack:
            start = time.perf_counter()
            context: AbstractContextManager[Path] = contestant.mount.mounted(fresh(place))
            root = stack.enter_context(context)
            next(root.iterdir())
            standing.note(contestant.mount.name, _MOUNT, time.perf_counter() - start)
            for work, took in part(Mounted(root, contestant.pid(root))):
                standing.note(contestant.mount.name, work, took)
        shutil.rmtree(place)


def _seek(mounted: Mounted) -> Iterator[tuple[Work, float]]:
    fd = os.open(mounted.root / "large.bin", os.O_RDONLY)
    try:
        start = time.perf_counter()
        os.pread(fd, 4096, 0)
        yield _FIRST, time.perf_counter() - start
        times = _random_reads(fd, COLD_READS)
        yield _COLD_MEDIAN, statistics.median(times)
        yield _COLD_WORST, _percentile(times, 99)
        yield _COLD_RATE, sum(times) / len(times)
    finally:
        os.close(fd)


def _first(mounted: Mounted) -> Iterator[tuple[Work, float]]:
    start = time.perf_counter()
    with (mounted.root / "large.bin").open("rb", buffering=0) as file:
        file.read(4096)
    yield _FIRST, time.perf_counter() - start


def _stream(mounted: Mounted) -> Iterator[tuple[Work, float]]:
    large = mounted.root / "large.bin"
    before_s = _processor_s(mounted.pid)
    start = time.perf_counter()
    read_all(large)
    yield _STREAM, time.perf_counter() - start
    used_s = _processor_s(mounted.pid) - before_s
    yield _PROCESSOR, used_s * (1 << 30) / LARGE_BYTES
    yield _RESIDENT, _largest_bytes(mounted.pid)
    yield _STREAM_KEPT, _timed(partial(read_all, large))
    drop_page_cache()
    fd = os.open(large, os.O_RDONLY)
    try:
        times = _random_reads(fd, KEPT_READS)
        yield _KEPT_RATE, sum(times) / len(times)
        yield _KEPT_WORST, _percentile(times, 99)
    finally:
        os.close(fd)


def _stream_alone(mounted: Mounted) -> Iterator[tuple[Work, float]]:
    start = time.perf_counter()
    read_all(mounted.root / "large.bin")
    yield _STREAM, time.perf_counter() - start


def _in_order(mounted: Mounted) -> Iterator[tuple[Work, float]]:
    paths = _files(mounted.root / "small")
    yield _ORDERED, _timed(partial(open_read_close, paths))
    yield _SMALL_HOT, _timed(partial(open_read_close, paths), drop=False)
    yield _SMALL_KEPT, _timed(partial(open_read_close, paths))


def _shuffled(mounted: Mounted) -> Iterator[tuple[Work, float]]:
    paths = _files(mounted.root / "small")
    random.Random(2).shuffle(paths)
    yield _SHUFFLED, _timed(partial(open_read_close, paths))


def _crowd(mounted: Mounted) -> Iterator[tuple[Work, float]]:
    paths = _files(mounted.root / "many")
    random.Random(3).shuffle(paths)

    def read() -> None:
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(lambda path: open_read_close([path]), paths[:256]))

    yield _CROWD, _timed(read)


_NEAR_PARTS: tuple[Part, ...] = (_seek, _stream, _in_order, _shuffled, _crowd)
_FAR_PARTS: tuple[Part, ...] = (_first, _stream_alone, _in_order, _shuffled, _crowd)


def _files(root: Path) -> list[Path]:
    """In the order of a listing, which is made before the clock runs."""
    return sorted(path for path in root.rglob("f*") if path.is_file())


def _timed(action: Callable[[], object], *, drop: bool = True) -> float:
    if drop:
        drop_page_cache()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _random_reads(fd: int, count: int) -> list[float]:
    """The same places for everybody, without the kernel's read-ahead."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    places = random.Random(1)
    times = []
    for _ in range(count):
        offset = places.randrange(LARGE_BYTES // 4096) * 4096
        start = time.perf_counter()
        os.pread(fd, 4096, offset)
        times.append(time.perf_counter() - start)
    return times


def _percentile(times: list[float], percent: int) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]


def _processor_s(pid: int) -> float:
    ticks = 0
    for each in _family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _largest_bytes(pid: int) -> float:
    return sum(
        int(line.split()[1]) * 1024.0
        for each in _family(pid)
        for line in Path(f"/proc/{each}/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )


def _family(pid: int) -> Iterator[int]:
    """A process and those that it has started: some only watch over another one."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def _write(standings: list[Standing], *, rounds: int) -> None:
    machine = f"{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}"
    head = f"{machine}, Python {platform.python_version()}; medians of {rounds} rounds (far: one)."
    begin, end = "<!-- scripts/bench peers: begin -->", "<!-- scripts/bench peers: end -->"
    text = _REPLACED.read_text()
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    tables = "\n\n".join(each.markdown() for each in standings)
    _REPLACED.write_text(f"{before}{begin}\n{head}\n\n{tables}\n{end}{after}")
    found = {each.title: each.medians() for each in standings}
    Path("docs/benchmarks-peers.json").write_text(json.dumps(found, indent=1) + "\n")
    for each in standings:
        each.plot(Path("docs/images") / f"peers-{each.title.replace(' ', '-')}.png")
