"""Who asks, and what they may: API keys, and the pace at which wrong ones are answered."""

from __future__ import annotations

import binascii
import hmac
import secrets
import string
import time
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec
from cachetools import TTLCache

from artfs import forks
from artfs.catalog.serving_records import HashedKey, KeyRecord, ServingState
from artfs.errors import ArtfsError, PermissionDenied
from artfs.model import check_name

KEY_LENGTH = 40
"""Characters: what clients of W&B take for a key."""

_ID_LENGTH = 8
_ALPHABET = string.ascii_lowercase + string.digits
_SALT_BYTES = 16
_HASH_BYTES = 32

_WRONG_KEYS = 20
"""So many wrong keys from one address are looked at in `_WINDOW_S` seconds."""
_WINDOW_S = 60.0
_ADDRESSES_KEPT = 10_000
_KEYS_KEPT = 1024
_LATELY_S = 1.0


class Unauthorized(ArtfsError):
    """No key, or one that does not count: HTTP 401."""

    exit_code = 8


class TooManyWrongKeys(ArtfsError):
    """So many wrong keys came from an address that no more are looked at: HTTP 429."""

    exit_code = 8


def new_key(
    name: str,
    *,
    read_only: bool = False,
    projects: Sequence[str] = (),
    expires_at_ns: int | None = None,
) -> tuple[str, HashedKey]:
    """A fresh key as it is given away, once, and as it is kept. Raises: InvalidName."""
    check_name(name, kind="key")
    for project in projects:
        check_name(project, kind="project")
    text = "".join(secrets.choice(_ALPHABET) for _ in range(KEY_LENGTH))
    salt = secrets.token_bytes(_SALT_BYTES)
    record = KeyRecord(
        id=text[:_ID_LENGTH],
        name=name,
        read_only=read_only,
        projects=tuple(dict.fromkeys(projects)),
        created_at_ns=time.time_ns(),
        expires_at_ns=expires_at_ns,
    )
    return text, HashedKey(record, salt, _hashed(text, salt))


def _hashed(text: str, salt: bytes) -> bytes:
    # A key is random and long: what is slow to compute would only be slow for us.
    secret = text[_ID_LENGTH:].encode()
    return blake2b(secret, digest_size=_HASH_BYTES, salt=salt).digest()


class Access(msgspec.Struct, frozen=True):
    """What the holder of a key may."""

    key: KeyRecord
    read_only: bool
    """Whether nothing may be changed: for the key, or because the server says so."""

    def reads(self, project: str) -> bool:
        """Whether what is in a project may be seen."""
        return not self.key.projects or project in self.key.projects

    def require_write(self, project: str) -> None:
        """Raises: PermissionDenied."""
        if not self.reads(project):
            raise PermissionDenied(
                f"project {project!r}",
                f"the key {self.key.name!r} is for other projects",
                hint="ask for a key of this project: `artfs keys add`",
            )
        if self.key.read_only:
            raise PermissionDenied(
                f"key {self.key.name!r}", "may only read", hint="ask for one that may write"
            )
        if self.read_only:
            raise PermissionDenied("this server", "is read-only: it was started so")


class Gate:
    """Tells who asks. Thread-safe; blocks on the catalog."""

    def __init__(
        self,
        state: ServingState,
        *,
        read_only: bool,
        now_ns: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now_ns` is the catalog's time, by which keys expire."""
        self._state = state
        self._read_only = read_only
        self._now_ns = now_ns
        self._clock = clock
        self._lock = forks.lock()
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lately: TTLCache[str, Access] = TTLCache(_KEYS_KEPT, _LATELY_S, clock)

    def enter(self, authorization: str | None, address: str) -> Access:
        """Who sends this header from that address. Raises: Unauthorized, TooManyWrongKeys."""
        text = key_of(authorization)
        if text is None:
            raise Unauthorized(
                "no API key", "the request has none", hint="set WANDB_API_KEY, or `wandb login`"
            )
        found = self._state.find_key(text[:_ID_LENGTH])
        if found is None or len(text) != KEY_LENGTH:
            self._refuse(address)
        elif hmac.compare_digest(_hashed(text, found.salt), found.hash):
            # Whoever has the right key is let in, however many wrong ones come from beside them.
            return Access(self._valid(found.record), self._read_only)
        else:
            self._refuse(address)
        raise Unauthorized(
            "this API key", "is not one of this server's", hint="ask for one: `artfs keys add`"
        )

    def entered_lately(self, authorization: str | None, address: str) -> Access:
        """As `enter`, of what was so at most a second ago: for content, which is asked for file by
        file, and which whoever has a link reads for longer.
        """
        with self._lock:
            found = self._lately.get(authorization or "")
        if found is None:
            found = self.enter(authorization, address)
            with self._lock:
                self._lately[authorization or ""] = found
        return found

    def known(self, key_id: str) -> Access:
        """What the holder of a key may who has proven to have it. Raises: Unauthorized."""
        found = self._state.find_key(key_id)
        if found is None:
            raise Unauthorized("this key", "is not one of this server's any more")
        return Access(self._valid(found.record), self._read_only)

    def _valid(self, record: KeyRecord) -> KeyRecord:
        if record.revoked_at_ns is not None:
            raise Unauthorized(f"the key {record.name!r}", "was revoked", hint="ask for a new one")
        if record.expires_at_ns is not None and record.expires_at_ns <= self._now_ns():
            raise Unauthorized(f"the key {record.name!r}", "has expired", hint="ask for a new one")
        return record

    def _refuse(self, address: str) -> None:
        """Count a wrong key. Raises: TooManyWrongKeys."""
        now = self._clock()
        with self._lock:
            count, since = self._wrong.pop(address, (0, now))
            if now - since > _WINDOW_S:
                count, since = 0, now
            self._wrong[address] = (count + 1, since)
            if len(self._wrong) > _ADDRESSES_KEPT:
                self._wrong.popitem(last=False)
        if count >= _WRONG_KEYS:
            raise TooManyWrongKeys(
                "wrong API keys", f"too many from {address}", hint="try again in a minute"
            )


def key_of(authorization: str | None) -> str | None:
    """The key in an Authorization header, Basic (whatever the user) or Bearer."""
    scheme, _, rest = (authorization or "").partition(" ")
    text = rest.strip()
    if scheme.lower() == "basic":
        try:
            text = b64decode(text, validate=True).decode("ascii").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    elif scheme.lower() != "bearer":
        return None
    # On-premises keys of W&B have a prefix.
    return text.rpartition("-")[2] or None
