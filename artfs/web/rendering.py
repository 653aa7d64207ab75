"""Pages from templates, and the headers that keep what they show from doing anything."""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files as package_files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from artfs.system.texts import escaped, format_age, format_count, format_size, iso_time, plural
from artfs.web import addresses
from artfs.web.guard import Visitor
from artfs.web.markdown import markdown

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer."""

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; script-src 'nonce-{nonce}'"
)
_MARKS = re.compile(r"^#+ +|[*`]+|^> ?", re.MULTILINE)
_STATIC_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@lru_cache(1)
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("artfs.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        size=_size,
        count=format_count,
        age=format_age,
        iso=iso_time,
        shown=escaped,
        markdown=markdown,
        clipped=clipped,
        excerpt=excerpt,
    )
    made.globals.update(
        project_url=addresses.project_url,
        artifact_url=addresses.artifact_url,
        version_url=addresses.version_url,
        files_url=addresses.files_url,
        raw_url=addresses.raw_url,
        run_url=addresses.run_url,
        with_query=addresses.with_query,
        plural=plural,
        static=_static_url,
    )
    return made


def _size(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else format_size(size_bytes)


def clipped(text: str, length: int) -> str:
    """A text on one line that is no longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def excerpt(text: str | None, length: int) -> str:
    """The beginning of a description, without what Markdown marks headings and words with."""
    return clipped(_MARKS.sub("", (text or "")[: 4 * length]), length)


def page(
    request: Request, template: str, *, visitor: Visitor | None, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page made of a template, which runs no script but this server's own."""
    nonce = secrets.token_urlsafe(16)
    text = (
        _environment()
        .get_template(template)
        .render(
            visitor=visitor,
            nonce=nonce,
            here=request.url.path,
            address=_address(request),
            query=request.query_params.get("q", ""),
            **values,
        )
    )
    headers = {
        **SAFE_HEADERS,
        "Content-Security-Policy": _POLICY.format(nonce=nonce),
        "Cache-Control": "private, no-cache",
    }
    return HTMLResponse(text, status, headers)


def _address(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


@lru_cache(16)
def _static(name: str) -> bytes | None:
    place = package_files("artfs.web") / "static" / name
    return place.read_bytes() if name.isascii() and place.is_file() else None


@lru_cache(16)
def _static_url(name: str) -> str:
    content = _static(name)
    assert content is not None, name
    return f"{addresses.STATIC}/{name}?{sha256(content).hexdigest()[:12]}"


def static_response(name: str) -> Response:
    """A file of this package that pages need."""
    suffix = name[name.rfind(".") :]
    content = None if "/" in name or suffix not in _STATIC_TYPES else _static(name)
    if content is None:
        return Response("not found\n", 404, SAFE_HEADERS, "text/plain")
    headers = {**SAFE_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
    return Response(content, 200, headers, _STATIC_TYPES[suffix])
