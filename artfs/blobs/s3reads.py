"""GET requests for objects of S3, signed like those of a botocore client, without its other work.

A client spends most of a small read on what is the same for all objects of a bucket: where the
bucket is, who may read it, which events to tell. So its first request for a bucket shows where
the next ones go. Any answer but the object's bytes is left to the client, which knows what to do:
the bucket is elsewhere, credentials have expired, the object has changed.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import (
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

from artfs.blobs.s3signature import Scope, Signer
from artfs.system import httpget
from artfs.system.httpget import UNANSWERED, RawBody

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SIGNATURE = "s3v4"
_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=.+?/\d{8}/([^/]+)/([^/]+)/aws4_request,.*")
_SESSION_TOKEN = "X-Amz-S3session-Token"  # noqa: S105 - the name of a header
_PORTS = {"http": 80, "https": 443}


class SignedResponse(msgspec.Struct, frozen=True):
    """An answer whose body was not read yet."""

    status: int
    headers: Mapping[str, str]
    """Found by names as `str.title` writes them."""
    raw: RawBody


class _Place(msgspec.Struct, frozen=True):
    """Where the objects of a bucket are, and what signs for them."""

    pool: HTTPConnectionPool
    host: str
    path: str
    agent: str
    scope: Scope
    signer: Signer


class SignedReads:
    """Reads objects of any bucket with one client. Thread-safe."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._places: dict[str, _Place] = {}
        # The client tells its events to the thread that makes the request.
        self._sent = threading.local()
        client.meta.events.register("before-send.s3.GetObject", self._note)

    def get(
        self,
        bucket: str,
        key: str,
        *,
        headers: Mapping[str, str],
        version_id: str | None = None,
        timeout_s: float | None = None,
    ) -> SignedResponse:
        """The answer to a GET; `headers` are Range and If-Match.

        A status of 429 or above 499 is an answer. Blocks: `timeout_s`, or what the client is set
        to, for each step. Raises: as the client does; UNANSWERED.
        """
        place = self._places.get(bucket)
        if place is not None:
            answer = self._ask(place, key, version_id, headers, timeout_s)
            if answer.status in {200, 206, 429} or answer.status >= 500:
                return answer
            answer.raw.close()
        return self._ask_client(bucket, key, version_id, headers)

    def get_patiently(self, bucket: str, key: str, *, headers: Mapping[str, str]) -> SignedResponse:
        """As `get`, but whatever else than bytes comes is asked for again as the client does.

        Blocks, and raises: as the client does.
        """
        place = self._places.get(bucket)
        if place is not None:
            try:
                answer = self._ask(place, key, None, headers, None)
            except UNANSWERED:
                pass
            else:
                if answer.status in {200, 206}:
                    return answer
                answer.raw.close()
        return self._ask_client(bucket, key, None, headers)

    def _ask(
        self,
        place: _Place,
        key: str,
        version_id: str | None,
        headers: Mapping[str, str],
        timeout_s: float | None,
    ) -> SignedResponse:
        path = place.path + _quoted(key)
        query = "" if version_id is None else f"versionId={quote(version_id, safe='-_.~')}"
        client: Any = self._client
        # With credentials of this moment: they are renewed now and then.
        credentials = client._request_signer.get_auth_instance(  # noqa: SLF001 - no public way
            place.scope.service, place.scope.region, _SIGNATURE
        ).credentials
        if credentials is None:
            raise NoCredentialsError
        signed = place.signer.signed(credentials, path, query, {"Host": place.host, **headers})
        signed["User-Agent"] = place.agent
        found = httpget.get(
            place.pool,
            f"{path}?{query}" if query else path,
            signed,
            timeout_s=client.meta.config.read_timeout if timeout_s is None else timeout_s,
        )
        return SignedResponse(found.status, found.headers, found.raw)

    def _ask_client(
        self, bucket: str, key: str, version_id: str | None, headers: Mapping[str, str]
    ) -> SignedResponse:
        more: dict[str, Any] = {name.replace("-", ""): text for name, text in headers.items()}
        if version_id is not None:
            more["VersionId"] = version_id
        self._sent.request = None
        try:
            found = self._client.get_object(Bucket=bucket, Key=key, **more)
        finally:
            self._learn(bucket, key, self._sent.request)
        metadata = found["ResponseMetadata"]
        titled = {name.title(): text for name, text in metadata["HTTPHeaders"].items()}
        # Only this inner stream can be read without waiting for a full piece.
        raw = found["Body"]._raw_stream  # type: ignore[attr-defined]  # noqa: SLF001
        return SignedResponse(metadata["HTTPStatusCode"], titled, raw)

    def _note(self, request: AWSPreparedRequest, **_event: object) -> None:
        self._sent.request = request

    def _learn(self, bucket: str, key: str, request: AWSPreparedRequest | None) -> None:
        """Remember where a request went, if the next ones can be made like it."""
        known = self._places.pop(bucket, None)
        if request is None:
            return
        headers = {str(name).title(): _text(value) for name, value in request.headers.items()}
        base, at, _ = request.url.partition("?")[0].rpartition(_quoted(key))
        scope = _SCOPE.fullmatch(headers.get("Authorization", ""))
        if not at or scope is None or _SESSION_TOKEN in headers:
            return
        pool = self._pool(base)
        if pool is None:
            return
        parts = urlsplit(base)
        host, path, found = _host(base), parts.path, Scope(scope[1], scope[2])
        signer = known.signer if known is not None and known.scope == found else Signer(found)
        agent = headers.get("User-Agent", "")
        self._places[bucket] = _Place(pool, host, path, agent, found, signer)

    def _pool(self, url: str) -> HTTPConnectionPool | None:
        """The client's own connections to a server; None where they lead through a proxy."""
        client: Any = self._client
        session = client._endpoint.http_session  # noqa: SLF001 - no public way to these
        if session._proxy_config.proxy_url_for(url) is not None:  # noqa: SLF001 - see above
            return None
        manager = session._get_connection_manager(url)  # noqa: SLF001 - see above
        pool: HTTPConnectionPool = manager.connection_from_url(url)
        session._setup_ssl_cert(pool, url, session._verify)  # noqa: SLF001 - see above
        return pool


def pieces_of(
    answer: SignedResponse, subject: str, *, length: int, piece_bytes: int
) -> Generator[bytes]:
    """A body of `length` bytes, in pieces of that size. Blocks: as the request did.

    Raises: ReadTimeoutError; IncompleteReadError and ResponseStreamingError, where it breaks off.
    """
    with closing(answer.raw) as raw:
        for start in range(0, length, piece_bytes):
            wanted = min(piece_bytes, length - start)
            try:
                data = raw.read(wanted, decode_content=False)
            except (Urllib3TimeoutError, TimeoutError) as error:
                raise ReadTimeoutError(endpoint_url=subject, error=error) from None
            except UNANSWERED as error:
                raise ResponseStreamingError(error=error) from None
            if len(data) != wanted:
                raise IncompleteReadError(actual_bytes=start + len(data), expected_bytes=length)
            yield data


def _host(url: str) -> str:
    """As it is signed and sent: without the port that everybody expects."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    if parts.port in {None, _PORTS.get(parts.scheme)}:
        return name
    return f"{name}:{parts.port}"


def _quoted(key: str) -> str:
    return quote(key, safe="/~")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
