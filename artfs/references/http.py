"""`http://` and `https://`: pinned by ETag, else by Last-Modified and size.

Content is asked for unencoded. A server that compresses it none the less, or ignores ranges, is
read from its beginning; a coding that artfs does not know is refused. Credentials come from netrc,
proxies from the environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import basename

import requests

from artfs.credentials import without_credentials
from artfs.errors import (
    BackendUnavailable,
    PermissionDenied,
    ReferenceChanged,
    SourceNotFound,
    SourceRefused,
    SourceUnavailable,
)
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.model import ByteRange
from artfs.references import bodies, codings, web
from artfs.references.base import (
    Body,
    Described,
    Observed,
    Source,
    SourceGone,
    TransientFailure,
    described,
)
from artfs.references.retry import Deadline, RetryPolicy, retrying

_IDENTITY = {"Accept-Encoding": "identity"}


class HttpHandler:
    """Implements ReferenceHandler for http and https."""

    def __init__(
        self, session: requests.Session | None = None, *, policy: RetryPolicy | None = None
    ) -> None:
        self._session = session or web.new_session()
        self._policy = policy or RetryPolicy.standard()

    def describe(
        self,
        uri: str,
        *,
        name: str | None,
        checksum: bool,
        max_objects: int | None,  # noqa: ARG002 - a URL is one object
    ) -> Iterator[Described]:
        """See ReferenceHandler. Without `checksum` no request is made."""
        public = without_credentials(uri)
        path = name or basename(public)
        if not checksum:
            yield described(path, public, public)
            return
        try:
            yield retrying(self._policy, lambda deadline: self._ask(uri, public, path, deadline))
        except ReferenceChanged as error:
            raise SourceNotFound(public, error.reason) from None
        except PermissionDenied as error:
            raise SourceRefused(public, error.reason, hint=error.hint) from None
        except BackendUnavailable as error:
            raise SourceUnavailable(public, error.reason, hint=error.hint) from None

    def open(self, entry: ReferenceEntry) -> Source:
        """See ReferenceHandler."""
        return HttpSource(self._session, entry)

    def _ask(self, uri: str, public: str, path: str, deadline: Deadline) -> Described:
        # With the headers that W&B sends: a server may have one ETag per encoding.
        with web.send(
            self._session, uri, subject=public, headers={}, timeout_s=deadline.step_s
        ) as response:
            headers = response.headers
        etag = headers.get("ETag")
        size_bytes, pin = web.content_length(headers), _pin(headers)
        if codings.names(headers):
            observed = _observe(self._session, uri, public, timeout_s=deadline.step_s)
            size_bytes, pin = observed.size_bytes, observed.pin
        return described(
            path,
            public,
            _digest(etag) or public,
            size_bytes=size_bytes,
            pin=pin,
            extra={"etag": etag} if etag else {},
            mtime_ns=web.mtime_ns(headers.get("Last-Modified")),
        )


class HttpSource:
    """Implements Source."""

    def __init__(self, session: requests.Session, entry: ReferenceEntry) -> None:
        self._session = session
        self._uri = entry.uri
        self._pin = entry.pin
        self._size = entry.size_bytes

    def observe(self, *, timeout_s: float) -> Observed:
        """See Source."""
        observed = _observe(self._session, self._uri, self._uri, pin=self._pin, timeout_s=timeout_s)
        self._check_size(observed.size_bytes, has_etag=observed.pin.etag is not None)
        return observed

    def read(self, span: ByteRange, *, timeout_s: float) -> Body:
        """See Source."""
        # A range of what has no known size says nothing about the rest.
        is_all = self._size is None and span.start == 0
        asked = {} if is_all else {"Range": f"bytes={span.start}-{span.stop - 1}"}
        response = web.not_a_coded_part(
            self._get(asked, timeout_s), lambda: self._get({}, timeout_s), subject=self._uri
        )
        try:
            return self._body(response, span)
        except BaseException:
            response.close()
            raise

    def open_local(self) -> None:
        """See Source."""
        return

    def _get(self, headers: dict[str, str], timeout_s: float) -> requests.Response:
        return _ask(
            self._session,
            self._uri,
            subject=self._uri,
            pin=self._pin,
            headers=headers,
            timeout_s=timeout_s,
        )

    def _body(self, response: requests.Response, span: ByteRange) -> Body:
        headers = response.headers
        _check_pin(headers, self._pin, subject=self._uri)
        if web.is_coded(response.status_code, headers):
            return bodies.decoded_body(response.raw, subject=self._uri)
        found = web.extent(response.status_code, headers, subject=self._uri)
        self._check_size(found.total, has_etag="ETag" in headers)
        web.check_span(found, span, subject=self._uri)
        whole = response.status_code == 200
        return bodies.body(response.raw, found, subject=self._uri, whole=whole)

    def _check_size(self, total: int | None, *, has_etag: bool) -> None:
        if total is None or self._size is None or total == self._size:
            return
        text = f"pinned at {self._size} bytes, it now says {total}"
        if has_etag and self._pin.etag is not None:
            # The same content by its ETag: somebody on the way lies about its length.
            raise TransientFailure(self._uri, text)
        raise ReferenceChanged(self._uri, text)


def _observe(
    session: requests.Session, url: str, subject: str, *, pin: Pin | None = None, timeout_s: float
) -> Observed:
    """Size and pin by a request for one byte: unlike HEAD, signed URLs allow it."""
    wanted = pin or Pin()
    first_byte = {"Range": "bytes=0-0"}
    with _ask(
        session, url, subject=subject, pin=wanted, headers=first_byte, timeout_s=timeout_s
    ) as response:
        status, answer = response.status_code, response.headers
    if status == 416:
        # Nothing has no first byte; and this answer need not say what it is an answer about.
        with _ask(
            session, url, subject=subject, pin=wanted, headers={}, timeout_s=timeout_s
        ) as response:
            status, answer = response.status_code, response.headers
    if pin is not None:
        _check_pin(answer, pin, subject=subject)
    if web.is_coded(status, answer):
        codings.decodable(answer, subject=subject)
        return Observed(None, _pin(answer))
    return Observed(web.extent(status, answer, subject=subject).total, _pin(answer))


def _ask(
    session: requests.Session,
    url: str,
    *,
    subject: str,
    pin: Pin,
    headers: dict[str, str],
    timeout_s: float,
) -> requests.Response:
    """The answer to a GET that carries the pin; see web.send.

    A server that compares spellings refuses an ETag that it would have spelled otherwise. Then
    that of an answer without a condition decides, which is compared in any case.
    """
    conditions = _conditions(pin)
    plain = {**_IDENTITY, **headers}
    try:
        return web.send(
            session, url, subject=subject, headers={**conditions, **plain}, timeout_s=timeout_s
        )
    except SourceGone:
        raise
    except ReferenceChanged:
        if "If-Match" not in conditions:
            raise
        return web.send(session, url, subject=subject, headers=plain, timeout_s=timeout_s)


def _digest(etag: str | None) -> str | None:
    """W&B's digest of an ETag: quotes are removed only if it both begins and ends with one."""
    if etag and etag[:1] == etag[-1:] == '"':
        return etag[1:-1]
    return etag


