"""Fault injection: an ObjectStore that fails on purpose, in an order that a seed decides."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from random import Random

import msgspec

from artfs.blobs.base import Namespace, ObjectKey, ObjectStore, StoredObject, Transfer
from artfs.errors import BackendUnavailable, BlobNotFound
from artfs.model import ByteRange


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """How likely each fault is, from 0 (never) to 1 (always), for each call."""

    delay: float = 0
    """The call takes `delay_s` seconds longer."""
    fail: float = 0
    """The call raises BackendUnavailable; a put or delete that does so may have happened."""
    drop: float = 0
    """A read or size does not find the object."""
    truncate: float = 0
    """A read returns fewer bytes than it was asked for."""
    flip: float = 0
    """A read returns one wrong bit."""
    delay_s: float = 0.01


NO_FAULTS = Faults()
OUTAGE = Faults(fail=1)


class FaultyObjectStore:
    """An ObjectStore over another one, with faults. Thread-safe.

    `faults` may be exchanged at any time, and `injected` counts what happened. There are no local
    files, so that every byte passes through here. `sleep` is called for a delay: a test may give
    an `Event.wait` instead.
    """

    def __init__(
        self,
        inner: ObjectStore,
        faults: Faults = NO_FAULTS,
        *,
        seed: int = 0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.faults = faults
        self.injected: Counter[str] = Counter()
        self._inner = inner
        self._random = Random(seed)
        self._lock = threading.Lock()
        self._sleep = sleep

    def put(self, key: ObjectKey, source: Path, *, transfer: Transfer) -> None:
        """Like the port's, or BackendUnavailable before or after the fact."""
        self._before_write(key)
        self._inner.put(key, source, transfer=transfer)
        self._maybe_fail(key)

    def read(self, key: ObjectKey, span: ByteRange) -> bytes:
        """Like the port's; or late, missing, unavailable, too short, or wrong."""
        self._maybe_delay()
        self._maybe_fail(key)
        if self._strikes("drop", self.faults.drop):
            raise BlobNotFound(str(key), "dropped on purpose")
        data = self._inner.read(key, span)
        if data and self._strikes("truncate", self.faults.truncate):
            data = data[: self._below(len(data))]
        if data and self._strikes("flip", self.faults.flip):
            wrong = bytearray(data)
            wrong[self._below(len(data))] ^= 1 << self._below(8)
            data = bytes(wrong)
        return data

    def stream(self, key: ObjectKey, span: ByteRange, *, piece_bytes: int) -> Generator[bytes]:
        """Like the port's; each piece with what `read` may do to it."""
        for start in range(span.start, span.stop, piece_bytes):
            yield self.read(key, ByteRange(start, min(piece_bytes, span.stop - start)))

    def open_local(self, key: ObjectKey) -> None:
        """Return None: every byte passes through `read`."""

    def size(self, key: ObjectKey) -> int | None:
        """Like the port's; or late, missing or unavailable."""
        self._maybe_delay()
        self._maybe_fail(key)
        if self._strikes("drop", self.faults.drop):
            return None
        return self._inner.size(key)

    def delete(self, key: ObjectKey) -> None:
        """Like the port's, or BackendUnavailable before or after the fact."""
        self._before_write(key)
        self._inner.delete(key)
        self._maybe_fail(key)

    def objects(self, namespace: Namespace) -> Iterator[StoredObject]:
        """Like the port's; or late, or BackendUnavailable at any object."""
        self._maybe_delay()
        for item in self._inner.objects(namespace):
            self._maybe_fail(item.key)
            yield item

    def _before_write(self, key: ObjectKey) -> None:
        self._maybe_delay()
        self._maybe_fail(key)

    def _maybe_delay(self) -> None:
        if self._strikes("delay", self.faults.delay):
            self._sleep(self.faults.delay_s)

    def _maybe_fail(self, key: ObjectKey) -> None:
        if self._strikes("fail", self.faults.fail):
            raise BackendUnavailable(str(key), "unavailable on purpose")

    def _strikes(self, fault: str, probability: float) -> bool:
        with self._lock:
            struck = self._random.random() < probability
            self.injected[fault] += struck
        return struck

    def _below(self, limit: int) -> int:
        with self._lock:
            return self._random.randrange(limit)
