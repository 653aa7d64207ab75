"""Asking a W&B server: GraphQL, and the addresses that it gives.

Nothing that it says is trusted: answers have limits, shapes and an end. The key goes to the
server itself, never to where it redirects, nor into a text.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote, urljoin, urlsplit

import msgspec
import requests
from urllib3.exceptions import HTTPError

from artfs.decoding import analysed
from artfs.errors import (
    UNDECODABLE,
    ArtfsError,
    ArtifactNotFound,
    BackendUnavailable,
    PermissionDenied,
    ReferenceChanged,
)
from artfs.references import web
from artfs.references.base import TransientFailure
from artfs.references.bodies import decoded
from artfs.references.destinations import check_host
from artfs.references.retry import Deadline, RetryPolicy, retrying
from artfs.references.sessionreads import SessionReads
from artfs.system import httpget
from artfs.wandbstore.address import ServerAddress
from artfs.wandbstore.keys import KEY_VARIABLE, URL_VARIABLE, find_key

T = TypeVar("T")

_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024
_MAX_MESSAGE_CHARS = 200
_HEADERS = {"Content-Type": "application/json", "User-Agent": "artfs"}


class _Error(msgspec.Struct):
    message: str = "no reason"


class _Answer(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    errors: list[_Error] | None = None


class QueryRefused(BackendUnavailable):
    """The server does not answer this query: it is older or newer, or means no."""


class WandbServer:
    """One server, asked with one key. Thread-safe."""

    def __init__(
        self, address: ServerAddress, *, named: bool, policy: RetryPolicy | None = None
    ) -> None:
        """`named`: see find_key. Blocks: on small files. Raises: ConfigError."""
        self.address = address
        self.base_url = address.base_url
        self.policy = policy or RetryPolicy.standard()
        self.session = web.new_session()
        self._key = find_key(address, named=named)
        self._reads = SessionReads()
        self.answers_itself = False
        """Whether it sends content, where W&B's own redirects to its buckets."""

    @property
    def subject(self) -> str:
        """What errors call it."""
        return str(self.address)

    def ask(self, query: str, shape: type[T], **variables: object) -> T:
        """The `data` that a query is answered with, which has this shape.

        Blocks: as the retry policy says. Raises: QueryRefused, ArtifactNotFound, PermissionDenied,
        BackendUnavailable.
        """
        body = msgspec.json.encode({"query": query, "variables": variables})
        text = retrying(self.policy, lambda deadline: self._post(body, deadline))
        answer = self._decoded(text, _Answer)
        if answer.errors:
            raise QueryRefused(self.subject, _said(answer.errors))
        if bytes(answer.data) == b"null":
            raise self._nonsense("no data")
        # Numbers of 64 bits are texts in some answers.
        return self._decoded(bytes(answer.data), shape)

    def fetch(self, url: str, *, limit_bytes: int, deadline: Deadline) -> bytes:
        """All that is at an address which the server gave: it has its own right, and gets no key.

        Raises: TransientFailure, also where the address has expired: ask for a new one.
        """
        try:
            response = web.send(
                self.session,
                self.absolute(url),
                subject=self.subject,
                headers={},
                timeout_s=deadline.step_s,
                anonymous=True,
            )
        except (PermissionDenied, ReferenceChanged) as error:
            raise TransientFailure(self.subject, f"its own address {error.reason}") from None
        with response:
            return self._body(response, limit_bytes, deadline)

    def absolute(self, url: str) -> str:
        """An address that the server gave, perhaps without its host. Raises: BackendUnavailable."""
        try:
            found = urljoin(self.base_url, url)
            scheme = urlsplit(found).scheme
        except ValueError:
            raise self._nonsense("an address that is no URL") from None
        if scheme not in {"http", "https"} or (
            scheme == "http" and self.base_url.startswith("https:")
        ):
            raise self._nonsense("an address that is not https")
        return found

    def with_key(self, path: str) -> str:
        """The URL of something on the server, the key in it: for `web.send`, never for a text."""
        if self._key is None:
            return f"{self.base_url}{path}"
        scheme, _, host = self.base_url.partition("://")
        return f"{scheme}://api:{quote(self._key, safe='')}@{host}{path}"

    def read(
        self, path: str, headers: Mapping[str, str], *, timeout_s: float
    ) -> httpget.Answer | None:
        """What a server answers that was seen to answer itself; None: the session has to ask.

        Blocks: `timeout_s` for each step. Raises: TransientFailure, PermissionDenied.
        """
        if self._key is None or not self.answers_itself:
            return None
        token = b64encode(f"api:{self._key}".encode()).decode()
        signed = {**headers, "Authorization": f"Basic {token}"}
        try:
            answer = self._reads.get(
                self.session,
                f"{self.base_url}{path}",
                headers=signed,
                sign=lambda _url, _headers: None,
                timeout_s=timeout_s,
            )
        except httpget.UNANSWERED as error:
            raise web.failure(self.subject, error) from None
        self.answers_itself = answer is not None
        return answer

    @property
    def has_key(self) -> bool:
        """Whether there is a key to ask with."""
        return self._key is not None

    @property
    def key_hint(self) -> str:
        """What to do where the server refuses."""
        if self._key is None:
            return (
                f"no key was found: set {KEY_VARIABLE} and {URL_VARIABLE}={self.base_url}, "
                f"or leave it in ~/.netrc"
            )
        return f"another key? {KEY_VARIABLE}, ~/.netrc and W&B's settings are looked into"

    def _post(self, body: bytes, deadline: Deadline) -> bytes:
        check_host(urlsplit(self.base_url).hostname or "")
        try:
            response = self.session.post(
                f"{self.base_url}/graphql",
                data=body,
                headers=_HEADERS,
                auth=("api", self._key) if self._key else web.nothing,
                timeout=deadline.step_s,
                allow_redirects=False,
                stream=True,
            )
        except (requests.exceptions.RequestException, HTTPError, OSError) as error:
            raise web.failure(self.subject, error) from None
        with response:
            if response.status_code == 200:
                return self._body(response, _MAX_ANSWER_BYTES, deadline)
            raise self._refusal(response, deadline)

    def _refusal(self, response: requests.Response, deadline: Deadline) -> ArtfsError:
        status = response.status_code
        if status in {401, 403}:
            return PermissionDenied(self.subject, f"refused (status {status})", hint=self.key_hint)
        if 300 <= status < 400:
            return BackendUnavailable(
                self.subject, "redirects to another address", hint="name that address instead"
            )
        error = web.status_error(self.subject, status, retry_after=web.asked_pause(response))
        if isinstance(error, TransientFailure):
            return error
        try:
            text = self._body(response, _MAX_ERROR_BYTES, deadline)
            said = msgspec.json.decode(text, type=analysed(_Answer)).errors
        except (BackendUnavailable, *UNDECODABLE):
            said = None
        if said and status == 404:
            return ArtifactNotFound(self.subject, _said(said))
        if said:
            return QueryRefused(self.subject, _said(said))
        return BackendUnavailable(
            self.subject,
            f"answered with status {status}",
            hint="is there a W&B server at this address?",
        )

    def _body(self, response: requests.Response, limit_bytes: int, deadline: Deadline) -> bytes:
        text = bytearray()
        began_s = time.monotonic()
        for piece in decoded(response.raw, subject=self.subject):
            text += piece
            if len(text) > limit_bytes:
                raise self._nonsense(f"more than {limit_bytes:,} bytes")
            if deadline.is_too_slow(len(text), time.monotonic() - began_s):
                raise TransientFailure(self.subject, "answers too slowly", timed_out=True)
        expected = web.content_length(response.headers)
        if expected is not None and expected != len(text):
            raise TransientFailure(
                self.subject, f"{len(text)} bytes came where {expected} were promised"
            )
        return bytes(text)

    def _decoded(self, text: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(text, type=analysed(shape), strict=False)
        except UNDECODABLE as error:
            raise self._nonsense(str(error)) from None

    def _nonsense(self, what: str) -> BackendUnavailable:
        return nonsense(self.subject, what)


def nonsense(subject: str, what: str) -> BackendUnavailable:
    """The error of an answer that no W&B server gives."""
    shown = "".join(each if each.isprintable() else "?" for each in what[:_MAX_MESSAGE_CHARS])
    return BackendUnavailable(subject, f"answers as no W&B server does: {shown}")


def _said(errors: list[_Error]) -> str:
    text = errors[0].message[:_MAX_MESSAGE_CHARS]
    return "says: " + "".join(each if each.isprintable() else " " for each in text)
