"""Ranged reads over HTTP for all schemes that end up there: requests, answers, errors.

Servers are not trusted to do what they were asked for. An answer is used only if its status and
its Content-Range say which bytes it holds; of its body see bodies.py.
Texts of errors never hold a URL that a request was redirected to: it may be signed. Credentials
go to the origin (scheme, host and port) that a URL names, and with no redirect to another one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import msgspec
import requests
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Retry

from artfs import forks
from artfs.errors import (
    ArtfsError,
    BackendUnavailable,
    InvalidArgument,
    PermissionDenied,
    ReferenceChanged,
)
from artfs.model import ByteRange
from artfs.references import codings
from artfs.references.base import SourceGone, TransientFailure
from artfs.references.destinations import DirectAdapter, check_host

_WEAK = "W/"

POOL_SIZE = 64
_MAX_REDIRECTS = 30
_MAX_IN_PASSING_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524})
_Credentials = (
    tuple[str, str] | Callable[[requests.PreparedRequest], requests.PreparedRequest] | None
)


def opaque(etag: str) -> str:
    """What stands between the quotes, all of it; without quotes everything but a `W/`."""
    text = etag.strip().removeprefix(_WEAK)
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def is_weak(etag: str) -> bool:
    """Whether it does not promise equal bytes; it never matches in an `If-Match`."""
    return etag.strip().startswith(_WEAK)


def normal(etag: str | None) -> str | None:
    """The form of the standard, which pins and requests have; None where there is no ETag."""
    if etag is None or not opaque(etag):
        return None
    return f'{_WEAK if is_weak(etag) else ""}"{opaque(etag)}"'


def agree(one: str | None, other: str | None) -> bool:
    """Whether two answers tell the same ETag."""
    return None not in {one, other} and opaque(one or "") == opaque(other or "")


class Extent(msgspec.Struct, frozen=True):
    """Which bytes an answer holds, as far as it says so."""

    start: int
    length: int | None
    total: int | None


class _HttpSession(requests.Session):
    """Without retries of its own, and with connections for many threads; a forked child has new
    ones.
    """

    def __init__(self) -> None:
        super().__init__()
        leave_redirects(self)
        # Cookies would go to every port and, if a server says so, to its neighbours.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._use_new_connections()
        forks.in_child(self._use_new_connections)

    def _use_new_connections(self) -> None:
        adapter = DirectAdapter(pool_maxsize=POOL_SIZE, max_retries=0)
        self.mount("http://", adapter)
        self.mount("https://", adapter)


def new_session() -> requests.Session:
    """A session without retries or cookies of its own and with connections for many threads."""
    return _HttpSession()


def leave_redirects(session: requests.Session) -> None:
    """Have a session follow none, and take in no answer that is one.

    Where it is told not to follow one it still makes out the next request: for that it reads the
    whole body, of whatever length, into memory, and what is no URL is an error of Python's own.
    """
    session.resolve_redirects = lambda *_, **__: iter(())  # type: ignore[method-assign]


def send(
    session: requests.Session,
    url: str,
    *,
    subject: str,
    headers: Mapping[str, str | None],
    timeout_s: float,
    strangers: bool = True,
    anonymous: bool = False,
) -> requests.Response:
    """GET, up to the answer's headers; a status of 400 or more is an error, but for 416.

    Credentials are those in `url`, else those of netrc; none at all with `anonymous`, for a URL
    that is signed or was chosen by a stranger. Redirects are followed; to another origin only with
    `strangers`, which a session that adds credentials by itself must not be led to.
    Blocks: `timeout_s`, with all redirects. Raises: as Source does, also for a transfer coding
    that is not known; InvalidArgument for a bad URL.
    """
    try:
        response, redirected = _follow(
            session,
            url,
            subject=subject,
            headers=headers,
            timeout_s=timeout_s,
            strangers=strangers,
            anonymous=anonymous,
        )
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        LocationParseError,
    ) as error:
        raise InvalidArgument(
            subject, f"not a URL that can be asked for ({reason(error)})"
        ) from None
    except (requests.exceptions.RequestException, HTTPError, OSError) as error:
        raise failure(subject, error) from None
    if response.status_code < 400 or response.status_code == 416:
        try:
            codings.check_transfer(response.headers, subject=subject)
        except BackendUnavailable:
            response.close()
            raise
        return response
    with response:
        raise status_error(
            subject,
            response.status_code,
            retry_after=asked_pause(response),
            redirected=redirected,
        )


def _follow(
    session: requests.Session,
    url: str,
    *,
    subject: str,
    headers: Mapping[str, str | None],
    timeout_s: float,
    strangers: bool,
    anonymous: bool,
) -> tuple[requests.Response, bool]:
    """The answer behind all redirects, and whether there were any."""
    named = _CredentialScope.of(url)
    credentials: _Credentials
    credentials, url = _own_credentials(url)
    if anonymous:
        credentials = nothing
    until_s = time.monotonic() + timeout_s
    for hop in range(_MAX_REDIRECTS + 1):
        check_host(urlsplit(url).hostname or "")
        remaining_s = until_s - time.monotonic()
        if remaining_s <= 0:
            raise TransientFailure(subject, "redirects take too long", timed_out=True)
        response = session.get(
            url,
            headers=headers,
            stream=True,
            timeout=timeout_s if hop == 0 else remaining_s,
            allow_redirects=False,
            auth=credentials,
        )
        if not response.is_redirect:
            return response, hop > 0
        with response:
            _pass_by(response, remaining_s)
        url = _redirected(session, url, response, subject=subject)
        if _CredentialScope.of(url) != named:
            if not strangers:
                raise BackendUnavailable(subject, "redirected to another server: not followed")
            # For good: what a stranger redirects back to is the stranger's choice.
            credentials = nothing
    raise BackendUnavailable(subject, "redirects without end")


def _pass_by(response: requests.Response, timeout_s: float) -> None:
    """Read what is short and comes at once, so that its connection can be used again."""
    if (content_length(response.headers) or codings.PIECE_BYTES) >= _MAX_IN_PASSING_BYTES:
        return
    began_s = time.monotonic()
    with suppress(HTTPError, OSError):
        while response.raw.read1(_MAX_IN_PASSING_BYTES, decode_content=False):
            if time.monotonic() - began_s > timeout_s:
                return


def _redirected(
    session: requests.Session, url: str, response: requests.Response, *, subject: str
) -> str:
    """Where a redirect leads. Raises: PermissionDenied, BackendUnavailable."""
    try:
        target = session.get_redirect_target(response) or ""
        found = urldefrag(urljoin(url, requests.utils.requote_uri(target))).url
        _CredentialScope.of(found)
    except ValueError:
        raise BackendUnavailable(subject, "redirected to what is no URL") from None
    if urlsplit(url).scheme == "https" != urlsplit(found).scheme:
        raise PermissionDenied(
            subject,
            "redirected from https to http, where others can read and change it",
            hint="refer to the http:// address itself if that may be",
        )
    return _own_credentials(found)[1]


class _CredentialScope(msgspec.Struct, frozen=True):
    """Who credentials are for."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, url: str) -> _CredentialScope:
        """That of a URL. Raises: requests' InvalidURL."""
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            raise requests.exceptions.InvalidURL("not a URL") from None
        return cls(parts.scheme, (parts.hostname or "").rstrip("."), port)