def _pin(headers: requests.structures.CaseInsensitiveDict[str]) -> Pin:
    etag, last_modified = headers.get("ETag"), headers.get("Last-Modified")
    if etag and not web.is_weak(etag):
        return Pin(etag=web.normal(etag))
    return Pin(etag=web.normal(etag), last_modified=last_modified or None)


def _conditions(pin: Pin) -> dict[str, str]:
    # A weak ETag never matches If-Match: such a pin is compared with the answer's headers.
    etag = web.normal(pin.etag)
    if etag and not web.is_weak(etag):
        return {"If-Match": etag}
    if pin.last_modified:
        return {"If-Unmodified-Since": pin.last_modified}
    return {}


def _check_pin(
    headers: requests.structures.CaseInsensitiveDict[str], pin: Pin, *, subject: str
) -> None:
    """Servers may ignore conditions, so every answer is compared as well."""
    etag, last_modified = headers.get("ETag"), headers.get("Last-Modified")
    if pin.etag is not None and not web.agree(etag, pin.etag):
        raise ReferenceChanged(subject, f"pinned with ETag {pin.etag}, it now has {etag or 'none'}")
    if pin.last_modified is not None and last_modified != pin.last_modified:
        raise ReferenceChanged(
            subject,
            f"pinned as modified {pin.last_modified}, it now says {last_modified or 'nothing'}",
        )
