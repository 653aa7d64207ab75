"""`gs://`: objects of Google Cloud Storage, pinned by generation and md5. Needs the extra `gcs`.

Credentials are Google's application default ones. An object that is stored compressed is shown
as it is stored: that is what its size and md5 are of.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

import requests

from artfs.errors import (
    ArtfsError,
    InvalidArgument,
    PathNotFound,
    PermissionDenied,
    ReferenceChanged,
    Unsupported,
)
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.model import ByteRange
from artfs.references import bodies, codings, web
from artfs.references.base import (
    Body,
    Found,
    Observed,
    Source,
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
from artfs.references.retry import Deadline, RetryPolicy, retrying
from artfs.references.sessionreads import SessionReads
from artfs.system import httpget
from artfs.system.httpget import UNANSWERED, RawBody
from artfs.system.threads import Once

if TYPE_CHECKING:
    from google.cloud.storage import Client

T = TypeVar("T")

_GENERATION = re.compile(r"(.*)#(\d+)", re.DOTALL)
_MD5_BYTES = 16
# Asks for the bytes that are stored: of compressed ones no ranges would be served otherwise.
_HEADERS = {"Accept-Encoding": "gzip"}


class GcsHandler:
    """Implements ReferenceHandler and PreparingHandler."""

    def __init__(
        self, client: Callable[[], Client] | None = None, *, policy: RetryPolicy | None = None
    ) -> None:
        """`client` is called once, when one is needed."""
        self._client = Once(client or _standard_client)
        self._reads = SessionReads()
        self._policy = policy or RetryPolicy.standard()

    def describe(
        self, uri: str, *, name: str | None, checksum: bool, max_objects: int | None
    ) -> Iterator[Found]:
        """See ReferenceHandler."""
        location, generation = _split_generation(uri)
        bucket, key = split_uri(location)
        if generation is not None and not self._is_versioned(bucket):
            raise InvalidArgument(uri, f"the bucket {bucket!r} has no versions")
        if not checksum:
            plain = f"gs://{bucket}/{key}"
            yield described(name or key, plain, plain, pin=Pin(generation=generation))
            return
        # A key that ends with "/" marks a directory.
        single = bool(key) and (not key.endswith("/") or generation is not None)
        found = self._get(bucket, key, generation) if single else None
        if found is None and generation is not None:
            raise PathNotFound(uri, "there is no such generation")
        # An empty object may be there only to mark a directory.
        if found is not None and (
            found.size or generation or next(self._list(bucket, prefix_of(key)), None) is None
        ):
            yield _describe(bucket, found, single_path(key, name))
            return
        found_below = self._describe_below(bucket, key, uri, name, max_objects)
        yield from announced(found_below, listing_words(key, max_objects))

    def _describe_below(
        self, bucket: str, key: str, uri: str, name: str | None, max_objects: int | None
    ) -> Iterator[Found]:
        prefix = prefix_of(key)
        objects = (Listed(each.name, each.size or 0, each) for each in self._list(bucket, prefix))
        counted = limited(objects, uri, max_objects, counts=lambda item: not item.is_marker)
        for item in placed(counted, uri, prefix, name):
            yield _describe(bucket, item[1].found, item[0]) if isinstance(item, tuple) else item

    def open(self, entry: ReferenceEntry) -> Source:
        """See ReferenceHandler."""
        return GcsSource(self._client, self._reads, entry)

    def prepare(self) -> None:
        """See PreparingHandler."""
        _translating("gs", self._client)

    def _ask(self, subject: str, request: Callable[[Client, Deadline], T]) -> T:
        return retrying(
            self._policy,
            lambda deadline: _asking(
                self._client, subject, lambda client: request(client, deadline)
            ),
        )

    def _is_versioned(self, bucket: str) -> bool:
        def ask(client: Client, deadline: Deadline) -> bool:
            found = client.get_bucket(bucket, timeout=deadline.step_s, retry=None)
            return bool(found.versioning_enabled)

        try:
            return self._ask(f"gs://{bucket}", ask)
        except PermissionDenied:
            # Who may read objects need not be allowed to ask about their bucket.
            return True
        except ReferenceChanged:
            raise PathNotFound(f"gs://{bucket}", "there is no such bucket") from None

    def _get(self, bucket: str, key: str, generation: int | None) -> Any:
        return self._ask(
            f"gs://{bucket}/{key}",
            lambda client, deadline: client.bucket(bucket).get_blob(
                key, generation=generation, timeout=deadline.step_s, retry=None
            ),
        )

    def _list(self, bucket: str, prefix: str) -> Iterator[Any]:
        """All objects below a prefix."""
        return listed(partial(self._pages, bucket), prefix)

    def _pages(self, bucket: str, prefix: str, delimiter: str) -> Iterator[Page[Any]]:
        token: str | None = None
        subject = f"gs://{bucket}/{prefix}"

        def ask(client: Client, deadline: Deadline) -> tuple[Page[Any], str | None]:
            pages = client.list_blobs(
                bucket,
                prefix=prefix,
                delimiter=delimiter or None,
                page_token=token,
                timeout=deadline.step_s,
                retry=None,
            )
            blobs = list(next(pages.pages, []))
            return (blobs, sorted(pages.prefixes)), pages.next_page_token

        while True:
            try:
                page, token = self._ask(subject, ask)
            except ReferenceChanged:
                raise PathNotFound(f"gs://{bucket}", "there is no such bucket") from None
            yield page
            if not token:
                return


class GcsSource:
    """Implements Source."""

    def __init__(self, client: Once[Client], reads: SessionReads, entry: ReferenceEntry) -> None:
        self._client = client
        self._reads = reads
        self._uri = entry.uri
        self._bucket, self._key = split_uri(entry.uri)
        self._generation = entry.pin.generation
        self._size = entry.size_bytes
        # Servers but Google's own may send any generation without saying which.
        self._ask_first = False

    def observe(self, *, timeout_s: float) -> Observed:
        """See Source."""
        response = self._get("", {}, timeout_s)
        found = bodies.json_of(response, subject=self._uri, timeout_s=timeout_s)
        try:
            size_bytes, generation = int(found["size"]), int(found["generation"])
            pin = _pin(generation, found.get("md5Hash"))
        except (KeyError, TypeError, ValueError) as error:
            raise TransientFailure(self._uri, f"nonsense about an object ({error!r})") from None
        self._check(str(generation), size_bytes)
        return Observed(size_bytes, pin)

    def read(self, span: ByteRange, *, timeout_s: float) -> Body:
        """See Source."""
        if self._ask_first:
            self.observe(timeout_s=timeout_s)
        asked = {**_HEADERS, "Range": f"bytes={span.start}-{span.stop - 1}"}
        status, headers, raw = self._ask_for_bytes(asked, timeout_s)
        try:
            codings.check_transfer(headers, subject=self._uri)
            found = web.extent(status, headers, subject=self._uri)
            generation = headers.get("X-Goog-Generation")
            if generation is None and self._generation is not None and not self._ask_first:
                raw.close()
                self._ask_first = True
                return self.read(span, timeout_s=timeout_s)
            self._check(generation, found.total)
            web.check_span(found, span, subject=self._uri)
        except BaseException:
            raw.close()
            raise
        return bodies.body(raw, found, subject=self._uri, whole=status == 200)

    def open_local(self) -> None:
        """See Source."""
        return

    def _ask_for_bytes(
        self, headers: dict[str, str], timeout_s: float
    ) -> tuple[int, Mapping[str, str], RawBody]:
        """Status, headers and body of an answer."""

        def send(client: Client) -> httpget.Answer | None:
            session: Any = client._http  # noqa: SLF001 - the session has no other name

            def sign(url: str, to_sign: dict[str, str]) -> None:
                ask = partial(session._auth_request, timeout=timeout_s)  # noqa: SLF001 - see above
                session.credentials.before_request(ask, "GET", url, to_sign)

            return self._reads.get(
                session,
                self._url(client, "/download"),
                headers=headers,
                sign=sign,
                timeout_s=timeout_s,
            )

        answer = _asking(self._client, self._uri, send)
        if answer is not None and answer.status >= 400:
            answer.raw.close()
            pause = answer.headers.get("Retry-After")
            raise web.status_error(self._uri, answer.status, retry_after=pause)
        if answer is not None:
            return answer.status, answer.headers, answer.raw
        response = self._get("/download", headers, timeout_s)
        return response.status_code, response.headers, response.raw

    def _get(self, kind: str, headers: dict[str, str], timeout_s: float) -> requests.Response:
        def send(client: Client) -> requests.Response:
            # The client's own requests hand out bytes only when a whole piece is there.
            session: requests.Session = client._http  # noqa: SLF001
            return web.send(
                session,
                self._url(client, kind),
                subject=self._uri,
                headers=headers,
                timeout_s=timeout_s,
                strangers=False,
            )

        return _asking(self._client, self._uri, send)

    def _url(self, client: Client, kind: str) -> str:
        query: dict[str, str | int] = {"alt": "media"} if kind else {}
        if self._generation is not None:
            query |= {"generation": self._generation, "ifGenerationMatch": self._generation}
        endpoint = client.api_endpoint.rstrip("/")
        path = f"b/{quote(self._bucket, safe='')}/o/{quote(self._key, safe='')}"
        return f"{endpoint}{kind}/storage/v1/{path}?{urlencode(query)}"

    def _check(self, generation: str | None, total: int | None) -> None:
        if self._generation is not None and generation not in {None, str(self._generation)}:
            raise ReferenceChanged(
                self._uri, f"pinned at generation {self._generation}, {generation} came"
            )
        if total is None or self._size is None or total == self._size:
            return
        text = f"pinned at {self._size} bytes, it now says {total}"
        if generation is not None and self._generation is not None:
            # The same object: somebody on the way lies about its length.
            raise TransientFailure(self._uri, text)
        raise ReferenceChanged(self._uri, text)


def _standard_client() -> Client:
    from google.cloud import storage  # noqa: PLC0415 - an extra, and slow to import

    client = storage.Client()
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=web.POOL_SIZE, max_retries=0)
    client._http.mount("https://", adapter)  # noqa: SLF001 - the session has no other name
    web.leave_redirects(client._http)  # noqa: SLF001
    return client


def _asking(clients: Once[Client], subject: str, request: Callable[[Client], T]) -> T:
    """What a request gives; one that is refused is sent once more, with the credentials of now."""
    client = _translating(subject, clients)
    try:
        return _translating(subject, lambda: request(client))
    except PermissionDenied:
        newer = _translating(subject, lambda: clients.renew(client))
        return _translating(subject, lambda: request(newer))


def _translating(subject: str, request: Callable[[], T]) -> T:
    try:
        import_module("google.cloud.storage")
    except ImportError:
        raise Unsupported(
            subject, "google-cloud-storage is not installed", hint="pip install 'artfs[gcs]'"
        ) from None
    from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415 - an extra
    from google.auth.exceptions import (  # noqa: PLC0415 - an extra
        DefaultCredentialsError,
        GoogleAuthError,
        RefreshError,
    )

    try:
        return request()
    except GoogleAPICallError as error:
        headers = getattr(error.response, "headers", None) or {}
        raise web.status_error(
            subject, error.code or 0, retry_after=headers.get("Retry-After")
        ) from None
    except (DefaultCredentialsError, RefreshError) as error:
        reason = " ".join(str(error.args[0] if error.args else error).split())
        raise PermissionDenied(
            subject, reason, hint="run `gcloud auth application-default login`"
        ) from None
    except ArtfsError:
        raise
    except (GoogleAuthError, requests.exceptions.RequestException, *UNANSWERED) as error:
        raise web.failure(subject, error) from None


def _split_generation(uri: str) -> tuple[str, int | None]:
    match = _GENERATION.fullmatch(uri)
    return (match[1], int(match[2])) if match else (uri, None)


def _pin(generation: int, md5_hash: str | None) -> Pin:
    # Composite objects have no md5.
    md5 = b64decode(md5_hash) if md5_hash else None
    return Pin(generation=generation, md5=md5 if md5 and len(md5) == _MD5_BYTES else None)


def _describe(bucket: str, blob: Any, path: str) -> Found:
    mtime_ns = int(blob.updated.timestamp()) * 10**9 if blob.updated else 0
    return described(
        path,
        f"gs://{bucket}/{blob.name}",
        # Without an md5 what later clients of W&B take for all objects.
        blob.md5_hash or blob.etag,
        size_bytes=blob.size,
        pin=_pin(blob.generation, blob.md5_hash),
        extra={"etag": blob.etag, "versionID": blob.generation},
        mtime_ns=mtime_ns,
    )