def nothing(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """As credentials: none, not even those of netrc."""
    return request


def _own_credentials(url: str) -> tuple[tuple[str, str] | None, str]:
    """User and password in a URL, and the URL without them."""
    parts = urlsplit(url)
    user_info, at, place = parts.netloc.rpartition("@")
    if not at:
        return None, url
    user, _, password = user_info.partition(":")
    return (unquote(user), unquote(password)), parts._replace(netloc=place).geturl()


def status_error(
    subject: str, status: int, *, retry_after: str | None = None, redirected: bool = False
) -> ArtfsError:
    """What a status of 400 or more means to somebody who reads a pinned object."""
    if status in {404, 410}:
        return SourceGone(subject, f"it is gone (status {status})")
    if status == 412:
        return ReferenceChanged(subject, "it no longer matches its pin (status 412)")
    if status in {401, 403}:
        if redirected:
            # The address that it led to may have been signed for a moment that is over.
            return TransientFailure(subject, f"refused after a redirect (status {status})")
        return PermissionDenied(subject, f"refused (status {status})", hint="check credentials")
    text = f"the server answered with status {status}"
    if status in _TRANSIENT:
        return TransientFailure(subject, text, retry_after_s=retry_after_s(retry_after))
    return BackendUnavailable(subject, text)


def extent(status: int, headers: Mapping[str, str], *, subject: str) -> Extent:
    """Which bytes an answer of status 200, 206 or 416 holds.

    Raises: BackendUnavailable for another status; TransientFailure where it says nonsense, or a
    length that is not that of its range.
    """
    if status == 200:
        total = content_length(headers)
        return Extent(0, total, total)
    if status not in {206, 416}:
        raise BackendUnavailable(subject, f"the server answered a range with status {status}")
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is not None:
        total = None if match[3] == "*" else int(match[3])
        if match[1] is None:
            return Extent(0, 0, total)
        start, last = int(match[1]), int(match[2])
        length = last - start + 1
        # Another length is that of bytes which somebody compressed on the way.
        is_whole = headers.get("Content-Length", "").strip() in {"", str(length)}
        if is_whole and length > 0 and (total is None or last < total):
            return Extent(start, length, total)
    raise TransientFailure(subject, f"the server answered a range with nonsense (status {status})")


def content_length(headers: Mapping[str, str]) -> int | None:
    """The content's length; None where none is said, or only that of the coded content."""
    text = headers.get("Content-Length", "")
    # A file has less than 2**63 bytes, and text of any length is no number.
    return int(text) if _LENGTH.fullmatch(text) and not codings.names(headers) else None


def is_coded(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer holds content whose bytes and offsets are not those of the object."""
    # The coding of any other answer is that of a page about an error.
    return status in {200, 206} and bool(codings.names(headers))


def not_a_coded_part(
    response: requests.Response, ask_for_all: Callable[[], requests.Response], *, subject: str
) -> requests.Response:
    """An answer to a request for a range; in place of a coded part, which is of no use, all.

    Blocks, and raises: as `ask_for_all`; BackendUnavailable where a coded part comes again.
    """
    if not (response.status_code == 206 and is_coded(206, response.headers)):
        return response
    response.close()
    response = ask_for_all()
    if response.status_code == 206 and is_coded(206, response.headers):
        response.close()
        raise BackendUnavailable(subject, "its server sends parts of what it compressed")
    return response


def check_span(found: Extent, span: ByteRange, *, subject: str) -> None:
    """Raises: TransientFailure where an answer cannot hold the first byte of `span`."""
    if found.start > span.start or (
        found.length is not None and found.start + found.length <= span.start
    ):
        raise TransientFailure(subject, "the server answered with another range")


def failure(subject: str, error: BaseException) -> TransientFailure:
    """A request that came to nothing."""
    return TransientFailure(subject, reason(error), timed_out=is_timeout(error))


def is_timeout(error: BaseException) -> bool:
    """Whether a request failed because nothing came."""
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        # For urllib3 a refusal is a timeout, too.
        return False
    return isinstance(
        error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
    )


def reason(error: BaseException) -> str:
    """Why a request failed, in few words and without any URL."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "could not connect in time"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        nested = getattr(seen, "reason", None)
        arguments = [nested, *seen.args, seen.__cause__, seen.__context__]
        seen = next((item for item in arguments if isinstance(item, BaseException)), None)
    return type(error).__name__


def asked_pause(response: requests.Response) -> str | None:
    """How long a server asks to be left alone, as it says it: RateLimit-Reset is seconds, too."""
    found: str | None = response.headers.get("Retry-After")
    if found is None and response.status_code == 429:
        found = response.headers.get("RateLimit-Reset")
    return found


def retry_after_s(text: str | None) -> float | None:
    """A Retry-After header in seconds from now; None where there is no usable one."""
    if not text:
        return None
    try:
        return max(0.0, Retry().parse_retry_after(text))
    except (HTTPError, ValueError, OverflowError):
        return None


def mtime_ns(last_modified: str | None) -> int:
    """A Last-Modified header in nanoseconds since 1970; 0 where there is no usable one."""
    try:
        return int(parsedate_to_datetime(last_modified or "").timestamp()) * 10**9
    except (ValueError, TypeError, OverflowError):
        return 0
