"""Signatures of S3's GET requests (AWS Signature Version 4), as botocore makes them.

botocore signs any request of any service; the key of a day and the words around it, which are
the same for all objects of a bucket, it makes each time.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from hashlib import sha256

import msgspec
from botocore.credentials import ReadOnlyCredentials

_ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = sha256(b"").hexdigest()


class Scope(msgspec.Struct, frozen=True):
    """What a signature is for."""

    region: str
    service: str


class Signer:
    """Signs for one scope, with credentials that may change. Thread-safe."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        # Exchanged as a whole: a thread that comes in between makes one more.
        self._key: tuple[str | None, str, bytes] = (None, "", b"")

    def signed(
        self,
        credentials: ReadOnlyCredentials,
        path: str,
        query: str,
        headers: Mapping[str, str],
        *,
        now_s: float | None = None,
    ) -> dict[str, str]:
        """The headers with those of a signature over all of them; they must name the host.

        `path` and `query` are quoted as they are sent; `query` is sorted. `now_s` is Unix time.
        """
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
        day = moment[:8]
        found = {**headers, "X-Amz-Content-SHA256": _NO_BODY, "X-Amz-Date": moment}
        if credentials.token:
            found["X-Amz-Security-Token"] = credentials.token
        lines = sorted((name.lower(), " ".join(text.split())) for name, text in found.items())
        names = ";".join(name for name, _ in lines)
        canonical = "\n".join(
            ("GET", path, query, *(f"{name}:{text}" for name, text in lines), "", names, _NO_BODY)
        )
        scope = f"{day}/{self._scope.region}/{self._scope.service}/aws4_request"
        request = f"{_ALGORITHM}\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        key = self._key_of(credentials.secret_key, day)
        signature = hmac.digest(key, request.encode(), "sha256").hex()
        found["Authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return found

    def _key_of(self, secret_key: str | None, day: str) -> bytes:
        secret, of_day, key = self._key
        if (secret, of_day) != (secret_key, day):
            key = f"AWS4{secret_key}".encode()
            for word in (day, self._scope.region, self._scope.service, "aws4_request"):
                key = hmac.digest(key, word.encode(), "sha256")
            self._key = (secret_key, day, key)
        return key
