"""A network that breaks: never wrong or short data, never a hang, and healing with the source."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from random import Random

import msgspec
import pytest

from artfs.blobs.s3client import make_client
from artfs.content import whole
from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    IntegrityError,
    PermissionDenied,
    ReferenceChanged,
)
from artfs.manifest.entries import ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES
from artfs.references.gcs import GcsHandler
from artfs.references.http import HttpHandler
from artfs.references.s3 import S3Handler
from tests.servers.faultproxy import Fault, FaultProxy, fault_proxy
from tests.servers.gcs import GcsEmulator
from tests.servers.nginx import Nginx
from tests.servers.seaweedfs import REGION, SeaweedFS
from tests.support.references import QUICK, Reading

DATA = Random(7).randbytes(BLOCK_SIZE_BYTES + 300_000)
DEADLINE_S = QUICK.deadline_s + 2 * QUICK.step_timeout_s

FAULTS = {
    "reset at once": Fault(reset_after=0),
    "reset in the middle": Fault(reset_after=200_000),
    "truncated": Fault(truncate_after=200_000),
    "truncated at once": Fault(truncate_after=0),
    "stalled": Fault(stall_after=200_000),
    "longer than it is": Fault(add_to_length=1000),
    "shorter than it is": Fault(add_to_length=-1000),
    "429": Fault(status=429, retry_after="0"),
    "500": Fault(status=500),
    "503": Fault(status=503, retry_after="1"),
    "never answers": Fault(never_answer=True),
    "closed": Fault(refuse=True),
    "trickles": Fault(trickle=True),
    "slow first byte": Fault(delay_s=0.5),
    "first byte too late": Fault(delay_s=3 * QUICK.step_timeout_s),
    "ranges ignored": Fault(ignore_range=True),
    "ranges shorter than asked": Fault(shorten_range=1_500_000),
    "another range than asked": Fault(shift_range=1000),
    "compressed unasked": Fault(compress=True),
}
HARMLESS = ("slow first byte", "ranges shorter than asked")
"""Faults that only take longer or more requests."""


class Broken:
    """A reference whose source is behind the proxy, and a reader of it."""

    def __init__(self, reading: Reading, entry: ReferenceEntry, proxy: FaultProxy) -> None:
        self.reading = reading
        self.entry = entry
        self.proxy = proxy

    def read(self) -> bytes:
        """All bytes, from the source."""
        for block in list(self.reading.cache.layout.blocks()):
            block.path.unlink()
        return self.reading.bytes_of(self.entry)


@contextmanager
def broken_http(nginx: Nginx, path: str, cache: Path) -> Iterator[Broken]:
    """A file at a path of nginx, behind a proxy that fails."""
    nginx.write(path.rpartition("/")[2], DATA)
    with fault_proxy(nginx.url) as proxy:
        reading = Reading(cache, {"http": HttpHandler(policy=QUICK)})
        yield Broken(reading, reading.one(f"{proxy.url}/{path}"), proxy)


@pytest.fixture
def http(nginx: Nginx, tmp_path: Path) -> Iterator[Broken]:
    with broken_http(nginx, "plain/faults.bin", tmp_path / "cache") as broken:
        yield broken


@pytest.fixture
def http_without_ranges(nginx: Nginx, tmp_path: Path) -> Iterator[Broken]:
    with broken_http(nginx, "no-ranges/faults.bin", tmp_path / "cache") as broken:
        yield broken


@pytest.fixture
def http_without_etag(nginx: Nginx, tmp_path: Path) -> Iterator[Broken]:
    with broken_http(nginx, "no-etag/faults.bin", tmp_path / "cache") as broken:
        yield broken


@pytest.fixture
def http_compressed(nginx: Nginx, tmp_path: Path) -> Iterator[Broken]:
    """Its ETag is weak, and no ranges are served."""
    with broken_http(nginx, "gzip/faults.txt", tmp_path / "cache") as broken:
        yield broken


@pytest.fixture
def s3(seaweedfs: SeaweedFS, tmp_path: Path) -> Iterator[Broken]:
    key = f"{seaweedfs.new_prefix()}/faults.bin"
    seaweedfs.client().put_object(Bucket=seaweedfs.bucket, Key=key, Body=DATA)
    with fault_proxy(seaweedfs.endpoint_url) as proxy:
        handler = S3Handler(
            lambda: make_client(
                endpoint_url=proxy.url,
                region=REGION,
                attempts=1,
                read_timeout_s=QUICK.step_timeout_s,
            ),
            policy=QUICK,
        )
        reading = Reading(tmp_path / "cache", {"s3": handler})
        yield Broken(reading, reading.one(f"s3://{seaweedfs.bucket}/{key}"), proxy)


@pytest.fixture
def gs(gcs: GcsEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broken]:
    gcs.put("faults.bin", DATA)
    with fault_proxy(gcs.url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        reading = Reading(tmp_path / "cache", {"gs": GcsHandler(policy=QUICK)})
        yield Broken(reading, reading.one(f"gs://{gcs.bucket}/faults.bin"), proxy)


SOURCES = ["http", "http_without_ranges", "s3", "gs"]


@pytest.fixture(params=SOURCES)
def broken(request: pytest.FixtureRequest) -> Broken:
    found: Broken = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize(
    ("source", "name"),
    # Requests to S3 are signed: what stands between cannot leave their range out.
    [pair for pair in product(SOURCES, FAULTS) if pair != ("s3", "ranges ignored")],
)
def test_a_source_that_breaks_once_is_read_right(
    request: pytest.FixtureRequest, source: str, name: str
) -> None:
    broken: Broken = request.getfixturevalue(source)
    broken.proxy.set(msgspec.structs.replace(FAULTS[name], times=1))
    assert broken.read() == DATA


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("source", ["http_without_etag", "http_compressed"])
def test_a_source_that_proves_little_is_read_right_or_not_at_all(
    request: pytest.FixtureRequest, source: str, name: str
) -> None:
    broken: Broken = request.getfixturevalue(source)
    broken.proxy.set(msgspec.structs.replace(FAULTS[name], times=1))
    with suppress(ReferenceChanged):
        # Without an ETag another size is another object.
        assert broken.read() == DATA
    assert broken.read() == DATA


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_takes_longer_is_read_right(broken: Broken, name: str) -> None:
    broken.proxy.set(FAULTS[name])
    assert broken.read() == DATA


def test_an_answer_that_proves_nothing_is_not_used(http: Broken, s3: Broken) -> None:
    for broken in (http, s3):
        broken.proxy.set(Fault(without="etag", times=1))
        with pytest.raises(ReferenceChanged, match="pinned with ETag"):
            broken.read()
        assert broken.read() == DATA


@pytest.mark.parametrize("name", FAULTS)
def test_a_source_that_stays_broken_fails_in_time_and_heals(broken: Broken, name: str) -> None:
    broken.proxy.set(FAULTS[name])
    started_s = time.monotonic()
    # A request to S3 whose range was left out has the wrong signature, and is refused.
    with suppress(BackendUnavailable, ReferenceChanged, PermissionDenied):
        # A fault that leaves large pieces standing only takes more requests.
        assert broken.read() == DATA
    # Two blocks, each within its deadline.
    assert time.monotonic() - started_s < 2 * DEADLINE_S
    broken.proxy.set()
    assert broken.read() == DATA


def test_wrong_bytes_of_content_that_is_pinned_by_md5_are_found_out_and_told_to_all(
    gs: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    gs.proxy.set(Fault(flip_byte=-1, min_body_bytes=100_000))
    with pytest.raises(IntegrityError, match="md5"):
        gs.read()
    gs.proxy.set()
    # Whoever heard of it may have been read-ahead; others have read a part of it.
    for _ in range(2):
        with pytest.raises(IntegrityError, match="md5"):
            gs.read()
    monkeypatch.setattr(whole, "ECHO_S", -1.0)
    assert gs.read() == DATA


def test_a_server_that_asks_for_a_pause_gets_it(http: Broken) -> None:
    http.proxy.set(Fault(status=503, retry_after="1", times=1))
    started_s = time.monotonic()
    assert http.read() == DATA
    assert time.monotonic() - started_s >= 1


def test_a_pause_that_is_longer_than_the_deadline_is_not_waited_for(http: Broken) -> None:
    http.proxy.set(Fault(status=429, retry_after="3600"))
    started_s = time.monotonic()
    with pytest.raises(BackendUnavailable, match="429"):
        http.read()
    assert time.monotonic() - started_s < DEADLINE_S


def test_a_refusal_is_told_at_once_and_heals(broken: Broken) -> None:
    broken.proxy.set(Fault(status=403))
    with pytest.raises(ArtfsError) as caught:
        broken.read()
    assert isinstance(caught.value, (PermissionDenied, BackendUnavailable))
    broken.proxy.set()
    assert broken.read() == DATA


def test_an_address_that_expires_behind_a_redirect_is_asked_for_again(
    nginx: Nginx, tmp_path: Path
) -> None:
    nginx.write("faults.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        reading = Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})
        entry = reading.one(f"{proxy.url}/redirect/faults.bin")
        content = reading.reader.content(entry)
        proxy.set(Fault(status=403, times=1, path="/plain/"))
        assert content.load_block(0) == DATA[:BLOCK_SIZE_BYTES]
        proxy.set(Fault(status=403, path="/plain/"))
        with pytest.raises(BackendUnavailable):
            content.load_block(1)


def test_what_came_before_a_failure_is_not_asked_for_again(http: Broken) -> None:
    content = http.reading.reader.content(http.entry)
    http.proxy.set(Fault(stall_after=BLOCK_SIZE_BYTES - 1000, times=1), Fault(refuse=True))
    with pytest.raises(BackendUnavailable):
        content.load_block(0)
    http.proxy.set()
    before = http.proxy.body_bytes
    assert content.load_block(0) == DATA[:BLOCK_SIZE_BYTES]
    assert http.proxy.body_bytes - before <= 1000
