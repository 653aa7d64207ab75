"""Links that carry their own right: signed, for one thing, until a time.

Clients send no key with uploads and with what `directUrl` names, so the address says what may be
done. All servers over a store sign with the same secret, which is in the catalog.
"""

from __future__ import annotations

import binascii
import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import TypeVar

import msgspec

from artfs.catalog.serving_records import ServingState
from artfs.decoding import analysed
from artfs.errors import PermissionDenied
from artfs.model import BlockList, Digest

_SECRET_BYTES = 32
_SIGNATURE_BYTES = 16
_MAX_CHARS = 2048

UPLOAD_LIFE_S = 86_400
DOWNLOAD_LIFE_S = 3_600
SESSION_LIFE_S = 7 * 86_400
"""Seconds until whoever looks at pages has to give the key again."""


class ContentUpload(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """The right to send content of one md5 for a draft."""

    draft_id: str
    md5: bytes


class ManifestUpload(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """The right to send a manifest of a draft."""

    draft_id: str
    manifest_id: str
    md5: bytes | None


class RunFileUpload(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """The right to send a file of a run, which is thrown away."""

    run_id: str


class ContentDownload(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """The right to read some content."""

    sha256: Digest
    size_bytes: int
    blocks: BlockList | None


class ManifestDownload(msgspec.Struct, frozen=True, array_like=True, tag="g"):
    """The right to read a version's manifest."""

    version_id: str


class PageSession(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """The right to see pages as the holder of a key may, as long as the key counts."""

    key_id: str


Right = (
    ContentUpload
    | ManifestUpload
    | RunFileUpload
    | ContentDownload
    | ManifestDownload
    | PageSession
)

R = TypeVar(
    "R",
    ContentUpload,
    ManifestUpload,
    RunFileUpload,
    ContentDownload,
    ManifestDownload,
    PageSession,
)


class _Signed(msgspec.Struct, frozen=True, array_like=True):
    expires_s: int
    right: Right


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(analysed(_Signed))


class StoreClock:
    """The catalog's time, asked for now and then: servers of one store agree on it.

    A clock of this host that is wrong, or is set, does not matter.
    """

    def __init__(
        self,
        now_ns: Callable[[], int],
        clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """`now_ns` is the catalog's; `clock` counts seconds from whenever. Blocks: once on it."""
        self._now_ns = now_ns
        self._clock = clock
        self._began_s = 0.0
        self.ask()

    def ask(self) -> None:
        """Ask the catalog anew. Blocks. Raises: BackendUnavailable."""
        self._began_s = self._now_ns() / 1e9 - self._clock()

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self._began_s + self._clock()


def link_secret(state: ServingState) -> bytes:
    """What the links of a store are signed with; made where there is none yet.

    Blocks: on the catalog. Raises: PermissionDenied where that can only be read.
    """
    return state.secret(secrets.token_bytes(_SECRET_BYTES))


class Tokens:
    """Makes and reads tokens. Thread-safe."""

    def __init__(self, state: ServingState, clock: Callable[[], float] = time.time) -> None:
        """Blocks: on the catalog."""
        self._secret = link_secret(state)
        self._clock = clock

    def sign(self, right: Right, *, life_s: int) -> str:
        """A token that counts for `life_s` seconds; it may stand in a path."""
        body = _encoder.encode(_Signed(int(self._clock()) + life_s, right))
        return urlsafe_b64encode(self._signature(body) + body).rstrip(b"=").decode()

    def read(self, token: str, kind: type[R]) -> R:
        """The right of this kind that a token gives. Raises: PermissionDenied."""
        right = self.read_any(token)
        if not isinstance(right, kind):
            raise PermissionDenied("this link", "is for something else")
        return right

    def read_any(self, token: str) -> Right:
        """The right that a token gives. Raises: PermissionDenied."""
        signed = self._verified(token)
        if signed is None:
            raise PermissionDenied("this link", "is not one of this server's")
        if signed.expires_s <= self._clock():
            raise PermissionDenied("this link", "has expired", hint="ask for a new one")
        return signed.right

    def _verified(self, token: str) -> _Signed | None:
        if len(token) > _MAX_CHARS:
            return None
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
            if not hmac.compare_digest(signature, self._signature(body)):
                return None
            return _decoder.decode(body)
        except (binascii.Error, ValueError):
            return None

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, body, "sha256")[:_SIGNATURE_BYTES]
