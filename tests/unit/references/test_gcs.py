"""gs:// against an emulator: entries as W&B makes them, generations and prefixes."""

from __future__ import annotations

import hashlib
import sys
import uuid
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from artfs.errors import (
    InvalidArgument,
    PathNotFound,
    PermissionDenied,
    ReferenceChanged,
    Unsupported,
)
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.references.gcs import GcsHandler
from tests.servers.faultproxy import Fault, FaultProxy, fault_proxy
from tests.servers.gcs import GcsEmulator
from tests.support.references import QUICK, Reading


@pytest.fixture
def reading(gcs: GcsEmulator, tmp_path: Path) -> Reading:
    return Reading(tmp_path / "cache", {"gs": GcsHandler(policy=QUICK)})


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


def describe(reading: Reading, uri: str, **options: object) -> dict[str, ReferenceEntry]:
    return dict(reading.references.describe(uri, **options))  # type: ignore[arg-type]


def test_the_digest_of_an_object_is_its_md5(
    reading: Reading, gcs: GcsEmulator, prefix: str
) -> None:
    gcs.put(f"{prefix}/a.bin", b"content")
    uri = f"gs://{gcs.bucket}/{prefix}/a.bin"
    [(path, entry)] = describe(reading, uri).items()
    md5 = hashlib.md5(b"content").digest()
    assert (path, entry.digest, entry.size_bytes) == ("a.bin", b64encode(md5).decode(), 7)
    assert entry.uri == uri
    assert set(entry.extra) == {"etag", "versionID"}
    assert entry.pin == Pin(generation=entry.extra["versionID"], md5=md5)
    assert reading.bytes_of(entry) == b"content"


def test_a_prefix_is_all_objects_below_it(reading: Reading, gcs: GcsEmulator, prefix: str) -> None:
    for key in ("top/one", "top/sub/two", "top/empty", "topping"):
        gcs.put(f"{prefix}/{key}", b"" if key == "top/empty" else key.encode())
    gcs.put(f"{prefix}/top/sub/", b"")
    uri = f"gs://{gcs.bucket}/{prefix}/top"
    assert sorted(describe(reading, uri)) == ["empty", "one", "sub/two"]
    found = describe(reading, f"{uri}/", name="in/side")
    assert {path: entry.uri for path, entry in found.items()} == {
        "in/side/empty": f"{uri}/empty",
        "in/side/one": f"{uri}/one",
        "in/side/sub/two": f"{uri}/sub/two",
    }
    with pytest.raises(InvalidArgument, match="Exceeded 2 objects"):
        describe(reading, uri, max_objects=2)


def test_without_a_checksum_there_is_one_entry_that_can_be_read(
    reading: Reading, gcs: GcsEmulator, prefix: str
) -> None:
    gcs.put(f"{prefix}/a.bin", b"content")
    uri = f"gs://{gcs.bucket}/{prefix}/a.bin"
    [(path, entry)] = describe(reading, uri, checksum=False).items()
    assert (path, entry.digest, entry.size_bytes, entry.pin) == (
        f"{prefix}/a.bin",
        uri,
        None,
        Pin(),
    )
    assert reading.bytes_of(entry) == b"content"


def test_a_changed_object_is_refused(reading: Reading, gcs: GcsEmulator, prefix: str) -> None:
    gcs.put(f"{prefix}/a", b"before")
    entry = reading.one(f"gs://{gcs.bucket}/{prefix}/a")
    gcs.put(f"{prefix}/a", b"behind")
    with pytest.raises(ReferenceChanged, match="pinned at generation"):
        reading.bytes_of(entry)
    gcs.client().bucket(gcs.bucket).blob(f"{prefix}/a").delete()
    with pytest.raises(ReferenceChanged, match="gone"):
        reading.bytes_of(entry)


def test_a_generation_of_a_bucket_without_versions_is_a_value_error(
    reading: Reading, gcs: GcsEmulator, prefix: str
) -> None:
    gcs.put(f"{prefix}/a", b"x")
    with pytest.raises(InvalidArgument, match="has no versions"):
        reading.one(f"gs://{gcs.bucket}/{prefix}/a#123")


def test_what_is_missing_says_so(reading: Reading, gcs: GcsEmulator, prefix: str) -> None:
    with pytest.raises(InvalidArgument, match="no object of this name"):
        reading.one(f"gs://{gcs.bucket}/{prefix}/nothing")
    with pytest.raises(PathNotFound, match="bucket"):
        reading.one("gs://artfs-no-such-bucket/key")


def test_without_the_extra_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    reading = Reading(tmp_path / "cache", {"gs": GcsHandler(policy=QUICK)})
    with pytest.raises(Unsupported, match=r"pip install 'artfs\[gcs\]'"):
        reading.one("gs://bucket/key")


@pytest.fixture
def refusing(gcs: GcsEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A server that can be told to refuse."""
    with fault_proxy(gcs.url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        yield proxy


def test_credentials_that_are_refused_are_asked_for_again(
    refusing: FaultProxy, gcs: GcsEmulator, prefix: str, tmp_path: Path
) -> None:
    clients: list[Any] = []

    def new_client() -> Any:
        # Those that it has now are good.
        refusing.set()
        clients.append(gcs.client())
        return clients[-1]

    gcs.put(f"{prefix}/a", b"content")
    handler = GcsHandler(new_client, policy=QUICK)
    reading = Reading(tmp_path / "cache", {"gs": handler})
    entry = reading.one(f"gs://{gcs.bucket}/{prefix}/a")
    assert len(clients) == 1
    refusing.set(Fault(status=403))
    assert reading.bytes_of(entry) == b"content"
    assert len(clients) == 2
    refusing.set(Fault(status=403))
    assert describe(reading, entry.uri)["a"].digest == entry.digest
    assert len(clients) == 3


def test_who_stays_refused_is_told_so_after_one_more_request(
    refusing: FaultProxy, gcs: GcsEmulator, prefix: str, tmp_path: Path
) -> None:
    clients: list[Any] = []

    def new_client() -> Any:
        clients.append(gcs.client())
        return clients[-1]

    gcs.put(f"{prefix}/a", b"content")
    reading = Reading(tmp_path / "cache", {"gs": GcsHandler(new_client, policy=QUICK)})
    entry = reading.one(f"gs://{gcs.bucket}/{prefix}/a")
    refusing.set(Fault(status=403))
    with pytest.raises(PermissionDenied):
        reading.bytes_of(entry)
    assert len(clients) == 2
