"""GET requests for objects of S3, signed like those of a boto3 client, without its other work.

A client spends most of a small read on what is the same for all objects of a bucket: where the
bucket is, who may read it, which events to tell. So its first request for a bucket shows where
the next ones go. Any answer but the object's bytes is left to the client, which knows what to do:
the bucket is elsewhere, credentials have expired, the object has changed.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from urllib3.response import BaseHTTPResponse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SIGNATURE = "s3v4"
_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=.+?/\d{8}/([^/]+)/([^/]+)/aws4_request,.*")
_SESSION_TOKEN = "X-Amz-S3session-Token"  # noqa: S105 - the name of a header


class SignedResponse(msgspec.Struct, frozen=True):
    """An answer whose body was not read yet."""

    status: int
    headers: Mapping[str, str]
    """Found by names as `str.title` writes them."""
    raw: BaseHTTPResponse


class _Place(msgspec.Struct, frozen=True):
    """Where the objects of a bucket are, and what a signature is for."""

    base: str
    region: str
    service: str
    agent: str


class SignedReads:
    """Reads objects of any bucket with one client. Thread-safe."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._places: dict[str, _Place] = {}
        # The client tells its events to the thread that makes the request.
        self._sent = threading.local()
        client.meta.events.register("before-send.s3.GetObject", self._note)

    def get(
        self, bucket: str, key: str, *, version_id: str | None, headers: Mapping[str, str]
    ) -> SignedResponse:
        """The answer to a GET; `headers` are Range and If-Match.

        A status of 429 or above 499 is an answer. Blocks, and raises: as the client does.
        """
        place = self._places.get(bucket)
        if place is not None:
            answer = self._ask(place, key, version_id, headers)
            if answer.status in {200, 206, 429} or answer.status >= 500:
                return answer
            answer.raw.close()
        return self._ask_client(bucket, key, version_id, headers)

    def _ask(
        self, place: _Place, key: str, version_id: str | None, headers: Mapping[str, str]
    ) -> SignedResponse:
        url = place.base + _quoted(key)
        if version_id is not None:
            url += f"?versionId={quote(version_id, safe='-_.~')}"
        request = AWSRequest(
            method="GET",
            url=url,
            headers={"User-Agent": place.agent, **headers},
            stream_output=True,
        )
        client: Any = self._client
        # With credentials of this moment: they are renewed now and then.
        signer = client._request_signer.get_auth_instance(  # noqa: SLF001 - no public way
            place.service, place.region, _SIGNATURE
        )
        signer.add_auth(request)
        # Its proxies, certificates, deadlines and connections hold for these requests as well.
        found = client._endpoint.http_session.send(request.prepare())  # noqa: SLF001 - see above
        return SignedResponse(found.status_code, found.raw.headers, found.raw)

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
        self._places.pop(bucket, None)
        if request is None:
            return
        headers = {str(name).title(): _text(value) for name, value in request.headers.items()}
        base, at, _ = request.url.partition("?")[0].rpartition(_quoted(key))
        scope = _SCOPE.fullmatch(headers.get("Authorization", ""))
        if at and scope is not None and _SESSION_TOKEN not in headers:
            agent = headers.get("User-Agent", "")
            self._places[bucket] = _Place(base, scope[1], scope[2], agent)


def _quoted(key: str) -> str:
    return quote(key, safe="/~")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
