from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from artfs.blobs.base import Namespace, ObjectKey, Transfer
from artfs.blobs.local import LocalObjectStore
from artfs.errors import BackendUnavailable, BlobNotFound
from artfs.model import ByteRange, Digest
from artfs.testing.faults import NO_FAULTS, OUTAGE, Faults, FaultyObjectStore

DATA = bytes(range(256)) * 4
KEY = ObjectKey(Namespace.BLOBS, Digest(hashlib.sha256(DATA).digest()))
WHOLE = ByteRange(0, len(DATA))


@pytest.fixture
def inner(tmp_path: Path) -> LocalObjectStore:
    (tmp_path / "store").mkdir()
    store = LocalObjectStore(tmp_path / "store")
    (tmp_path / "source").write_bytes(DATA)
    store.put(KEY, tmp_path / "source", transfer=Transfer.COPY)
    return store


def test_a_truncated_read_is_a_proper_beginning(inner: LocalObjectStore) -> None:
    store = FaultyObjectStore(inner, Faults(truncate=1))
    for _ in range(20):
        data = store.read(KEY, WHOLE)
        assert len(data) < len(DATA)
        assert DATA.startswith(data)


def test_a_flipped_read_has_exactly_one_wrong_bit(inner: LocalObjectStore) -> None:
    store = FaultyObjectStore(inner, Faults(flip=1))
    for _ in range(20):
        data = store.read(KEY, WHOLE)
        wrong_bits = sum((a ^ b).bit_count() for a, b in zip(data, DATA, strict=True))
        assert wrong_bits == 1


def test_a_dropped_object_is_missing_until_the_fault_ends(inner: LocalObjectStore) -> None:
    store = FaultyObjectStore(inner, Faults(drop=1))
    assert store.size(KEY) is None
    with pytest.raises(BlobNotFound):
        store.read(KEY, WHOLE)
    store.faults = NO_FAULTS
    assert store.read(KEY, WHOLE) == DATA


def test_an_outage_fails_every_call_and_ends(inner: LocalObjectStore, tmp_path: Path) -> None:
    store = FaultyObjectStore(inner, OUTAGE)
    for call in (
        lambda: store.read(KEY, WHOLE),
        lambda: store.size(KEY),
        lambda: store.put(KEY, tmp_path / "source", transfer=Transfer.MOVE),
        lambda: store.delete(KEY),
        lambda: list(store.objects(Namespace.BLOBS)),
    ):
        with pytest.raises(BackendUnavailable):
            call()
    store.faults = NO_FAULTS
    assert store.size(KEY) == len(DATA)
    assert store.injected["fail"] == 5


def test_a_failed_put_may_have_happened(inner: LocalObjectStore, tmp_path: Path) -> None:
    store = FaultyObjectStore(inner, Faults(fail=0.5), seed=1)
    outcomes = set()
    for _ in range(30):
        inner.delete(KEY)
        try:
            store.put(KEY, tmp_path / "source", transfer=Transfer.COPY)
        except BackendUnavailable:
            outcomes.add(("failed", inner.size(KEY) is not None))
        else:
            outcomes.add(("done", inner.size(KEY) is not None))
    assert outcomes == {("failed", False), ("failed", True), ("done", True)}


def test_delays_sleep_as_told(inner: LocalObjectStore) -> None:
    slept: list[float] = []
    store = FaultyObjectStore(inner, Faults(delay=1, delay_s=3.5), sleep=slept.append)
    assert store.read(KEY, WHOLE) == DATA
    assert slept == [3.5]


def test_one_seed_gives_one_sequence_of_faults(inner: LocalObjectStore) -> None:
    def sequence(seed: int) -> list[object]:
        store = FaultyObjectStore(inner, Faults(drop=0.3, truncate=0.3, flip=0.3), seed=seed)
        results: list[object] = []
        for _ in range(50):
            try:
                results.append(store.read(KEY, WHOLE))
            except BlobNotFound:
                results.append(None)
        return results

    assert sequence(1) == sequence(1)
    assert sequence(1) != sequence(2)
