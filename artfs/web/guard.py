"""Who looks at pages: whoever has the token of `artfs web`, or a key of `artfs serve`.

Either is exchanged for a cookie that no script and no other site gets. What changes anything needs
a second proof that only pages of this server know, derived from that cookie.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Collection
from hashlib import blake2b
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request

from artfs.catalog.serving_records import KeyRecord
from artfs.errors import ArtfsError, PermissionDenied
from artfs.server.auth import KEY_LENGTH, Access, Gate, Unauthorized
from artfs.server.tokens import SESSION_LIFE_S, PageSession, Tokens

_TOKEN_BYTES = 24
_LOCAL_NAMES = frozenset({"localhost"})


class Visitor(msgspec.Struct, frozen=True):
    """Who looks at a page, and what they may."""

    access: Access
    proof: str
    """What forms of this visitor carry."""
    sees_host: bool
    """Whether mounts and staging areas of this host are their business."""
    can_leave: bool
    """Whether there is a session that they may end."""


class Guard(Protocol):
    """Tells who asks. Thread-safe; may block on the catalog."""

    what: str
    """What is to be given to be let in: "token" or "API key"."""
    hello: str
    """What programs are told that ask for the first page and are let in by nobody; may be empty."""

    def check_address(self, request: Request) -> None:
        """Raises: PermissionDenied for a request to another host's name: DNS rebinding."""
        ...

    def visitor(self, request: Request) -> Visitor | None:
        """Who sends a request; None for a stranger."""
        ...

    def open_session(self, secret: str, address: str) -> str:
        """The cookie of whoever has this token or key. Raises: Unauthorized, TooManyWrongKeys."""
        ...

    def cookie_name(self, request: Request) -> str:
        """What the cookie is called: cookies of all ports of a host share one room."""
        ...


def proof_of(session: str) -> str:
    """What forms of a session carry; it does not tell the session."""
    return blake2b(b"artfs form", key=session.encode()[:64], digest_size=24).hexdigest()


def require_proof(visitor: Visitor, given: str) -> None:
    """Raises: PermissionDenied where a form was not made by a page of this session."""
    if not hmac.compare_digest(visitor.proof.encode(), given.encode("utf-8", "replace")):
        raise PermissionDenied("this form", "is not from a page of this session", hint="reload it")


def require_same_site(request: Request, *, also: str | None = None) -> None:
    """Let no other site send a form, `also` being another name of this one.

    Raises: PermissionDenied.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        if urlsplit(origin).netloc in {request.headers.get("host", ""), also} - {"", None}:
            return
    elif request.headers.get("sec-fetch-site", "none") in {"same-origin", "none"}:
        return
    raise PermissionDenied("this form", "comes from another site")


def session_in(request: Request, name: str) -> str | None:
    """The session that a request's cookie names, if it is plausible."""
    value = request.cookies.get(name)
    return value if value and len(value) <= 512 and value.isascii() else None


class TokenGuard:
    """Lets in whoever has the token that `artfs web` printed; implements Guard."""

    what = "token"
    hello = ""

    def __init__(
        self, *, read_only: bool, hosts: Collection[str] = (), any_address: bool = False
    ) -> None:
        """`hosts` are names by which it may be called besides those of this host's loopback.

        `any_address`: it listens beyond loopback, and may be called by any number.
        """
        self.token = secrets.token_hex(_TOKEN_BYTES)
        self._session = secrets.token_hex(_TOKEN_BYTES)
        owner = KeyRecord(id="", name="owner", read_only=False, projects=(), created_at_ns=0)
        self._visitor = Visitor(
            Access(owner, read_only), proof_of(self._session), sees_host=True, can_leave=False
        )
        self._hosts = _LOCAL_NAMES | {host.lower() for host in hosts}
        self._any_address = any_address

    def check_address(self, request: Request) -> None:
        """See Guard."""
        named = request.headers.get("host", "")
        try:
            host = (urlsplit(f"//{named}").hostname or "").lower()
        except ValueError:
            host = ""
        if host in self._hosts:
            return
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            # A number is nobody's name: no other site can have a page of that origin.
            if address.is_loopback or self._any_address:
                return
        raise PermissionDenied(
            f"host {named[:80]!r}", "is not this server", hint="use the address that it printed"
        )

    def visitor(self, request: Request) -> Visitor | None:
        """See Guard."""
        given = session_in(request, self.cookie_name(request)) or ""
        return self._visitor if hmac.compare_digest(given, self._session) else None

    def open_session(self, secret: str, address: str) -> str:  # noqa: ARG002 - it cannot be guessed
        """See Guard."""
        if not hmac.compare_digest(secret.encode("utf-8", "replace"), self.token.encode()):
            raise Unauthorized(
                "this token", "is not this server's", hint="use the address that it printed"
            )
        return self._session

    def cookie_name(self, request: Request) -> str:
        """See Guard."""
        return f"artfs-web-{request.url.port or 80}"


class KeyGuard:
    """Lets in whoever has a key of `artfs serve`; implements Guard."""

    what = "API key"
    hello = "artfs serve: set WANDB_BASE_URL to this address\n"

    def __init__(self, gate: Gate, tokens: Tokens) -> None:
        self._gate = gate
        self._tokens = tokens

    def check_address(self, request: Request) -> None:
        """Nothing: whoever calls it by another name has no cookie of that name."""

    def visitor(self, request: Request) -> Visitor | None:
        """See Guard."""
        session = session_in(request, self.cookie_name(request))
        if session is None:
            return None
        try:
            key_id = self._tokens.read(session, PageSession).key_id
            access = self._gate.known(key_id)
        except (PermissionDenied, Unauthorized):
            return None
        return Visitor(access, proof_of(session), sees_host=False, can_leave=True)

    def open_session(self, secret: str, address: str) -> str:
        """See Guard."""
        key = secret.strip().rpartition("-")[2]
        access = self._gate.enter(f"Bearer {key[: 2 * KEY_LENGTH]}", address)
        return self._tokens.sign(PageSession(access.key.id), life_s=SESSION_LIFE_S)

    def cookie_name(self, request: Request) -> str:  # noqa: ARG002 - one for all ports
        """See Guard."""
        return "artfs-session"


def require_read(access: Access, project: str, missing: type[ArtfsError]) -> None:
    """Raises: `missing`, as for a project that is not there: who may not see it learns nothing."""
    if not access.reads(project):
        raise missing(project, "there is no such project")
