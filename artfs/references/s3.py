"""`s3://`: objects of any S3-compatible server, pinned by ETag and, where there are, versions.

Credentials, profiles, regions and endpoints come the way boto3 finds them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    ParamValidationError,
    ReadTimeoutError,
)

from artfs.blobs.locations import configured_endpoint
from artfs.blobs.s3client import head_object, make_client
from artfs.blobs.s3errors import (
    WITHOUT_CREDENTIALS,
    WITHOUT_CREDENTIALS_HINT,
    Trouble,
    archive_of,
    code_of,
    diagnosed,
    status_of,
)
from artfs.blobs.s3reads import SignedReads
from artfs.errors import (
    Archived,
    ArtfsError,
    BackendUnavailable,
    InvalidArgument,
    PathNotFound,
    PermissionDenied,
    ReferenceChanged,
)
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.model import ByteRange
from artfs.references import bodies, codings, web
from artfs.references.base import (
    Body,
    Found,
    Observed,
    Source,
    SourceGone,
    TransientFailure,
    announced,
    described,
)
from artfs.references.bucket import (
    Listed,
    Page,
    limited,
    listed,
    listing_words,
    placed,
    prefix_of,
    single_path,
    split_uri,
)
from artfs.references.retry import RetryPolicy, retrying
from artfs.system.httpget import UNANSWERED
from artfs.system.threads import Once

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = logging.getLogger(__name__)

T = TypeVar("T")

_KINDS: dict[Trouble, type[ArtfsError]] = {
    Trouble.NO_BUCKET: SourceGone,
    Trouble.CHANGED: ReferenceChanged,
    Trouble.SHORT: ReferenceChanged,
    Trouble.REFUSED: PermissionDenied,
    Trouble.ARCHIVED: Archived,
}
_VERSION = re.compile(r"(.*)\?versionId=([^&]+)", re.DOTALL)


class _Object(msgspec.Struct, frozen=True):
    """An object as a HEAD request or a listing tells of it."""

    key: str
    etag: str
    size_bytes: int
    version_id: str | None
    mtime_ns: int


class S3Handler:
    """Implements ReferenceHandler and PreparingHandler."""

    def __init__(
        self,
        client: Callable[[], S3Client] | None = None,
        *,
        policy: RetryPolicy | None = None,
    ) -> None:
        """`client` makes one that does not retry by itself; it is called once, when needed."""
        self._policy = policy or RetryPolicy.standard()
        self._client = Once(client or self._standard_client)
        self._reads = Once(lambda: SignedReads(self._client()))
        self._unconditional: set[str] = set()

    def describe(
        self, uri: str, *, name: str | None, checksum: bool, max_objects: int | None
    ) -> Iterator[Found]:
        """See ReferenceHandler. Empty objects are left out by W&B: they have no digest."""
        try:
            yield from self._describe(uri, name, checksum, max_objects)
        except ReferenceChanged as error:
            raise PathNotFound(error.subject, error.reason) from None

    def open(self, entry: ReferenceEntry) -> Source:
        """See ReferenceHandler."""
        return S3Source(self._client, self._reads, entry, self._unconditional)

    def prepare(self) -> None:
        """See PreparingHandler."""
        _translating("s3", self._reads)

    def _describe(
        self, uri: str, name: str | None, checksum: bool, max_objects: int | None
    ) -> Iterator[Found]:
        location, version_id = _split_version(uri)
        bucket, key = split_uri(location)
        if version_id is not None and not self._is_versioned(bucket):
            raise InvalidArgument(uri, f"the bucket {bucket!r} has no versions")
        if not checksum:
            plain = f"s3://{bucket}/{key}"
            yield described(name or key, plain, plain, pin=Pin(version_id=version_id))
            return
        # A key that ends with "/" marks a directory; HEAD would only tell that it does.
        single = bool(key) and (not key.endswith("/") or version_id is not None)
        found = self._head(bucket, key, version_id) if single else None
        if found is None and version_id is not None:
            raise PathNotFound(uri, "there is no such version")
        if found is not None and (
            found.size_bytes or version_id or not self._has_below(bucket, key)
        ):
            # W&B tells the version of what it did not list even where there is none.
            version = {} if found.version_id == "null" else {"versionID": found.version_id}
            _tell_empty(uri, not found.size_bytes)
            yield _describe(bucket, found, single_path(key, name), version)
            return
        found_below = self._describe_below(bucket, key, uri, name, max_objects)
        yield from announced(found_below, listing_words(key, max_objects))

    def _describe_below(
        self, bucket: str, key: str, uri: str, name: str | None, max_objects: int | None
    ) -> Iterator[Found]:
        prefix, empty = prefix_of(key), 0
        objects = (Listed(each.key, each.size_bytes, each) for each in self._list(bucket, prefix))
        counted = limited(objects, uri, max_objects, counts=lambda item: item.size_bytes > 0)
        for item in placed(counted, uri, prefix, name):
            if not isinstance(item, tuple):
                yield item
                continue
            path, found = item[0], item[1].found
            empty += not found.size_bytes
            version = _only_set(versionID=_pin(found.etag, found.version_id).version_id)
            yield _describe(bucket, found, path, version)
        _tell_empty(uri, empty)

    def _has_below(self, bucket: str, key: str) -> bool:
        """Whether an empty object is there to mark a directory."""
        return next(self._list(bucket, prefix_of(key)), None) is not None

    def _standard_client(self) -> S3Client:
        return make_client(
            endpoint_url=configured_endpoint(),
            # One client has one limit: two attempts fit.
            read_timeout_s=self._policy.deadline_s / 2,
            attempts=1,
            connections=web.POOL_SIZE,
        )

    def _ask(self, subject: str, request: Callable[[S3Client], T]) -> T:
        return retrying(
            self._policy, lambda _: _translating(subject, lambda: request(self._client()))
        )

    def _is_versioned(self, bucket: str) -> bool:
        answer = self._ask(
            f"s3://{bucket}", lambda client: client.get_bucket_versioning(Bucket=bucket)
        )
        return answer.get("Status") in {"Enabled", "Suspended"}

    def _lists_versions(self, bucket: str) -> bool:
        try:
            return self._is_versioned(bucket)
        except PermissionDenied:
            # Versions are a stronger pin than ETags, but not one that everybody may see.
            return False

    def _head(self, bucket: str, key: str, version_id: str | None) -> _Object | None:
        """The object of exactly this key; None for a prefix."""
        uri = f"s3://{bucket}/{key}"
        versioned = _only_set(VersionId=version_id)
        try:
            answer = self._ask(
                uri, lambda client: head_object(client, Bucket=bucket, Key=key, **versioned)
            )
        except ReferenceChanged:
            return None
        if "x-directory" in answer.get("ContentType", ""):
            return None
        return _object(key, answer.get("ContentLength"), answer, uri)

    def _list(self, bucket: str, prefix: str) -> Iterator[_Object]:
        """All objects below a prefix."""
        versions = self._lists_versions(bucket)

        def pages(prefix: str, delimiter: str) -> Iterator[Page[_Object]]:
            for page in self._pages(bucket, prefix, versions=versions, delimiter=delimiter):
                subject = f"s3://{bucket}/{prefix}"
                below = [item.get("Prefix") or "" for item in page.get("CommonPrefixes", [])]
                if not all(each != prefix and each.startswith(prefix) for each in below):
                    raise BackendUnavailable(subject, "its listing has prefixes not below it")
                yield list(_objects(page, subject)), below

        return listed(pages, prefix)

    def _pages(
        self, bucket: str, prefix: str, *, versions: bool, delimiter: str
    ) -> Iterator[dict[str, Any]]:
        where: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        if delimiter:
            where["Delimiter"] = delimiter
        more: dict[str, Any] = {}
        while True:
            request = {**where, **more}
            page: Any = self._ask(
                f"s3://{bucket}/{prefix}",
                lambda client, request=request: (  # type: ignore[misc]
                    client.list_object_versions(**request)
                    if versions
                    else client.list_objects_v2(**request)
                ),
            )
            yield page
            if not page.get("IsTruncated"):
                return
            following = (
                _only_set(
                    KeyMarker=page.get("NextKeyMarker"),
                    VersionIdMarker=page.get("NextVersionIdMarker"),
                )
                if versions
                else _only_set(ContinuationToken=page.get("NextContinuationToken"))
            )
            if following in ({}, more):
                raise BackendUnavailable(
                    f"s3://{bucket}/{prefix}", "its listing does not say where it goes on"
                )
            more = following


class S3Source:
    """Implements Source."""

    def __init__(
        self,
        client: Callable[[], S3Client],
        reads: Callable[[], SignedReads],
        entry: ReferenceEntry,
        unconditional: set[str],
    ) -> None:
        """`unconditional` are buckets whose servers compare how an ETag is spelled."""
        self._bucket, self._key = split_uri(entry.uri)
        self._unconditional = unconditional
        self._was_refused = False
        self._client = client
        self._reads = reads
        self._uri = entry.uri
        self._pin = entry.pin
        self._size = entry.size_bytes

    def observe(self, *, timeout_s: float) -> Observed:  # noqa: ARG002 - the client has one
        """See Source."""
        answer = self._conditionally(
            lambda etag: head_object(
                self._client(),
                Bucket=self._bucket,
                Key=self._key,
                **_only_set(IfMatch=etag, VersionId=self._pin.version_id),
            )
        )
        size_bytes = answer.get("ContentLength")
        self._check(answer.get("ETag"), answer.get("VersionId"), size_bytes)
        pin = _pin(answer.get("ETag"), answer.get("VersionId"))
        return Observed(size_bytes, pin, archive_of(answer))

    def read(self, span: ByteRange, *, timeout_s: float) -> Body:
        """See Source."""
        asked = {"Range": f"bytes={span.start}-{span.stop - 1}"}
        answer = self._conditionally(
            lambda etag: self._reads().get(
                self._bucket,
                self._key,
                headers={**asked, "If-Match": etag} if etag else asked,
                version_id=self._pin.version_id,
                timeout_s=timeout_s,
            )
        )
        if answer.status >= 400:
            answer.raw.close()
            pause = answer.headers.get("Retry-After")
            raise web.status_error(self._uri, answer.status, retry_after=pause)
        try:
            codings.check_transfer(answer.headers, subject=self._uri)
            found = web.extent(answer.status, answer.headers, subject=self._uri)
            self._check(
                answer.headers.get("Etag"), answer.headers.get("X-Amz-Version-Id"), found.total
            )
            web.check_span(found, span, subject=self._uri)
            return bodies.body(answer.raw, found, subject=self._uri, whole=answer.status == 200)
        except BaseException:
            answer.raw.close()
            raise

    def open_local(self) -> None:
        """See Source."""
        return

    def _conditionally(self, ask: Callable[[str | None], T]) -> T:
        """The answer to a request that carries the pinned ETag, if the server understands it.

        One that compares spellings refuses what it would have spelled otherwise. Then the ETag of
        an answer without a condition decides, which is compared in any case.
        """
        etag = web.normal(self._pin.etag)
        if etag is None or web.is_weak(etag) or self._bucket in self._unconditional:
            return _translating(self._uri, lambda: ask(None))
        try:
            return _translating(self._uri, lambda: ask(etag))
        except SourceGone:
            raise
        except ReferenceChanged:
            answer = _translating(self._uri, lambda: ask(None))
            self._was_refused = True
            return answer

    def _check(self, etag: str | None, version_id: str | None, total: int | None) -> None:
        if self._pin.etag is not None and not web.agree(etag, self._pin.etag):
            raise ReferenceChanged(
                self._uri, f"pinned with ETag {self._pin.etag}, it now has {etag}"
            )
        if self._pin.version_id is not None and version_id not in {None, self._pin.version_id}:
            raise ReferenceChanged(
                self._uri, f"pinned at version {self._pin.version_id}, {version_id} came"
            )
        if self._was_refused:
            self._unconditional.add(self._bucket)
        if total is not None and self._size is not None and total != self._size:
            text = f"pinned at {self._size} bytes, it now says {total}"
            if self._pin.etag is not None or self._pin.version_id is not None:
                # The same object: somebody on the way lies about its length.
                raise TransientFailure(self._uri, text)
            raise ReferenceChanged(self._uri, text)


def _tell_empty(uri: str, count: int) -> None:
    if count:
        logger.warning(
            "%s: %d empty object(s) that W&B's manifest and digest leave out are kept", uri, count
        )


def _split_version(uri: str) -> tuple[str, str | None]:
    match = _VERSION.fullmatch(uri)
    return (match[1], match[2]) if match else (uri, None)


def _objects(page: dict[str, Any], subject: str) -> Iterator[_Object]:
    for item in page.get("Contents") or page.get("Versions") or []:
        if item.get("IsLatest", True):
            yield _object(item.get("Key"), item.get("Size"), item, subject)


def _object(key: str | None, size_bytes: int | None, told: Any, subject: str) -> _Object:
    """What an answer tells of an object. Raises: BackendUnavailable where that is too little."""
    if key is None or size_bytes is None:
        raise BackendUnavailable(subject, "its listing, or HEAD, tells no key or no size")
    modified = told.get("LastModified")
    mtime_ns = 0 if modified is None else int(modified.timestamp()) * 10**9
    return _Object(key, told.get("ETag") or "", size_bytes, told.get("VersionId"), mtime_ns)


def _describe(bucket: str, found: _Object, path: str, version: dict[str, str | None]) -> Found:
    pin = _pin(found.etag, found.version_id)
    digest = web.opaque(found.etag)
    return described(
        path,
        f"s3://{bucket}/{found.key}",
        digest if found.size_bytes else "",
        size_bytes=found.size_bytes,
        pin=pin,
        extra={"etag": digest, **version},
        mtime_ns=found.mtime_ns,
    )


def _pin(etag: str | None, version_id: str | None) -> Pin:
    # The version "null" is what stands there without one, and may be replaced.
    return Pin(etag=web.normal(etag), version_id=None if version_id == "null" else version_id)


def _only_set(**values: str | None) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _translating(subject: str, request: Callable[[], T]) -> T:
    try:
        return request()
    except ClientError as error:
        raise _answer_error(subject, error) from None
    except ParamValidationError as error:
        raise InvalidArgument(subject, " ".join(str(error).split())) from None
    except WITHOUT_CREDENTIALS as error:
        raise PermissionDenied(subject, str(error), hint=WITHOUT_CREDENTIALS_HINT) from None
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise TransientFailure(subject, web.reason(error), timed_out=True) from None
    except ArtfsError:
        raise
    except (ValueError, KeyError) as error:
        # What botocore makes of numbers and times that are none, and of keys that are missing.
        raise BackendUnavailable(subject, f"nonsense in a listing or an answer: {error}") from None
    except (BotoCoreError, *UNANSWERED) as error:
        raise web.failure(subject, error) from None


def _answer_error(subject: str, error: ClientError) -> ArtfsError:
    found = diagnosed(error)
    if found.trouble is Trouble.MISSING or status_of(error) in {405, 410}:
        return SourceGone(subject, f"it is gone ({code_of(error)})")
    if found.trouble in {Trouble.BUSY, Trouble.FULL}:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        wait_s = web.retry_after_s(headers.get("retry-after"))
        return TransientFailure(subject, found.reason, hint=found.hint, retry_after_s=wait_s)
    kind = _KINDS.get(found.trouble, BackendUnavailable)
    return kind(subject, found.reason, hint=found.hint)
